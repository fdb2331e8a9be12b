"""Versions of one adapter that arrive together: all of them are named, in one edit, or none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adapter_hub.errors import ConflictError, RegistryError
from adapter_hub.model import Version
from adapter_hub.registry import schema
from adapter_hub.registry.aliases import alias_event
from adapter_hub.registry.atomic import sync_folder
from adapter_hub.registry.journal import Event
from adapter_hub.registry.store import Registry
from adapter_hub.registry.taken import refuse_taken, refuse_twin
from adapter_hub.registry.versions import make_durable, version_event


@dataclass
class Arrived:
    """What became of each version, by the number that it came with, and of the aliases."""

    added: dict[int, int] = field(default_factory=dict)
    same: dict[int, int] = field(default_factory=dict)
    kept_aliases: dict[str, int] = field(default_factory=dict)
    """Aliases that point elsewhere here already, and stay."""


def place_versions(
    taken: Mapping[int, Mapping[str, str]], versions: Mapping[int, Version]
) -> Arrived:
    """The numbers that ``versions`` get beside those that are ``taken``, with their files.

    What is here already, file by file, stays what it is. A number is kept where it is above all
    that are here, so that references mean the same on both machines; else the next one is given.
    """
    arrived = Arrived()
    highest = max(taken, default=0)
    for number, version in sorted(versions.items()):
        same = [n for n, files in sorted(taken.items()) if dict(files) == dict(version.files)]
        if same:
            arrived.same[number] = number if number in same else same[-1]
        else:
            highest = number if number > highest else highest + 1
            arrived.added[number] = highest
    return arrived


def publish_arrivals(
    registry: Registry,
    name: str,
    folders: Mapping[int, Path],
    versions: Mapping[int, Version],
    table: Mapping[str, Any],
    aliases: Mapping[str, int],
    *,
    copy_of: str | None = None,
) -> Arrived:
    """Name ``versions``, whose files are in ``folders``, in the entry of ``name``.

    A new entry begins as ``table``; of one that is there the recipe stays. An alias is set where
    there is none of its name. The folders are complete and durable before the registry names any.
    With ``copy_of``, what they are copied from, the entry must be a new one. Raises RegistryError,
    ConflictError.
    """
    for folder in folders.values():
        make_durable(folder)
    arrived = Arrived()
    moved: list[Path] = []
    set_aliases: dict[str, int] = {}

    def change(document: dict[str, Any]) -> None:
        nonlocal arrived
        if copy_of is not None:
            refuse_taken(document, name, "adapter")
        refuse_twin(document, name, "adapter")
        entry = document.setdefault("adapters", {}).setdefault(name, dict(table))
        there = entry.setdefault("versions", {})
        arrived = place_versions({int(n): each["files"] for n, each in there.items()}, versions)
        shift = 0
        for came, number in list(arrived.added.items()):
            # A folder without an entry is left from a crash: its number is never used again.
            while os.path.lexists(final := registry.version_folder(name, number + shift)):
                shift += 1
            if came not in folders:
                raise ConflictError(
                    f"{name} was changed by somebody else in this moment; nothing was written.",
                    hint="run the command again",
                )
            arrived.added[came] = number + shift
            final.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folders[came], final)
            moved.append(final)
            told = replace(versions[came], number=number + shift)
            there[str(number + shift)] = schema.version_table(told)
        if moved:
            sync_folder(moved[0].parent)
        for alias, came in aliases.items():
            number = {**arrived.added, **arrived.same}[came]
            held = entry.setdefault("aliases", {}).get(alias)
            if held is None:
                entry["aliases"][alias] = set_aliases[alias] = number
            elif held != number:
                arrived.kept_aliases[alias] = held
        if not entry.get("aliases", True):
            del entry["aliases"]
        if not there:
            del entry["versions"]

    def events() -> Iterator[Event]:
        numbers = sorted(arrived.added.values())
        if copy_of is not None:
            number = numbers[0] if numbers else None
            yield {"event": "copy", "adapter": name, "version": number, "from": copy_of}
            return
        for number in numbers:
            yield version_event("import", name, number)
        for alias, number in set_aliases.items():
            yield alias_event(name, alias, None, number)

    try:
        registry.edit(change, events)
    except BaseException as error:
        named = _named(registry, name)
        for folder in moved:
            if int(folder.name) not in named:
                shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise RegistryError(
                f"{registry.folder} cannot be written: {error.strerror or error}."
            ) from error
        raise
    return arrived


def _named(registry: Registry, name: str) -> set[int]:
    """The versions that the file on disk names: an edit may fail after it was made."""
    now = Registry.open(registry.path)
    return set(now.adapter(name).versions) if now.has_adapter(name) else set()
