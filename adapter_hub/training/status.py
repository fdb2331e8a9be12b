"""Whether an adapter's newest version is what its recipe would make now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from adapter_hub.errors import AdapterHubError
from adapter_hub.loading.folders import read_record, recorded
from adapter_hub.model import Adapter, Version
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import damage
from adapter_hub.training.changed import Change, Here, find_changes
from adapter_hub.training.plan import recipe_digest

State = Literal["current", "stale", "modified", "never trained", "ahead of the Hub"]
TO_TRAIN = ("stale", "never trained")


@dataclass(frozen=True, kw_only=True)
class Status:
    """One adapter. ``ahead of the Hub`` is current, and newer than what was pushed or pulled last.

    ``ahead`` counts such versions, in every state; it is None where nothing was pushed or pulled.
    What the Hub has by now, ``push --status`` asks. ``changes`` are what made it stale, and
    ``unknown`` what cannot be told here and does not make it so.
    """

    name: str
    version: int | None
    state: State
    why: str
    ahead: int | None
    changes: list[Change] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def adapter_status(registry: Registry, adapter: Adapter) -> Status:
    """The state of one adapter. Raises RegistryError."""
    return _status(registry, adapter, Here(registry))


def all_status(registry: Registry, names: Iterable[str] = ()) -> list[Status]:
    """Of the adapters named, or of all, by name. Raises UnknownNameError, RegistryError."""
    chosen = list(dict.fromkeys(names))
    adapters = [registry.adapter(name) for name in chosen] or list(registry.adapters())
    here = Here(registry)
    newest = [(each.name, each.newest) for each in adapters if each.newest]
    folders = [(registry.version_folder(name, each.number), each.files) for name, each in newest]
    here.digests.read(folder / name for folder, files in folders for name in files)
    found = [_status(registry, each, here) for each in adapters]
    here.digests.keep(all_were_asked=not chosen)
    return found


def _status(registry: Registry, adapter: Adapter, here: Here) -> Status:
    newest = adapter.newest
    changes: list[Change] = []
    unknown: list[str] = []
    state, why = _without_record(registry, adapter, here)
    if state == "current" and newest and newest.recipe:
        recipe = adapter.recipe
        base = registry.base(str(recipe.base))
        digest = recipe_digest(recipe, base)
        judged, record = _of_recipe(registry, adapter, newest, digest)
        same = digest == judged.recipe
        found = find_changes(recipe, base, record, same, here)
        changes, unknown = found.changes, found.unknown
        reasons = [each.text for each in changes]
        if not same and not any(each.what in ("recipe", "base") for each in changes):
            reasons.insert(0, f"the recipe or its base changed after version {newest.number}")
        state, why = "stale" if reasons else "current", "; ".join(reasons)
    shared = [number for number, version in adapter.versions.items() if version.hub.get("repo")]
    ahead = sum(number > max(shared) for number in adapter.versions) if shared else None
    if state == "current" and ahead:
        last = max(shared)
        state, why = "ahead of the Hub", f"{adapter.versions[last].hub['repo']} has version {last}"
    return Status(
        name=adapter.name,
        version=newest.number if newest else None,
        state=state,
        why=why or "; ".join(unknown),
        ahead=ahead,
        changes=changes,
        unknown=unknown,
    )


def _without_record(registry: Registry, adapter: Adapter, here: Here) -> tuple[State, str]:
    """What the registry and the files' digests tell."""
    newest, recipe = adapter.newest, adapter.recipe
    lost = "" if recipe.base in registry.base_names() else _without_base(recipe.base)
    if newest is None:
        return "never trained", lost
    folder = registry.version_folder(adapter.name, newest.number)
    try:
        damaged = damage(folder, newest, here.digests.of)
    except OSError as error:
        damaged = [f"{error.filename or folder} cannot be read: {error.strerror or error}"]
    if damaged:
        return "modified", f"version {newest.number}: {'; '.join(damaged)}"
    if newest.recipe is None:
        return "current", "imported or merged; it has no recipe"
    return ("stale", lost) if lost else ("current", "")


def _of_recipe(
    registry: Registry, adapter: Adapter, newest: Version, digest: str
) -> tuple[Version, dict[str, Any]]:
    """The version to judge and its record: the newest or, where that is a trial, the recipe's own."""
    record = _record(registry, adapter, newest)
    same = [number for number, each in adapter.versions.items() if each.recipe == digest]
    if newest.recipe == digest or not recorded(record, "sweep") or not same:
        return newest, record
    version = adapter.versions[max(same)]
    return version, _record(registry, adapter, version)


def _record(registry: Registry, adapter: Adapter, version: Version) -> dict[str, Any]:
    """Empty where it has none that can be read: then it tells nothing of any change."""
    try:
        return read_record(registry.version_folder(adapter.name, version.number))
    except AdapterHubError:
        return {}


def _without_base(name: str | None) -> str:
    return f"base {name!r} is not in the registry" if name else "its recipe names no base"
