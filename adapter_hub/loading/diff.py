"""``diff A B``: in what two adapters differ, read from their files; no base is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapter_hub.errors import AdapterHubError, BaseModelError, UsageError
from adapter_hub.loading.compared import AdapterWeights, compare_weights
from adapter_hub.loading.folders import WEIGHTS, check_adapter_folder, read_record, recorded
from adapter_hub.loading.recorded import base_of
from adapter_hub.loading.weights import Weights
from adapter_hub.model import Reference, parse_reference
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digest, version_digest

_DATA_KEYS = ("data", "data_options", "eval_data", "column_map")
_RUN_KEYS = (
    "style",
    "max_length",
    "dtype",
    "seed",
    "steps",
    "tokens",
    "loss_tokens",
    "trainable_parameters",
    "total_parameters",
    "converted",
)
_NO_OPTIONS = ("base_model_name_or_path", "revision", "peft_version", "auto_mapping", "peft_type")
"""Keys of an adapter_config.json that say nothing of the method's options."""

Section = dict[str, Any]


@dataclass(frozen=True)
class _Side:
    """One of the two: where it lies, and what registry and files tell of it."""

    reference: str
    folder: Path
    config: dict[str, Any]
    record: dict[str, Any]
    base: dict[str, Any]
    metrics: Mapping[str, Any]
    name: str | None = None
    version: int | None = None
    created: Any = None
    digest: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "reference": self.reference,
            "name": self.name,
            "version": self.version,
            "created": self.created or self.record.get("created"),
            "digest": self.digest,
            "path": str(self.folder),
            "recorded": bool(recorded(self.record, "recipe")),
        }


def diff(
    a: str | Reference, b: str | Reference, *, registry: Registry | None = None
) -> dict[str, Any]:
    """The object of ``diff --json``.

    ``recipe``, ``options``, ``data``, ``metrics`` and ``provenance`` are lists of what differs:
    ``{"key", "a", "b"}``, None where a side does not say. ``options`` are those that the adapters
    have, from their configurations; ``recipe`` is what else was recorded. ``weights`` is what
    ``compare_weights`` tells, and ``same_file``.

    Raises UsageError, UnknownNameError, BaseModelError; HubError for an ``hf:`` reference.
    """
    parsed = [parse_reference(each) if isinstance(each, str) else each for each in (a, b)]
    one, other = (_open(each, registry) for each in parsed)
    pairs = {
        name: _differences(read(one), read(other))
        for name, read in {
            "recipe": _recipe,
            "options": _options,
            "data": _data,
            "metrics": lambda side: dict(side.metrics),
            "provenance": _provenance,
        }.items()
    }
    weights = compare_weights(*(_weights(side) for side in (one, other)))
    return {
        "a": one.as_json(),
        "b": other.as_json(),
        **pairs,
        "weights": {"same_file": _same_file(one.folder, other.folder), **weights},
    }


def _open(reference: Reference, registry: Registry | None) -> _Side:
    if reference.kind == "base":
        raise UsageError(f"{reference} is a base; diff compares adapters.", hint="adapter-hub list")
    if reference.kind == "name":
        return _open_version(reference, registry or Registry.open())
    if reference.kind == "hf":
        from adapter_hub.loading.hub import fetch_adapter

        folder = fetch_adapter(reference)
    else:
        folder = Path(reference.target).expanduser()
    config, record = check_adapter_folder(folder), read_record(folder)
    base = _base(config, record, folder, registry)
    return _Side(str(reference), folder, config, record, base, recorded(record, "metrics"))


def _open_version(reference: Reference, registry: Registry) -> _Side:
    adapter, version = registry.resolve(reference)
    folder = registry.version_folder(adapter.name, version.number)
    name = f"{adapter.name}@{version.number}"
    try:
        config, record = check_adapter_folder(folder), read_record(folder)
    except AdapterHubError as error:
        error.reword(f"{name} cannot be compared: {error.message}")
        error.hint = error.hint or f"adapter-hub verify {name}"
        raise
    return _Side(
        name,
        folder,
        config,
        record,
        _base(config, record, folder, registry),
        version.metrics,
        adapter.name,
        version.number,
        version.created,
        version_digest(version.files),
    )


def _base(
    config: dict[str, Any], record: dict[str, Any], folder: Path, registry: Registry | None
) -> dict[str, Any]:
    """What the adapter sits on, as far as its files tell."""
    told = {"identity": recorded(recorded(record, "base"), "identity")}
    try:
        base = base_of(config, record, folder, registry)
    except BaseModelError:
        return told
    return {"source": str(base.source), "revision": base.revision, **told}


def _recipe(side: _Side) -> Section:
    """What was recorded of it and is in no other section.

    Of the options only those that are not in the configuration: a recipe says the others another
    way ("all-linear"), or leaves them out.
    """
    recipe = recorded(side.record, "recipe")
    options = recorded(recipe, "options")
    section = {key: value for key, value in recipe.items() if key not in (*_DATA_KEYS, "base")}
    return section | {"options": {key: options[key] for key in options if key not in side.config}}


def _options(side: _Side) -> Section:
    return {
        # What PEFT keeps in sets comes in any order.
        key: sorted(value) if _is_of_names(value) else value
        for key, value in side.config.items()
        if key not in _NO_OPTIONS
    }


def _is_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _data(side: _Side) -> Section:
    recipe = recorded(side.record, "recipe")
    section: Section = {key: recipe[key] for key in _DATA_KEYS if key in recipe}
    for key in ("data", "eval_data"):
        read = recorded(side.record, key)
        section.update({f"{key}.{name}": value for name, value in read.items()})
    return section


def _provenance(side: _Side) -> Section:
    record, config = side.record, side.config
    method = {"peft_type": config.get("peft_type"), **recorded(record, "method")}
    environment = recorded(record, "environment")
    packages = {"peft": config.get("peft_version"), **recorded(environment, "packages")}
    return {
        "base": side.base,
        "method": method,
        "plugins": recorded(record, "plugins"),
        **{key: record.get(key) for key in _RUN_KEYS},
        **{key: environment.get(key) for key in ("python", "platform", "machine")},
        "packages": packages,
    }


def _differences(a: Section, b: Section) -> list[Section]:
    one, other = dict(_flat(a)), dict(_flat(b))
    return [
        {"key": key, "a": one.get(key), "b": other.get(key)}
        for key in {**one, **other}
        if one.get(key) != other.get(key)
    ]


def _flat(table: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _weights(side: _Side) -> AdapterWeights:
    return AdapterWeights(Weights(side.folder / WEIGHTS), side.config)


def _same_file(one: Path, other: Path) -> bool:
    paths = (one / WEIGHTS, other / WEIGHTS)
    if paths[0].stat().st_size != paths[1].stat().st_size:
        return False
    return file_digest(paths[0]) == file_digest(paths[1])
