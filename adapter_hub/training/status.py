"""Whether an adapter's newest version is what its recipe would make now."""

from __future__ import annotations

from typing import Any

from adapter_hub.model import Adapter
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import damage
from adapter_hub.training.plan import recipe_digest


def adapter_status(registry: Registry, adapter: Adapter) -> dict[str, Any]:
    """One object of ``status --json``: ``state`` is current, stale, modified, or never trained."""
    newest = adapter.newest
    state, why = _state(registry, adapter)
    return {
        "name": adapter.name,
        "version": newest.number if newest else None,
        "state": state,
        "why": why,
    }


def _state(registry: Registry, adapter: Adapter) -> tuple[str, str]:
    newest, recipe = adapter.newest, adapter.recipe
    if newest is None:
        return "never trained", ""
    damaged = damage(registry.version_folder(adapter.name, newest.number), newest)
    if damaged:
        return "modified", f"version {newest.number}: {'; '.join(damaged)}"
    if newest.recipe is None:
        return "current", "imported; it has no recipe"
    if recipe.base not in registry.base_names():
        return "stale", f"base {recipe.base!r} is not in the registry"
    if recipe_digest(recipe, registry.base(recipe.base)) != newest.recipe:
        return "stale", f"the recipe or its base changed after version {newest.number}"
    return "current", ""
