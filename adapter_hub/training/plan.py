"""What a training run will do, settled and checked before anything heavy is imported."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapter_hub.datasets.files import check_file, is_data_file
from adapter_hub.errors import DataError, UnknownNameError, UnknownOfferError, UsageError
from adapter_hub.loading.origins import newest_record, with_origin
from adapter_hub.model import Base, Recipe, TrainingSettings, check_name
from adapter_hub.options import check_options, suggestion
from adapter_hub.plugins import BUILT_IN, Catalog, Offer
from adapter_hub.registry.store import Registry, require_base


@dataclass(frozen=True)
class Changes:
    """What a command line changes in a recipe. None and empty mean: as the recipe says."""

    base: str | None = None
    method: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    data: str | None = None
    eval_data: str | None = None
    column_map: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A checked recipe with everything it names found. ``digest`` identifies it for ``status``.

    ``before`` is the recipe as the registry had it, without this run's changes; ``plugins`` are
    the distributions that offer its method, dataset and base, with their versions.
    """

    name: str
    recipe: Recipe
    before: Recipe
    base: Base
    method: Offer
    data: str
    digest: str
    plugins: Mapping[str, str]


def make_plan(registry: Registry, name: str, changes: Changes, catalog: Catalog) -> Plan:
    """Settle what ``train NAME`` does. Raises UsageError, OptionError, UnknownNameError, DataError."""
    try:
        return _make_plan(registry, name, changes, catalog)
    except UnknownOfferError as error:
        raise with_origin(error, newest_record(registry, name)) from None


def _make_plan(registry: Registry, name: str, changes: Changes, catalog: Catalog) -> Plan:
    before = current_recipe(registry, name)
    recipe = change_recipe(before, changes)
    if not (recipe.base or registry.has_adapter(name)):
        close = suggestion(name, registry.adapter_names())
        raise UnknownNameError(
            f"registry.toml has no adapter {name!r}{close}.",
            hint=f"for a new one: adapter-hub train {name} --base BASE --data DATA",
        )
    base = registry.base(require_base(recipe.base, name))
    data = recipe.data
    if not data:
        raise UsageError(
            f"the recipe of {name!r} names no data.", hint=f"adapter-hub train {name} --data DATA"
        )
    method = catalog.find("method", recipe.method)
    offers = [method]
    for each in filter(None, (data, recipe.eval_data)):
        offers += check_data(each, registry.folder, catalog)
    if base.source.kind == "plugin":
        offers.append(catalog.find("base", base.source.location))
    recipe = dataclasses.replace(recipe, options=check_method_options(method, recipe.options))
    plugins = {each.distribution: each.version for each in offers if each.distribution != BUILT_IN}
    return Plan(name, recipe, before, base, method, data, recipe_digest(recipe, base), plugins)


def current_recipe(registry: Registry, name: str) -> Recipe:
    """The recipe in the registry, or an empty one for a new name. Raises UsageError, ConflictError, RegistryError."""
    if registry.has_adapter(name):
        return registry.adapter(name).recipe
    check_name(name, "an adapter")
    registry.refuse_twin(name, "adapter")
    return Recipe()


def change_recipe(recipe: Recipe, changes: Changes) -> Recipe:
    """``recipe`` with ``changes``. Another method starts with no options. Raises UsageError."""
    for flag in ("base", "method", "data", "eval_data"):
        if getattr(changes, flag) == "":
            raise UsageError(f"--{flag.replace('_', '-')} is empty.")
    same_method = changes.method in (None, recipe.method)
    training = {**recipe.training.given(), **changes.training}
    if "epochs" in changes.training and "steps" not in changes.training:
        training.pop("steps", None)
    if "steps" in changes.training and "epochs" not in changes.training:
        training.pop("epochs", None)
    if changes.eval_data:
        training.pop("eval_fraction", None)
    split_anew = "eval_fraction" in changes.training
    return Recipe(
        base=changes.base or recipe.base,
        method=changes.method or recipe.method,
        options={**(recipe.options if same_method else {}), **changes.options},
        data=changes.data or recipe.data,
        eval_data=changes.eval_data or (None if split_anew else recipe.eval_data),
        column_map={**recipe.column_map, **changes.column_map},
        training=TrainingSettings(**training),
    )


def check_method_options(method: Offer, options: Mapping[str, Any]) -> dict[str, Any]:
    """Check a method's options against its signature. Raises OptionError, PluginError."""
    return check_options(
        method.options(),
        options,
        owner=f"method {method.name!r}",
        see=f"adapter-hub methods {method.name}",
    )


def check_data(data: str, root: Path, catalog: Catalog) -> list[Offer]:
    """The dataset of that name, if it is one: files and the Hub need none.

    Raises DataError for a file that is not there, UnknownNameError for an unknown dataset.
    """
    if data.startswith("hf:"):
        return []
    if not is_data_file(data):
        return [catalog.find("dataset", data)]
    try:
        check_file(root / data)
    except DataError as error:
        if re.fullmatch(r"[\w.-]+/[\w.-]+", data):
            error.hint = f"a dataset on the Hub is written hf:{data}"
        raise
    return []


def data_as_recipe_says(data: str, registry: Registry) -> str:
    """A file named from the working directory, named as a recipe of ``registry`` names it."""
    if data.startswith("hf:") or not is_data_file(data):
        return data
    return registry.written_path(data)


def recipe_digest(recipe: Recipe, base: Base) -> str:
    """``sha256:…`` of the resolved recipe: every setting, and the base's source and revision."""
    content = json.dumps(_canonical(resolved(recipe, base)), sort_keys=True)
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def resolved(recipe: Recipe, base: Base) -> dict[str, Any]:
    """The whole recipe, defaults written out, as the record keeps it."""
    return {
        "base": {"source": str(base.source), "revision": base.revision},
        "method": recipe.method,
        "options": dict(recipe.options),
        "data": recipe.data,
        "eval_data": recipe.eval_data,
        "column_map": dict(recipe.column_map),
        "training": dataclasses.asdict(recipe.training),
    }


def _canonical(value: Any) -> Any:
    """``1`` and ``1.0`` are the same setting, and tuples the same as lists."""
    if isinstance(value, Mapping):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
