"""Version folders: made complete in a staging folder, then named by the registry."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapter_hub.errors import ConflictError, Interrupted, RegistryError, UnknownNameError
from adapter_hub.model import Adapter, Recipe, Version
from adapter_hub.registry import schema
from adapter_hub.registry.aliases import alias_event
from adapter_hub.registry.atomic import ContentChanged, sync_folder, umask
from adapter_hub.registry.discard import STAGING, discarding
from adapter_hub.registry.occupied import occupied_folder
from adapter_hub.registry.splice import same
from adapter_hub.registry.store import Registry
from adapter_hub.registry.taken import refuse_twin

REPORTS = frozenset({"report.html", "sweep.png", "training.png"})
"""About a version, for people, in its folder. They quote rows of the data, so they are no part of
it: neither digested, nor pushed, nor copied to another machine."""
_ATTEMPTS = 20
"""How often a version is published anew when the registry was changed in between."""


@contextlib.contextmanager
def staging_folder(registry: Registry, name: str) -> Iterator[Path]:
    """A folder to fill for a new version of ``name``; gone afterwards unless it was published.

    Raises RegistryError when it cannot be made.
    """
    parent = registry.folder / "adapters" / name

    def make() -> Path:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=STAGING, dir=parent))

    with contextlib.ExitStack() as stack:
        try:
            folder = occupied_folder(make, stack)
        except OSError as error:
            raise RegistryError(
                f"{parent} cannot be written: {error.strerror or error}."
            ) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                parent.rmdir()  # of an adapter that did not come to be


def publish_version(
    registry: Registry,
    name: str,
    folder: Path,
    version: Version,
    recipe: Recipe | None = None,
    before: Recipe | None = None,
    *,
    event: str = "import",
) -> int:
    """Make ``folder`` the next version of ``name`` and return its number.

    A new entry gets ``recipe``. In one that is there, only what ``recipe`` changes in ``before``
    is written: the rest may have been edited by hand in the meantime. The folder is complete and
    durable before the registry names it. ``event`` is what the journal calls it. A registry that
    somebody changes in this moment is read again, a few times: a version is hours of work. Raises
    RegistryError, ConflictError.
    """
    make_durable(folder)
    for attempt in range(1, _ATTEMPTS):
        with contextlib.suppress(ContentChanged):
            return _publish(registry, name, folder, version, recipe, before, event)
        time.sleep(random.uniform(0, 0.05 * attempt))
    return _publish(registry, name, folder, version, recipe, before, event)


def _publish(
    registry: Registry,
    name: str,
    folder: Path,
    version: Version,
    recipe: Recipe | None,
    before: Recipe | None,
    event: str,
) -> int:
    """``publish_version`` once; when it fails, the folder is where it was."""
    number = 0
    final = folder

    def change(document: dict[str, Any]) -> None:
        nonlocal number, final
        refuse_twin(document, name, "adapter")
        entry = document.setdefault("adapters", {}).setdefault(name, {})
        if recipe is not None or not entry:
            _write_recipe(entry, before if entry else None, recipe or Recipe())
        versions = entry.setdefault("versions", {})
        # A folder without an entry is left from a crash: its number is never used again.
        number = max(map(int, versions), default=0) + 1
        while not _move(folder, final := registry.version_folder(name, number)):
            number += 1
        sync_folder(final.parent)
        versions[str(number)] = schema.version_table(replace(version, number=number))

    try:
        registry.edit(change, lambda: [version_event(event, name, number, version.hub)])
    except BaseException as error:
        if final != folder and not folder.exists():
            if _is_named(registry, name, number):
                # What failed came after the replacing, such as the flush of the folder.
                if isinstance(error, Exception):
                    return number
                raise Interrupted(f"interrupted when {name}@{number} was saved already.") from error
            with contextlib.suppress(OSError):
                os.rename(final, folder)
        if isinstance(error, OSError):
            raise RegistryError(f"{final} cannot be written: {error.strerror or error}.") from error
        raise
    return number


def _move(folder: Path, final: Path) -> bool:
    """Whether ``folder`` is at ``final`` now: not where something was. Raises OSError."""
    if os.path.lexists(final):
        return False
    try:
        os.rename(folder, final)
    except OSError:
        if os.path.lexists(final):
            return False  # where locks have no effect, somebody came first in this moment
        raise
    return True


def version_event(
    event: str, name: str, number: int, hub: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What the journal tells of a version: of the Hub, the repository and the commit alone."""
    place = {key: hub[key] for key in ("repo", "revision") if key in hub} if hub else {}
    return {"event": event, "adapter": name, "version": number, **place}


def record_hub(
    registry: Registry, name: str, number: int, hub: Mapping[str, str], *, event: str = "push"
) -> None:
    """Write down where a version lies on a Hub; ``event`` is what the journal calls it.

    Raises RegistryError, UnknownNameError.
    """

    def change(entry: dict[str, Any]) -> None:
        _version_entry(entry, name, number)["hub"] = dict(hub)

    registry.edit_adapter(name, change, lambda: [version_event(event, name, number, hub)])


def adopt_version(
    registry: Registry, name: str, number: int, alias: str, before: Recipe, recipe: Recipe
) -> None:
    """Make ``recipe``, which made a version, that of the adapter, and ``alias`` mean the version.

    Only what ``recipe`` changes in ``before`` is written. Raises RegistryError, UnknownNameError.
    """
    moved: int | None = None

    def change(entry: dict[str, Any]) -> None:
        nonlocal moved
        _version_entry(entry, name, number)
        _write_recipe(entry, before, recipe)
        moved = entry.get("aliases", {}).get(alias)
        entry.setdefault("aliases", {})[alias] = number

    registry.edit_adapter(name, change, lambda: [alias_event(name, alias, moved, number)])


def record_metrics(
    registry: Registry, name: str, number: int, metrics: Mapping[str, float]
) -> None:
    """Add to what was measured of a version. Raises RegistryError, UnknownNameError."""

    def change(entry: dict[str, Any]) -> None:
        _version_entry(entry, name, number).setdefault("metrics", {}).update(metrics)

    registry.edit_adapter(name, change)


def _version_entry(entry: dict[str, Any], name: str, number: int) -> dict[str, Any]:
    found: dict[str, Any] | None = entry.get("versions", {}).get(str(number))
    if found is None:
        raise UnknownNameError(f"{name}@{number} was removed in the meantime.")
    return found


def file_digests(folder: Path) -> dict[str, str]:
    """``{name: "sha256:…"}`` of every regular file in ``folder``, by name, but for its reports."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not (path.parent == folder and path.name in REPORTS)
    )
    with ThreadPoolExecutor() as pool:
        digests = pool.map(file_digest, files)
        return {
            path.relative_to(folder).as_posix(): digest
            for path, digest in zip(files, digests, strict=True)
        }


def file_digest(path: Path) -> str:
    """``sha256:…`` of a file's bytes."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def version_digest(files: Mapping[str, str]) -> str:
    """One digest for a whole version: sha256 over its sorted ``name digest`` lines."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(files.items()))
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def damage(
    folder: Path, version: Version, digest_of: Callable[[Path], str] = file_digest
) -> list[str]:
    """What differs between a version's folder and its recorded digests, one phrase per file."""
    if not folder.is_dir():
        return [f"{folder} is missing"]
    problems = []
    for name, digest in sorted(version.files.items()):
        path = folder / name
        try:
            if not path.is_file():
                problems.append(f"{name} is missing")
            elif digest_of(path) != digest:
                problems.append(f"{name} was changed")
        except OSError as error:
            problems.append(f"{name} cannot be read: {error.strerror or error}")
    return problems + [f"{name} does not belong to it" for name in _extra(folder, version.files)]


def _extra(folder: Path, files: Mapping[str, str]) -> list[str]:
    """What is in the folder and not among its files; of a strange folder, the folder alone."""
    if files.keys() == set(os.listdir(folder)) - (REPORTS - files.keys()):
        return []  # as nearly always
    folders = {parent for name in files for parent in Path(name).parents} | {Path()}
    names = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    return [
        name.as_posix()
        for name in names
        if name.parent in folders
        and name not in folders
        and name.as_posix() not in files
        and name.as_posix() not in REPORTS
    ]


def remove_adapter(registry: Registry, name: str) -> None:
    """Drop an adapter and its files. The registry forgets it first.

    Raises UnknownNameError; RegistryError when files could not be deleted.
    """
    registry.adapter(name)

    def change(document: dict[str, Any]) -> None:
        document["adapters"].pop(name, None)

    event = {"event": "remove", "adapter": name, "version": None}
    with discarding(registry, name) as discard:
        registry.edit(change, lambda: [event], discard)


def remove_version(registry: Registry, adapter: Adapter, version: Version) -> None:
    """Drop one version and its files.

    Raises ConflictError while an alias points to it, UnknownNameError when the adapter is gone;
    RegistryError when files could not be deleted.
    """
    number = version.number

    def change(entry: dict[str, Any]) -> None:
        holders = [alias for alias, target in entry.get("aliases", {}).items() if target == number]
        if holders:
            raise ConflictError(
                f"{adapter.name}@{number} is {', '.join(holders)}; nothing was removed.",
                hint=f"move it first: adapter-hub alias {adapter.name}@VERSION {holders[0]}",
            )
        entry.get("versions", {}).pop(str(number), None)

    event = version_event("remove", adapter.name, number)
    with discarding(registry, adapter.name, number) as discard:
        registry.edit_adapter(adapter.name, change, lambda: [event], discard)


def _is_named(registry: Registry, name: str, number: int) -> bool:
    """Whether the file on disk has the version. One that cannot be read might."""
    try:
        return number in Registry.open(registry.path).adapter(name).versions
    except UnknownNameError:
        return False
    except RegistryError:
        return True


def _write_recipe(entry: dict[str, Any], before: Recipe | None, after: Recipe) -> None:
    """Write what differs between two recipes into an entry, key by key."""
    old = schema.recipe_table(before) if before else {}
    new = schema.recipe_table(after)
    for key in {**old, **new}:
        was, now = old.get(key), new.get(key)
        if same(was, now):
            continue
        if isinstance(now if was is None else was, dict):
            _merge(entry.setdefault(key, {}), was or {}, now or {})
            if not entry[key]:
                del entry[key]
        elif now is None:
            entry.pop(key, None)
        else:
            entry[key] = now


def _merge(table: dict[str, Any], was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for key in {**was, **now}:
        if key not in now:
            table.pop(key, None)
        elif key not in was or not same(was[key], now[key]):
            table[key] = now[key]


def make_durable(folder: Path) -> None:
    """Flush everything to disk, and give it the user's usual modes: temporary files are private."""
    mask = umask()
    for path in (*folder.rglob("*"), folder):
        path.chmod((0o666 if path.is_file() else 0o777) & ~mask)
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            sync_folder(path)
