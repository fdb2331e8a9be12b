"""Files that the registry no longer names: moved aside under its lock, then deleted.

What is moved aside has left its place in one step, so nobody takes half of it for a version, and
what a process that was killed left of it is gone with ``gc``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from adapter_hub.errors import RegistryError
from adapter_hub.registry.occupied import taken
from adapter_hub.registry.store import Change, Registry

STAGING, RENAMING, REMOVING = ".staging-", ".renaming-", ".removing-"
SCRATCH = (STAGING, RENAMING, REMOVING)
"""How folders begin that are being made, moved or deleted."""


@contextlib.contextmanager
def discarding(registry: Registry, name: str, number: int | None = None) -> Iterator[Change]:
    """Delete the files of an adapter, or of one version, that an edit makes nobody's.

    Yields what the edit is to call once the file is replaced: it moves them aside under the lock,
    so that nobody publishes beside them or renames them along. What another process is about to
    publish stays. Raises RegistryError naming what is still there.
    """
    aside: list[Path] = []

    def move(document: Mapping[str, Any]) -> None:
        named = document.get("adapters", {}).get(name, {}).get("versions", {})
        paths = [each for each in _files(registry, name, number) if each.name not in named]
        with _still_there(registry, name):
            aside.extend(move_aside(registry, paths))
        if number is None:
            with contextlib.suppress(OSError):
                (registry.folder / "adapters" / name).rmdir()

    yield move
    for each in aside:
        with _still_there(registry, name):
            delete(each)


def _files(registry: Registry, name: str, number: int | None) -> list[Path]:
    folder = registry.folder / "adapters" / name
    wanted = folder if number is None else registry.version_folder(name, number)
    if not os.path.lexists(wanted):
        return []
    if number is not None or folder.is_symlink() or not folder.is_dir():
        return [wanted]
    return [each for each in folder.iterdir() if not is_being_made(each)]


@contextlib.contextmanager
def _still_there(registry: Registry, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        folder = registry.folder / "adapters" / name
        raise RegistryError(
            f"registry.toml is changed, but not all that was in {folder} could be deleted: "
            f"{reason(error)}.",
            hint="mend that, then: adapter-hub gc",
        ) from error


def move_aside(registry: Registry, paths: Iterable[Path]) -> list[Path]:
    """Take ``paths`` from their places, each in one step, into folders that only wait for deletion.

    The caller holds the registry's lock. Raises OSError.
    """
    moved: list[Path] = []
    for number, path in enumerate(paths):
        if not moved:
            moved.append(Path(tempfile.mkdtemp(prefix=REMOVING, dir=registry.folder / "adapters")))
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, moved[0] / f"{number}-{path.name}")
    return moved


def delete(path: Path) -> None:
    """Delete a file, a folder or a link, not what it leads to. Raises OSError for what stays."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)  # the rest of it
        if os.path.lexists(path):
            raise


def is_being_made(path: Path) -> bool:
    """Whether another process fills this folder now, or may do so."""
    if not path.name.startswith(STAGING):
        return False
    with taken(path) as free:
        return not free


def reason(error: OSError) -> str:
    """What the system says, and of which file. shutil.Error holds a list of failures."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    return str(error)
