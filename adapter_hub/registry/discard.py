"""Files that the registry no longer names: moved aside under its lock, then deleted.

What is moved aside has left its place in one step, so nobody takes half of it for a version, and
what a process that was killed left of it is gone with ``gc``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from adapter_hub.errors import ConflictError, RegistryError
from adapter_hub.registry.occupied import taken
from adapter_hub.registry.store import Registry

STAGING, RENAMING, REMOVING = ".staging-", ".renaming-", ".removing-"
SCRATCH = (STAGING, RENAMING, REMOVING)
"""How folders begin that are being made, moved or deleted."""


def discard_files(registry: Registry, name: str, number: int | None = None) -> None:
    """Delete the files of an adapter, or of one version, that the registry does not name.

    By then somebody else may have made them again: those stay, and so does what another process
    is about to publish. Raises RegistryError naming what is still there, ConflictError.
    """
    folder = registry.folder / "adapters" / name
    wanted = folder if number is None else registry.version_folder(name, number)
    if not os.path.lexists(wanted):
        return
    aside: list[Path] = []

    def look(document: Mapping[str, Any]) -> None:
        named = document.get("adapters", {}).get(name, {}).get("versions", {})
        paths: Iterable[Path] = [wanted]
        if number is None and not folder.is_symlink():
            paths = [each for each in folder.iterdir() if not is_being_made(each)]
        aside.extend(move_aside(registry, [each for each in paths if each.name not in named]))
        if number is None:
            with contextlib.suppress(OSError):
                folder.rmdir()

    try:
        registry.edit(look)
        for each in aside:
            delete(each)
    except ConflictError as error:
        error.reword(f"registry.toml is changed, but the files in {wanted} are still there.")
        error.hint = "adapter-hub gc"
        raise
    except OSError as error:
        raise RegistryError(
            f"registry.toml is changed, but {error.filename or wanted} could not be deleted: "
            f"{reason(error)}.",
            hint=f"{wanted} is moved aside; when it can be deleted: adapter-hub gc",
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
