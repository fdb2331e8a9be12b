"""What a version was made of that is something else by now: recipe, base, data, plugins.

The version's record says what it was. What lies here now is read without loading anything.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from adapter_hub.datasets.files import is_data_file
from adapter_hub.errors import BaseModelError
from adapter_hub.loading.folders import recorded
from adapter_hub.loading.identity import PARTS, base_identity
from adapter_hub.model import Base, Recipe
from adapter_hub.registry.digests import Digests
from adapter_hub.registry.store import Registry
from adapter_hub.training.plan import canonical, resolved, without_machine_paths

What = Literal["recipe", "base", "data", "plugin"]
DATA = ("data", "eval_data")


@dataclass(frozen=True)
class Change:
    """``key`` was ``old`` when the version was made and is ``new`` now.

    Settings are told as they are, contents by their digests; None where there is none.
    """

    what: What
    key: str
    old: Any
    new: Any
    text: str


@dataclass
class Found:
    """The changes, and in a phrase each what cannot be told here."""

    changes: list[Change]
    unknown: list[str]


class Here:
    """What lies on this machine now. Each thing is read once."""

    def __init__(self, registry: Registry) -> None:
        self.folder = registry.folder
        self.digests = Digests(registry)
        self.version_of = functools.cache(_installed)
        self.identity_of = functools.cache(self._identity)
        self.content_of = functools.cache(self._content)

    def _identity(self, location: str) -> dict[str, str]:
        """Of the base in a folder. Raises BaseModelError."""
        return base_identity(self.folder / Path(location).expanduser()).as_record()

    def _content(self, data: str) -> str | None:
        """The digest of a data file; None where it is not to be read."""
        try:
            return self.digests.of(self.folder / data)
        except OSError:
            return None


def find_changes(
    recipe: Recipe, base: Base, record: dict[str, Any], same_recipe: bool, here: Here
) -> Found:
    """What is not as in ``record``; ``same_recipe`` is what the digests of the recipes say."""
    found = Found([], [])
    if not same_recipe:
        found.changes += _recipe_changes(recipe, base, record)
    if base.source.kind == "path" and _same_source(base, record):
        found.changes += _base_changes(base, record, here)
    for part in DATA:
        _look_at_data(part, getattr(recipe, part), record, here, found)
    _look_at_plugins(record, here, found)
    return found


def _recipe_changes(recipe: Recipe, base: Base, record: dict[str, Any]) -> Iterator[Change]:
    """Setting by setting; nothing where the record tells no recipe, or the same one."""
    told = recorded(record, "recipe")
    if not told:
        return
    then = dict(_settings(told))
    now = dict(_settings(without_machine_paths(resolved(recipe, base))))
    for key in {**then, **now}:
        old, new = then.get(key), now.get(key)
        if old != new:
            what: What = "base" if key.startswith("base.") else "recipe"
            yield Change(what, key, old, new, f"{key} {shown(old)} → {shown(new)}")


def _settings(recipe: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """``("training.steps", 6)`` and so on."""
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            for name, each in value.items():
                yield f"{key}.{name}", canonical(each)
        else:
            yield key, canonical(value)


def _same_source(base: Base, record: dict[str, Any]) -> bool:
    table = recorded(record, "base")
    return (table.get("source"), table.get("revision")) == (str(base.source), base.revision)


def _base_changes(base: Base, record: dict[str, Any], here: Here) -> Iterator[Change]:
    """What the files of a base in a folder tell. Others are pinned to a commit, or a plugin's."""
    then = recorded(recorded(record, "base"), "identity")
    if not then:
        return
    try:
        now = here.identity_of(base.source.location)
    except BaseModelError as error:
        text = f"base {base.name} cannot be read: {error.message.rstrip('.')}"
        yield Change("base", "base.weights", then.get("weights"), None, text)
        return
    for key, part in PARTS.items():
        if then.get(key) and then[key] != now.get(key):
            text = f"the {part} of base {base.name} changed"
            yield Change("base", f"base.{key}", then[key], now.get(key), text)


def _look_at_data(
    part: str, data: str | None, record: dict[str, Any], here: Here, found: Found
) -> None:
    told = recorded(record, "recipe").get(part)
    if not data or data.startswith("hf:") or not is_data_file(data):
        return
    if told not in (data, Path(data).name):
        return  # another file: the recipe's change says so
    then, now = recorded(record, part).get("file"), here.content_of(data)
    if now is None:
        found.unknown.append(f"{data} is not here, so it may have changed")
    elif then is None:
        found.unknown.append(f"{data} may have changed: its digest was not recorded")
    elif then != now:
        found.changes.append(Change("data", part, then, now, f"{data} has other content"))


def _look_at_plugins(record: dict[str, Any], here: Here, found: Found) -> None:
    for name, then in sorted(recorded(record, "plugins").items()):
        now = here.version_of(str(name))
        if now is None:
            found.unknown.append(f"{name} {then} is not installed")
        elif now != then:
            found.changes.append(Change("plugin", str(name), then, now, f"{name} {then} → {now}"))


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def shown(value: Any) -> str:
    """A setting as people read it."""
    if value is None:
        return "unset"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
