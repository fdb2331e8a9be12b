"""Whether an adapter's newest version is what its recipe would make now."""

from __future__ import annotations

from typing import Any

from adapter_hub.model import Adapter
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import damage
from adapter_hub.training.plan import recipe_digest


def adapter_status(registry: Registry, adapter: Adapter) -> dict[str, Any]:
    """One object of ``status --json``.

    ``state`` is current, stale, modified, never trained, or ahead of the Hub: current, and newer
    than what was pushed or pulled last. ``ahead`` counts such versions, in every state; it is
    None where nothing was. What the Hub has by now, ``push --status`` asks.
    """
    newest = adapter.newest
    state, why = _state(registry, adapter)
    shared = [number for number, version in adapter.versions.items() if version.hub.get("repo")]
    ahead = sum(number > max(shared) for number in adapter.versions) if shared else None
    if state == "current" and ahead:
        last = max(shared)
        state, why = "ahead of the Hub", f"{adapter.versions[last].hub['repo']} has version {last}"
    return {
        "name": adapter.name,
        "version": newest.number if newest else None,
        "state": state,
        "why": why,
        "ahead": ahead,
    }


def _state(registry: Registry, adapter: Adapter) -> tuple[str, str]:
    newest, recipe = adapter.newest, adapter.recipe
    lost = "" if recipe.base in registry.base_names() else _without_base(recipe.base)
    if newest is None:
        return "never trained", lost
    damaged = damage(registry.version_folder(adapter.name, newest.number), newest)
    if damaged:
        return "modified", f"version {newest.number}: {'; '.join(damaged)}"
    if newest.recipe is None:
        return "current", "imported; it has no recipe"
    if lost or recipe.base is None:
        return "stale", lost
    if recipe_digest(recipe, registry.base(recipe.base)) != newest.recipe:
        return "stale", f"the recipe or its base changed after version {newest.number}"
    return "current", ""


def _without_base(name: str | None) -> str:
    return f"base {name!r} is not in the registry" if name else "its recipe names no base"
