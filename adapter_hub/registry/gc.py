"""What nothing references any more: found without the lock, looked at again and removed under it.

Removed is only what adapter-hub itself made and nobody uses: folders of versions that the registry
does not name, and what killed processes left. Links are not followed, and what a person put there
stays and is named.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from adapter_hub.registry.atomic import CLAIM, TEMPORARY
from adapter_hub.registry.discard import REMOVING, RENAMING, STAGING, delete, move_aside, reason
from adapter_hub.registry.occupied import taken
from adapter_hub.registry.store import Registry

Kind = Literal["version", "leftover", "run", "download"]

_AN_HOUR, _A_DAY = 3600.0, 86400.0
_ADAPTER_FILES = {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}
_ADAPTER_FILES |= {"adapter_hub.json"}
_CHECKPOINT, _RUN_FILES = "checkpoint.safetensors", re.compile(r"checkpoint\.tmp|scratch-\d+")
_LOCK = "lock"
_TEMPORARY = re.compile(rf"\..+\.[a-z0-9_]{{8}}{re.escape(TEMPORARY)}")
_CLAIM = re.compile(rf"\..+\.[0-9a-f]{{16}}{re.escape(CLAIM)}")


@dataclass(frozen=True)
class Garbage:
    """``path`` from the registry's folder; ``bytes`` is what its removal gives back."""

    path: str
    kind: Kind
    bytes: int


@dataclass(frozen=True)
class Kept:
    """What was looked at and stays."""

    path: str
    reason: str


@dataclass
class Collection:
    garbage: list[Garbage] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.garbage)


def find_garbage(registry: Registry, older_than: float | None = None) -> Collection:
    """What ``remove_garbage`` would remove, and what is kept though the registry does not name it.

    Interrupted runs and downloads are kept, so that they can go on, unless nothing of them was
    touched for ``older_than`` seconds. Raises RegistryError.
    """
    search = _Search(registry, older_than)
    search.look_at_temporaries(registry.folder)
    adapters = registry.folder / "adapters"
    if adapters.is_symlink():
        search.keep(adapters, "a link, which another registry may share: gc follows none")
    elif adapters.is_dir():
        search.look_at_adapters(adapters)
    return Collection(_measured(registry.folder, search.found), search.kept)


def remove_garbage(registry: Registry, found: Collection) -> Collection:
    """Remove what was found and is garbage still, and tell what was.

    Something that cannot be removed is among those kept. Raises RegistryError, ConflictError.
    """
    adapters = registry.folder / "adapters"
    removed, kept = [], list(found.kept)
    aside: list[Path] = []

    def look(document: Mapping[str, Any]) -> None:
        names = {name.casefold(): name for name in document.get("adapters", {})}
        for each in found.garbage:
            path = registry.folder / each.path
            try:
                with _to_oneself(path, each.kind) as free:
                    if not free or not os.path.lexists(path) or _is_named(path, document, names):
                        continue
                    if path.name.startswith((RENAMING, REMOVING)):
                        aside.append(path)
                    elif path.parent == adapters and not _is_temporary(path):
                        path.rmdir()  # unless somebody fills it by now
                    else:
                        aside.extend(move_aside(registry, [path]))
            except OSError as error:
                kept.append(Kept(each.path, f"cannot be removed: {reason(error)}"))
                continue
            removed.append(each)
            with contextlib.suppress(OSError):
                if path.parent.parent == adapters:
                    path.parent.rmdir()

    if found.garbage:
        registry.edit(look)
    for path in aside:
        try:
            delete(path)
        except OSError as error:
            kept.append(
                Kept(_relative(registry.folder, path), f"cannot be removed: {reason(error)}")
            )
    return Collection(removed, kept)


class _Search:
    """One walk over the folder of a registry, that is one level of names at a time."""

    def __init__(self, registry: Registry, older_than: float | None) -> None:
        self.found: list[tuple[Path, Kind]] = []
        self.kept: list[Kept] = []
        self._registry = registry
        self._older_than = older_than
        self._names = {name.casefold(): name for name in registry.adapter_names()}
        with taken(registry.path.with_name(f".{registry.path.name}.lock")) as free:
            self._locks_count = free is not None

    def keep(self, path: Path, why: str) -> None:
        self.kept.append(Kept(_relative(self._registry.folder, path), why))

    def look_at_temporaries(self, folder: Path) -> None:
        """Temporary files of edits. Those of the registry are made under its lock alone."""
        own = f".{self._registry.path.name}."
        for path in _entries(folder):
            if _is_temporary(path) and not path.is_symlink() and path.is_file():
                under_lock = path.name.startswith(own) and self._locks_count
                if under_lock or _age(path) > _AN_HOUR:
                    self.found.append((path, "leftover"))

    def look_at_adapters(self, folder: Path) -> None:
        self.look_at_temporaries(folder)
        for path in _entries(folder):
            if path.is_symlink():
                if path.name.casefold() not in self._names:
                    self.keep(path, "a link: gc follows none")
            elif path.name == ".runs":
                self._look_at_each(path, self._look_at_run)
            elif path.name == ".pulls":
                self._look_at_each(
                    path, lambda place: self._look_at_each(place, self._look_at_pull)
                )
            elif path.name.startswith((RENAMING, REMOVING)):
                if self._locks_count or _age(path) > _AN_HOUR:
                    self.found.append((path, "leftover"))
            elif path.name.startswith("."):
                continue  # indexes and the like
            elif path.is_dir():
                self._look_at_adapter(path)
            else:
                self.keep(path, "no folder of an adapter")

    def _look_at_each(self, folder: Path, look: Callable[[Path], None]) -> None:
        for path in _entries(folder):
            if path.is_symlink() or not path.is_dir():
                self.keep(path, "nothing that adapter-hub made")
            else:
                look(path)

    def _look_at_adapter(self, folder: Path) -> None:
        name = self._names.get(folder.name.casefold())
        named = {str(number) for number in self._registry.versions(name)} if name else set()
        for path in _entries(folder):
            if path.name in named:
                continue
            if path.is_symlink():
                self.keep(path, "a link: gc follows none")
            elif path.name.startswith(STAGING):
                self._look_at_staging(path)
            elif not path.is_dir():
                self.keep(path, "no folder of a version")
            elif not _is_number(path.name):
                self.keep(path, "its name is no version's")
            elif _ADAPTER_FILES.isdisjoint(os.listdir(path)) and any(_entries(path)):
                self.keep(path, "no adapter's files are in it")
            else:
                self.found.append((path, "version"))
        if name is None and not _entries(folder):
            self.found.append((folder, "leftover"))

    def _look_at_staging(self, path: Path) -> None:
        with _to_oneself(path, "leftover") as free:
            if free:
                self.found.append((path, "leftover"))
            else:
                self.keep(path, "another process is filling it")

    def _look_at_run(self, folder: Path) -> None:
        checkpoint = folder / _CHECKPOINT
        if _entries(folder) in ([], [folder / _LOCK]):
            return  # a lock that a run has left: deleting it could let two runs in
        with _to_oneself(checkpoint, "run") as free:
            if not free:
                self.keep(folder, "it is being trained now")
                return
            resumable = checkpoint.is_file()
            given_up = self._is_given_up(folder)
            for path in _entries(folder):
                if _RUN_FILES.fullmatch(path.name):
                    self.found.append((path, "leftover"))
                elif path.name == _CHECKPOINT and given_up:
                    self.found.append((path, "run"))
            if resumable and not given_up:
                name, trial, _ = folder.name.partition("+")
                again = f"sweep {name}, with the same flags" if trial else f"train {name} --resume"
                self.keep(folder, f"an interrupted run: adapter-hub {again}")

    def _look_at_pull(self, folder: Path) -> None:
        with _to_oneself(folder, "download") as free:
            if not free:
                self.keep(folder, "it is being pulled now")
            elif self._is_given_up(folder):
                self.found.append((folder, "download"))
            else:
                self.keep(folder, "an interrupted download: the next pull goes on with it")

    def _is_given_up(self, folder: Path) -> bool:
        return self._older_than is not None and _age(folder) >= self._older_than


@contextlib.contextmanager
def _to_oneself(path: Path, kind: Kind) -> Iterator[bool]:
    """Whether nobody works on it, for as long as the body runs; by age where locks do not tell."""
    if path.parent.parent.name == ".runs":
        lock, whole = path.parent / _LOCK, path.parent
    elif kind == "download" or path.name.startswith(STAGING):
        lock = whole = path
    else:
        yield True
        return
    with taken(lock) as free:
        yield _age(whole) > _A_DAY if free is None else free


def _is_named(path: Path, document: Mapping[str, Any], names: Mapping[str, str]) -> bool:
    """``names`` are those of the document's adapters, by themselves without case."""
    name = names.get(path.parent.name.casefold())
    return name is not None and path.name in document["adapters"][name].get("versions", {})


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and not name.startswith("0")


def _is_temporary(path: Path) -> bool:
    return bool(_TEMPORARY.fullmatch(path.name) or _CLAIM.fullmatch(path.name))


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing where it is gone or nobody may look."""
    try:
        return [folder / name for name in sorted(os.listdir(folder))]
    except OSError:
        return []


def _below(path: Path) -> Iterator[os.stat_result]:
    """What the system knows of a path and all below it; links count as themselves."""
    with contextlib.suppress(OSError):
        yield os.lstat(path)
    if path.is_dir() and not path.is_symlink():
        for each in _entries(path):
            yield from _below(each)


def _age(path: Path) -> float:
    """Seconds since anything in it was touched."""
    return time.time() - max((each.st_mtime for each in _below(path)), default=time.time())


def _measured(folder: Path, found: Iterable[tuple[Path, Kind]]) -> list[Garbage]:
    """With the bytes of each. A file that has a name elsewhere too gives nothing back."""
    seen = [(path, kind, list(_below(path))) for path, kind in found]
    names: dict[tuple[int, int], int] = {}
    for each in (each for _, _, below in seen for each in below):
        names[each.st_dev, each.st_ino] = names.get((each.st_dev, each.st_ino), 0) + 1
    garbage = []
    for path, kind, below in seen:
        size = 0
        for each in below:
            if (
                not stat.S_ISDIR(each.st_mode)
                and names.pop((each.st_dev, each.st_ino), 0) >= each.st_nlink
            ):
                size += each.st_size
        garbage.append(Garbage(_relative(folder, path), kind, size))
    return garbage


def _relative(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
