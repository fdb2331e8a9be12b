"""Which plugins an adapter needs: its recipe names what they offer, its record them themselves."""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib import metadata
from typing import Any

from adapter_hub.entry_points import canonical
from adapter_hub.errors import AdapterHubError, UnknownOfferError
from adapter_hub.loading.folders import read_record, recorded
from adapter_hub.model import Adapter
from adapter_hub.plugins import BUILT_IN, Catalog
from adapter_hub.registry.store import Registry

# A record can come from anywhere, and what is made of it is a command to copy:
# https://packaging.python.org/en/latest/specifications/name-normalization/
_DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def recorded_distributions(record: dict[str, Any]) -> list[str]:
    """The distributions that brought an adapter's method, data and base, by name."""
    names = [*recorded(record, "plugins"), recorded(record, "method").get("distribution")]
    texts = {each for each in names if isinstance(each, str)}
    return sorted(each for each in texts - {BUILT_IN} if _DISTRIBUTION.fullmatch(each))


def newest_record(registry: Registry, name: str) -> dict[str, Any]:
    """The record of an adapter's newest version; empty where there is none that can be read."""
    newest = registry.adapter(name).newest if registry.has_adapter(name) else None
    try:
        return read_record(registry.version_folder(name, newest.number)) if newest else {}
    except AdapterHubError:
        return {}


def with_origin(error: UnknownOfferError, record: dict[str, Any]) -> UnknownOfferError:
    """``error``, with the distribution to install where ``record`` was made with what it names."""
    recipe = recorded(record, "recipe")
    data = [str(recipe.get(key)).partition(":")[0] for key in ("data", "eval_data")]
    used: dict[str, list[Any]] = {
        "method": [recipe.get("method"), recorded(record, "method").get("name")],
        "dataset": data,
        "base": [str(recorded(record, "base").get("source")).removeprefix("plugin:")],
    }
    absent = [each for each in recorded_distributions(record) if not _is_installed(each)]
    if error.name not in used.get(error.kind, []) or not absent:
        return error
    return UnknownOfferError(
        f"{error.kind} {error.name!r} came with {' or '.join(absent)}, which is not installed.",
        kind=error.kind,
        name=error.name,
        hint=f"pip install {' '.join(absent)}",
    )


def users_of(
    distributions: Collection[str], registry: Registry, catalog: Catalog
) -> dict[str, list[str]]:
    """The adapters that need one of ``distributions``, each with what it takes from them."""
    removed = {canonical(each) for each in distributions}
    catalog.load_all()
    theirs = {
        f"{kind} {offer.name}"
        for kind, offers in catalog.offers.items()
        for offer in offers.values()
        if canonical(offer.distribution) in removed
    }
    users = {}
    for adapter in registry.adapters():
        needs = [each for each in _needs(adapter, registry) if each in theirs]
        if not needs:  # a broken plugin offers nothing, and still made what was made with it
            made_by = recorded_distributions(newest_record(registry, adapter.name))
            needs = ["its newest version"] * any(canonical(each) in removed for each in made_by)
        if needs:
            users[adapter.name] = needs
    return users


def _needs(adapter: Adapter, registry: Registry) -> list[str]:
    recipe = adapter.recipe
    needs = [f"method {recipe.method}"]
    needs += [f"dataset {each}" for each in (recipe.data, recipe.eval_data) if each]
    if recipe.base in registry.base_names():
        source = registry.base(str(recipe.base)).source
        needs += [f"base {source.location}"] if source.kind == "plugin" else []
    return needs


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
