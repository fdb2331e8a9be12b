"""The registry: whether it can be read, and what lies beside it that it does not name."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from adapter_hub.doctor.findings import Finding, size
from adapter_hub.errors import RegistryError, RegistryNotFoundError
from adapter_hub.registry.duplicates import find_doubles
from adapter_hub.registry.lockfile import differences, read_lock, resolve_registry
from adapter_hub.registry.store import Registry

_NAMED = 5
_UNFINISHED = (".staging-", ".renaming-")


def read(path: Path | None, opened: list[Registry]) -> Iterator[Finding]:
    """Read the whole of it, and leave it in ``opened``."""
    started = time.perf_counter()
    try:
        registry = Registry.open(path)
        opened.append(registry)
        adapters = list(registry.adapters())
        bases = [registry.base(name) for name in registry.base_names()]
        unknown = registry.unknown_keys()
        doubles = find_doubles(registry)
    except RegistryNotFoundError as error:
        yield Finding("registry", "warning", error.message, error.hint)
        return
    except RegistryError as error:
        yield Finding("registry", "problem", error.message, error.hint or "mend that line")
        return
    seconds = time.perf_counter() - started
    count = sum(len(each.versions) for each in adapters)
    yield Finding(
        "registry",
        "ok",
        f"{registry.path}: {size(registry.path.stat().st_size)}, bases {len(bases)}, "
        f"adapters {len(adapters)}, versions {count}, read in {seconds:.2f} s",
    )
    for text in unknown[:_NAMED]:
        yield Finding("registry", "warning", text, "correct its name, or leave it to who wrote it")
    if len(unknown) > _NAMED:
        text = f"and {len(unknown) - _NAMED} more keys that are not known"
        yield Finding("registry", "warning", text, "adapter-hub status names them all")
    for text in doubles[:_NAMED]:
        yield Finding("registry", "warning", text, "adapter-hub history NAME, of each")


def folders(registry: Registry) -> Iterator[Finding]:
    """Versions whose folder is not here."""
    gone = [
        (f"{each.name}@{number}", bool(version.hub))
        for each in registry.adapters()
        for number, version in each.versions.items()
        if not registry.version_folder(each.name, number).is_dir()
    ]
    if gone:
        text = f"the files of {_listed([name for name, _ in gone])} are not here"
        elsewhere = any(on_hub for _, on_hub in gone)
        step = (
            "adapter-hub sync"
            if elsewhere
            else f"bring them back, or: adapter-hub remove {gone[0][0]}"
        )
        yield Finding("versions", "warning", text, step)
    else:
        yield Finding("versions", "ok", "the folder of each is here; adapter-hub verify reads them")


def leftovers(registry: Registry) -> Iterator[Finding]:
    """What interrupted commands left behind, and runs that can be resumed."""
    root = registry.folder / "adapters"
    left = [
        each for each in registry.folder.glob(f".{registry.path.name}.*") if _is_temporary(each)
    ]
    for folder in _folders_in(root):
        if folder.name == ".runs":
            for run in _folders_in(folder):
                if any(run.glob("*.safetensors")):
                    name, trial, _ = run.name.partition("+")
                    text = f"a run of {name} was interrupted, or goes on now"
                    again = f"sweep {name}" if trial else f"train {name} --resume"
                    step = f"adapter-hub {again}, with the same flags"
                    yield Finding("leftovers", "warning", text, step)
        elif folder.name.startswith(_UNFINISHED):
            left.append(folder)
        elif registry.has_adapter(folder.name):
            known = set(map(str, registry.versions(folder.name)))
            left += [each for each in _folders_in(folder) if each.name not in known]
        elif not folder.name.startswith("."):
            left.append(folder)
    if not left:
        yield Finding("leftovers", "ok", "none")
    for path in left[:_NAMED]:
        text = f"{path} is not in the registry"
        step = f"when no command is running: rm -r {shlex.quote(str(path))}"
        if path.name.isdecimal() or not path.name.startswith("."):
            step = f"adapter-hub import {shlex.quote(str(path))}, or {step}"
        yield Finding("leftovers", "warning", text, step)
    if len(left) > _NAMED:
        text = f"and {len(left) - _NAMED} more that are not in the registry"
        yield Finding("leftovers", "warning", text, f"ls -a {shlex.quote(str(root))}/*")


def lock_file(registry: Registry) -> Iterator[Finding]:
    """Whether ``registry.lock``, where there is one, says what the registry says."""
    try:
        locked = read_lock(registry)
        apart = differences(locked, resolve_registry(registry)) if locked is not None else []
    except RegistryError as error:
        yield Finding("registry.lock", "problem", error.message, error.hint or "adapter-hub lock")
        return
    if locked is None:
        yield Finding("registry.lock", "ok", "none (adapter-hub lock writes one)")
    elif apart:
        text = f"it is not what registry.toml says: {_listed(apart)}"
        yield Finding("registry.lock", "warning", text, "adapter-hub lock")
    else:
        yield Finding("registry.lock", "ok", "it is what registry.toml says")


def git_attributes(registry: Registry) -> Iterator[Finding]:
    """``merge=union`` joins both sides' lines, and can empty an entry without a conflict."""
    command = ["git", "-C", str(registry.folder), "check-attr", "merge", "--", registry.path.name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return
    if done.returncode:
        return  # in no repository
    if done.stdout.strip().endswith(": union"):
        text = f"merge=union is set for {registry.path.name}: a merge can drop keys and not say so"
        step = f"take it out of .gitattributes, or add: {registry.path.name} merge=text"
        yield Finding("git", "problem", text, step)
    else:
        yield Finding("git", "ok", f"{registry.path.name} is merged as text")


def _is_temporary(path: Path) -> bool:
    return not path.name.endswith(".lock")


def _folders_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(Path(each.path) for each in entries if each.is_dir())


def _listed(texts: list[str]) -> str:
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return ", ".join(texts[:_NAMED]) + more
