"""Versions that are the same, told from the digests in ``registry.toml`` alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from adapter_hub.model import Version
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import version_digest

WEIGHTS = "adapter_model.safetensors"

Member = tuple[str, Version]


@dataclass(frozen=True)
class Duplicates:
    """Versions of one ``digest``: of all their files (``version``), or of the weights alone.

    ``bytes`` is what one copy instead of all would save of the files that are here.
    """

    kind: Literal["version", "weights"]
    digest: str
    versions: list[str]
    bytes: int


def find_duplicates(registry: Registry) -> tuple[list[Duplicates], int]:
    """Every group of two or more, those that take most room first, and the bytes of all together.

    Versions with the same weights are a group of their own where their other files differ. No
    file is read; files that are links to one another take no room that could be saved.
    Raises RegistryError.
    """
    whole: dict[str, list[Member]] = {}
    weights: dict[str, list[Member]] = {}
    for name in registry.adapter_names():
        for _, version in sorted(registry.versions(name).items()):
            if version.files:
                whole.setdefault(version_digest(version.files), []).append((name, version))
            if WEIGHTS in version.files:
                weights.setdefault(version.files[WEIGHTS], []).append((name, version))
    room = _Room(registry)
    groups = [
        Duplicates("version", digest, _references(members), room.of(members))
        for digest, members in whole.items()
        if len(members) > 1
    ]
    named = [each.versions for each in groups]
    groups += [
        Duplicates("weights", digest, references, room.of(members, WEIGHTS))
        for digest, members in weights.items()
        if len(members) > 1 and (references := _references(members)) not in named
    ]
    return sorted(groups, key=lambda each: (-each.bytes, each.versions)), room.total()


def find_doubles(registry: Registry) -> list[str]:
    """One line for each adapter that has a version of another one: its number, time and files.

    git leaves two of them, and no conflict, where branches renamed one adapter to two names. A
    bundle applied under another name looks the same, so this is no error. Raises RegistryError.
    """
    owners: dict[tuple[int, datetime, str], str] = {}
    doubles: dict[tuple[str, str], int] = {}
    for name in registry.adapter_names():
        for number, version in registry.versions(name).items():
            if version.files:
                key = number, version.created, version_digest(version.files)
                owner = owners.setdefault(key, name)
                if owner != name:
                    doubles.setdefault((owner, name), number)
    return [
        f"{registry.path}: {owner}@{number} and {name}@{number} are one version under two names; "
        "if branches were merged that renamed one adapter to both, remove one of them"
        for (owner, name), number in doubles.items()
    ]


def _references(members: Iterable[Member]) -> list[str]:
    return [f"{name}@{version.number}" for name, version in members]


class _Room:
    """Sizes of files of the same digest, each place on the disk once, whatever its names."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._copies: dict[str, dict[tuple[int, int], int]] = {}

    def of(self, members: Iterable[Member], only: str | None = None) -> int:
        """What one copy of each file of ``members``, or of the ``only`` one, would save."""
        copies: dict[str, dict[tuple[int, int], int]] = {}
        for name, version in members:
            folder = self._registry.version_folder(name, version.number)
            for file, digest in version.files.items():
                if only is None or file == only:
                    copies.setdefault(digest, {}).update(_place(folder / file))
        for digest, places in copies.items():
            self._copies.setdefault(digest, {}).update(places)
        return sum(map(_spare, copies.values()))

    def total(self) -> int:
        """What was looked at, together: a file in two groups counts once."""
        return sum(map(_spare, self._copies.values()))


def _place(path: Path) -> Iterator[tuple[tuple[int, int], int]]:
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # not on this machine
        return
    yield (found.st_dev, found.st_ino), found.st_size


def _spare(places: dict[tuple[int, int], int]) -> int:
    return sum(places.values()) - max(places.values(), default=0)
