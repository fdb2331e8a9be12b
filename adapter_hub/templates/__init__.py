"""What ``plugins new`` writes: a complete distribution of a plugin, from the texts beside this."""

from __future__ import annotations

import os
import re
import tempfile
from importlib import metadata
from pathlib import Path
from string import Template

from adapter_hub.errors import ConflictError, UsageError
from adapter_hub.model import check_name
from adapter_hub.plugins import BUILT_IN, Catalog, Kind
from adapter_hub.registry.atomic import sync_folder, umask

PREFIX = "adapter-hub-"
BUNDLED = frozenset({"bitfit", "peft", "ray", "smollm2", "sql"})
"""The plugins of adapter-hub's own repository; their distributions have these names."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "{kind}/README.md.txt": "README.md",
    "{kind}/module.py.txt": "{module}/__init__.py",
    "{kind}/test.py.txt": "tests/test_{module}.py",
}
NEEDS: dict[Kind, tuple[str, ...]] = {
    "method": ("peft",),
    "dataset": (),
    "base": ("tokenizers", "torch", "transformers"),
}


def write_plugin(name: str, kind: Kind, parent: Path, catalog: Catalog) -> Path:
    """Write the distribution ``adapter-hub-NAME`` into ``parent`` and return its folder.

    The folder appears whole or not at all. Raises UsageError for a name that cannot be used or is
    taken by something in ``catalog``, ConflictError where the folder is there, OSError.
    """
    name = name.removeprefix(PREFIX)
    _check_name(name, kind, catalog)
    folder = parent / f"{PREFIX}{name}"
    if os.path.lexists(folder):
        raise _exists(folder)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".unfinished-") as unfinished:
        built = Path(unfinished) / folder.name
        _write_files(built, _words(name, kind), kind)
        try:
            built.rename(folder)
        except OSError as error:
            if os.path.lexists(folder):  # somebody was faster
                raise _exists(folder) from error
            raise
    sync_folder(parent)
    return folder


def _check_name(name: str, kind: Kind, catalog: Catalog) -> None:
    check_name(name, f"a {kind}")
    if not _NAME.fullmatch(name):
        close = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        raise UsageError(
            f"{name!r} cannot name a plugin: use lower-case letters, digits and single '-'.",
            hint=f"adapter-hub plugins new {close}",
        )
    if name in BUNDLED:
        raise UsageError(
            f"{PREFIX}{name} is a plugin of adapter-hub's own: use another name.",
            hint=f"adapter-hub plugins new my-{name}",
        )
    taken = next((each for each in catalog.all(kind) if each.name == name), None)
    if taken is not None:
        by = taken.distribution
        already = BUILT_IN if by == BUILT_IN else f"offered by {by}"
        raise UsageError(
            f"{kind} {name!r} is already {already}, and two of one name cannot be used together.",
            hint=f"adapter-hub plugins new my-{name}",
        )


def _exists(folder: Path) -> ConflictError:
    return ConflictError(
        f"{folder} is already there; nothing was written.",
        hint="use another name, or another folder with --into DIR",
    )


def _words(name: str, kind: Kind) -> dict[str, str]:
    release = ".".join(metadata.version("adapter-hub").split(".")[:2])
    needs = [f"adapter-hub>={release}", *NEEDS[kind]]
    return {
        "name": name,
        "distribution": f"{PREFIX}{name}",
        "module": f"{PREFIX}{name}".replace("-", "_"),
        "description": f"The {kind} {name} for adapter-hub",
        "dependencies": ", ".join(f'"{each}"' for each in needs),
    }


def _write_files(folder: Path, words: dict[str, str], kind: Kind) -> None:
    for source, target in _FILES.items():
        template = Path(__file__).parent / source.format(kind=kind)
        text = Template(template.read_text(encoding="utf-8")).substitute(words)
        path = folder / target.format(module=words["module"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    os.chmod(folder, 0o777 & ~umask())
