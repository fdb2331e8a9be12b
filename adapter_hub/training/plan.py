"""What a training run will do, settled and checked before anything heavy is imported."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapter_hub.datasets.files import is_data_file
from adapter_hub.errors import UnknownNameError, UnknownOfferError, UsageError
from adapter_hub.loading.origins import newest_record, with_origin
from adapter_hub.loading.quantized import require_bitsandbytes
from adapter_hub.model import Base, Recipe, TrainingSettings, check_name
from adapter_hub.options import check_options, suggestion
from adapter_hub.plugins import BUILT_IN, Catalog, Offer
from adapter_hub.registry.store import Registry
from adapter_hub.training.sources import DataSource, dataset_of, find_source, validation_of
from adapter_hub.training.start import Start, recipe_from


@dataclass(frozen=True)
class Changes:
    """What a command line changes in a recipe. None and empty mean: as the recipe says."""

    base: str | None = None
    method: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    data: str | None = None
    data_options: Mapping[str, Any] = field(default_factory=dict)
    eval_data: str | None = None
    column_map: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """One run of a sweep: what it varies of the recipe. ``told`` is what its record says of it."""

    vary: Changes
    told: Mapping[str, Any]
    parent: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Plan:
    """A checked recipe with everything it names found. ``digest`` identifies it for ``status``.

    ``before`` is the recipe as the registry had it, without this run's changes, and ``kept`` what
    it will be: of a trial, without what the sweep varies. ``held_out`` is what the loss is measured
    on, unless it is a share of ``data``; ``plugins`` are the distributions that offer its method,
    datasets and base, with their versions. ``start`` is the version that it goes on from.
    """

    name: str
    recipe: Recipe
    before: Recipe
    base: Base
    method: Offer
    data: DataSource
    held_out: DataSource | None
    digest: str
    plugins: Mapping[str, str]
    kept: Recipe
    start: Start | None = None
    trial: Trial | None = None


def make_plan(
    registry: Registry,
    name: str,
    changes: Changes,
    catalog: Catalog,
    start: Start | None = None,
    trial: Trial | None = None,
) -> Plan:
    """Settle what ``train NAME`` does, from the bare base or from ``start``.

    A new name takes the recipe of ``start``. Raises UsageError, OptionError, UnknownNameError,
    DataError, IncompatibleError.
    """
    try:
        return _make_plan(registry, name, changes, catalog, start, trial)
    except UnknownOfferError as error:
        raise with_origin(error, newest_record(registry, name)) from None


def _make_plan(
    registry: Registry,
    name: str,
    changes: Changes,
    catalog: Catalog,
    start: Start | None,
    trial: Trial | None,
) -> Plan:
    before = current_recipe(registry, name)
    is_new = start is not None and not registry.has_adapter(name)
    kept = change_recipe(recipe_from(start, catalog) if start and is_new else before, changes)
    recipe = change_recipe(kept, trial.vary) if trial else kept
    if not (recipe.base or registry.has_adapter(name)):
        close = suggestion(name, registry.adapter_names())
        raise UnknownNameError(
            f"registry.toml has no adapter {name!r}{close}.",
            hint=f"for a new one: adapter-hub train {name} --base BASE --data DATA",
        )
    base = registry.base(_require_base(recipe.base, name))
    plan = settle(name, recipe, before, base, registry.folder, catalog)
    return dataclasses.replace(plan, kept=kept if trial else plan.recipe, start=start, trial=trial)


def settle(
    name: str, recipe: Recipe, before: Recipe, base: Base, root: Path, catalog: Catalog
) -> Plan:
    """Find what ``recipe`` names on ``base``. Raises UsageError, OptionError, UnknownNameError, DataError."""
    if not recipe.data:
        raise UsageError(
            f"the recipe of {name!r} names no data.", hint=f"adapter-hub train {name} --data DATA"
        )
    if recipe.training.early_stop and recipe.training.eval_fraction == 0:
        raise UsageError(
            "early_stop needs held-out rows, and eval_fraction is 0.",
            hint=f"adapter-hub train {name} --eval-fraction 0.1, or --early-stop 0",
        )
    require_bitsandbytes(recipe.training.quantize)
    method = catalog.find("method", recipe.method)
    data = find_source(recipe.data, root, catalog, recipe.data_options)
    held_out = _held_out(recipe, data, root, catalog)
    offers = [method, *(each.offer for each in (data, held_out) if each and each.offer)]
    if base.source.kind == "plugin":
        offers.append(catalog.find("base", base.source.location))
    options = check_method_options(method, recipe.options)
    recipe = dataclasses.replace(recipe, options=options, data_options=data.options)
    plugins = {each.distribution: each.version for each in offers if each.distribution != BUILT_IN}
    digest = recipe_digest(recipe, base)
    return Plan(name, recipe, before, base, method, data, held_out, digest, plugins, recipe)


def _held_out(recipe: Recipe, data: DataSource, root: Path, catalog: Catalog) -> DataSource | None:
    """What the recipe names, else the part that its dataset declares for it."""
    if recipe.eval_data:
        same = data.offer is not None and dataset_of(recipe.eval_data) == data.offer.name
        return find_source(recipe.eval_data, root, catalog, data.options if same else {})
    return validation_of(data) if recipe.training.eval_fraction is None else None


def current_recipe(registry: Registry, name: str) -> Recipe:
    """The recipe in the registry, or an empty one for a new name. Raises UsageError, ConflictError, RegistryError."""
    if registry.has_adapter(name):
        return registry.adapter(name).recipe
    check_name(name, "an adapter")
    registry.refuse_twin(name, "adapter")
    return Recipe()


def change_recipe(recipe: Recipe, changes: Changes) -> Recipe:
    """``recipe`` with ``changes``. Another method or dataset starts with no options. Raises UsageError."""
    for flag in ("base", "method", "data", "eval_data"):
        if getattr(changes, flag) == "":
            raise UsageError(f"--{flag.replace('_', '-')} is empty.")
    same_method = changes.method in (None, recipe.method)
    same_data = not (changes.data and recipe.data) or dataset_of(changes.data) == dataset_of(
        recipe.data
    )
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
        data_options={**(recipe.data_options if same_data else {}), **changes.data_options},
        eval_data=changes.eval_data or (None if split_anew else recipe.eval_data),
        column_map={
            # Other data has other columns.
            **(recipe.column_map if changes.data in (None, recipe.data) else {}),
            **changes.column_map,
        },
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


def data_as_recipe_says(data: str, registry: Registry) -> str:
    """A file named from the working directory, named as a recipe of ``registry`` names it."""
    if data.startswith("hf:") or not is_data_file(data):
        return data
    return registry.written_path(data)


def recipe_digest(recipe: Recipe, base: Base) -> str:
    """``sha256:…`` of the resolved recipe: every setting, and the base's source and revision."""
    content = json.dumps(canonical(resolved(recipe, base)), sort_keys=True)
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def resolved(recipe: Recipe, base: Base) -> dict[str, Any]:
    """The whole recipe, defaults written out, as the record keeps it."""
    return {
        "base": {"source": str(base.source), "revision": base.revision},
        "method": recipe.method,
        "options": dict(recipe.options),
        "data": recipe.data,
        **({"data_options": dict(recipe.data_options)} if recipe.data_options else {}),
        "eval_data": recipe.eval_data,
        "column_map": dict(recipe.column_map),
        "training": recipe.training.told(),
    }


def without_machine_paths(recipe: dict[str, Any]) -> dict[str, Any]:
    """A resolved recipe as records have it, which travel: absolute paths cut to their last part."""

    def short(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [short(each) for each in value]
        if isinstance(value, Mapping):
            return {key: short(each) for key, each in value.items()}
        return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value

    told = ("data", "data_options", "eval_data")
    return {key: short(value) if key in told else value for key, value in recipe.items()}


def canonical(value: Any) -> Any:
    """``1`` and ``1.0`` are the same setting, and tuples the same as lists."""
    if isinstance(value, Mapping):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _require_base(name: str | None, adapter: str) -> str:
    """The recipe's base. Raises UsageError when it names none."""
    if not name:
        raise UsageError(
            f"the recipe of {adapter!r} names no base.",
            hint=f"adapter-hub train {adapter} --base BASE --data DATA",
        )
    return name
