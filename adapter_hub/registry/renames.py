"""Renaming an adapter with its files: at every moment what the registry names is complete."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from adapter_hub.errors import ConflictError, RegistryError
from adapter_hub.model import check_name
from adapter_hub.registry.atomic import sync_folder
from adapter_hub.registry.discard import RENAMING, SCRATCH, discarding, reason
from adapter_hub.registry.store import Change, Registry


def rename_adapter(registry: Registry, old: str, new: str) -> None:
    """Rename an adapter and move its files.

    The files are linked under the new name, then the registry is edited, then the old names go:
    at every moment what the registry names is complete. Raises UsageError, UnknownNameError,
    ConflictError; RegistryError when the files could not be moved.
    """
    check_name(new, "an adapter")
    registry.adapter(old)
    if new == old:
        return
    registry.refuse_taken(new, but=old)
    source, target = registry.folder / "adapters" / old, registry.folder / "adapters" / new
    if not os.path.lexists(source):
        registry.rename_entry(old, new)
        return
    # Linked and discarded under one lock: a version that somebody publishes meanwhile comes
    # before or after, and no other rename takes along what has its new name already.
    with discarding(registry, old) as discard:
        registry.rename_entry(old, new, _moved_folder(registry, source, target, discard))


@contextlib.contextmanager
def _moved_folder(
    registry: Registry, source: Path, target: Path, discard: Change
) -> Iterator[None]:
    """Have the files of ``source`` at ``target`` too, and then there alone.

    When the body fails to rename the entry, they are where they were. Raises ConflictError when
    something is at ``target``, RegistryError.
    """
    try:
        undo = _link_folder(source, target)
    except OSError as error:
        raise RegistryError(
            f"the files of {source} cannot be moved to {target}: {reason(error)}; "
            "nothing was changed."
        ) from error
    try:
        yield
    except BaseException:
        # What failed may have come after the replacing, such as the flush of the folder.
        if not _has_entry(registry, target.name):
            with contextlib.suppress(OSError):
                undo()
        raise
    if os.path.lexists(source) and not _is_same_entry(source, target):
        discard({})  # no version has the old name now


def _has_entry(registry: Registry, name: str) -> bool:
    """Whether the file on disk has the adapter. One that cannot be read might."""
    try:
        return Registry.open(registry.path).has_adapter(name)
    except RegistryError:
        return True


def _link_folder(source: Path, target: Path) -> Callable[[], None]:
    """Returns what takes it back. Raises OSError, ConflictError."""
    if os.path.lexists(target):
        if _is_same_entry(source, target):
            os.rename(source, target)
            return lambda: os.rename(target, source)
        if not target.is_dir() or any(target.iterdir()):
            raise ConflictError(
                f"{target} is already there; nothing was changed.",
                hint="if it is left from an interrupted rename: adapter-hub gc",
            )
        target.rmdir()
    if source.is_symlink():
        os.symlink(os.readlink(source), target)
        return target.unlink
    # Complete under a name of its own first: a half copy never stands at the new name.
    staging = Path(tempfile.mkdtemp(prefix=RENAMING, dir=target.parent))
    try:
        shutil.copytree(
            source,
            staging,
            symlinks=True,
            ignore=shutil.ignore_patterns(*(f"{each}*" for each in SCRATCH)),
            copy_function=_link_or_copy,
            dirs_exist_ok=True,
        )
        for folder in (*filter(Path.is_dir, staging.rglob("*")), staging):
            sync_folder(folder)
        os.rename(staging, target)
        sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return lambda: shutil.rmtree(target)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _is_same_entry(one: Path, other: Path) -> bool:
    """Whether both are one name, to a file system that ignores case. Links count as themselves."""
    return os.path.samestat(os.lstat(one), os.lstat(other))
