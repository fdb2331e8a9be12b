"""``train NAME --from REF``: the version that a run goes on from."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import IncompatibleError, UnknownNameError, UsageError
from adapter_hub.loading.early import find_folder
from adapter_hub.loading.folders import (
    CONFIG,
    WEIGHTS,
    check_adapter_folder,
    read_record,
    recorded,
)
from adapter_hub.loading.identity import PARTS, read_json
from adapter_hub.loading.recorded import base_of
from adapter_hub.loading.saving import travelling
from adapter_hub.model import Base, Recipe, Reference, TrainingSettings, parse_reference
from adapter_hub.plugins import Catalog, Offer
from adapter_hub.registry.schema import read_training
from adapter_hub.registry.store import Registry
from adapter_hub.registry.tables import SchemaError
from adapter_hub.registry.versions import damage, file_digests, version_digest

if TYPE_CHECKING:
    from peft import PeftConfig

_FREE = frozenset(
    [
        "auto_mapping",
        "base_model_name_or_path",
        "exclude_modules",
        "inference_mode",
        "layers_pattern",
        "layers_to_transform",
        "peft_version",
        "revision",
        "runtime_config",
        "target_modules",
        "task_type",
        "total_step",
    ]
)
"""Of a config: what may differ, or is told by the weights' names. PEFT writes out the modules."""


@dataclass(frozen=True)
class Start:
    """``digest`` is the version's, ``config`` its ``adapter_config.json``, ``record`` how it was made."""

    reference: str
    digest: str
    folder: Path
    config: Mapping[str, Any]
    record: Mapping[str, Any]
    base: Base

    def as_parent(self) -> dict[str, str]:
        """As records name it, see ``registry.lineage``."""
        return {"kind": "continued", "reference": self.reference, "digest": self.digest}


def find_start(reference: str | Reference, registry: Registry) -> Start:
    """The version that ``reference`` names, its files checked. Nothing heavy for one that is here.

    Raises UsageError, UnknownNameError, BaseModelError, IncompatibleError for damaged files.
    """
    parsed = parse_reference(reference) if isinstance(reference, str) else reference
    if parsed.kind == "base":
        raise UsageError(
            f"{parsed} is a base, and --from takes an adapter.",
            hint="leave --from out to start on the bare base",
        )
    if parsed.kind == "name":
        adapter, version = registry.resolve(parsed)
        folder = registry.version_folder(adapter.name, version.number)
        told = f"{adapter.name}@{version.number}"
        if problems := damage(folder, version):
            raise IncompatibleError(
                f"{told} is not what was recorded: {'; '.join(problems)}.",
                hint=f"adapter-hub verify {told}",
            )
        return _start(told, version_digest(version.files), folder, registry)
    folder = find_folder(parsed, registry) or _fetched(parsed)
    return _start(travelling(parsed), version_digest(file_digests(folder)), folder, registry)


def _fetched(reference: Reference) -> Path:
    from adapter_hub.loading.hub import fetch_adapter

    folder = fetch_adapter(reference)
    check_adapter_folder(folder)
    return folder


def parents_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parents that a record names; none where it came from anywhere and makes no sense."""
    told = record.get("parents")
    return [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []


def continued_parent(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The version that a recorded run went on from, as its record names it."""
    return next((each for each in parents_of(record) if each.get("kind") == "continued"), None)


def recorded_start(record: Mapping[str, Any], registry: Registry) -> Start | None:
    """What a recorded run went on from, found by its digest; None for one that began anew.

    Raises UnknownNameError when it is no longer here.
    """
    parent = continued_parent(record)
    if parent is None:
        return None
    for name in registry.adapter_names():
        for number, version in sorted(registry.versions(name).items()):
            if version_digest(version.files) == parent.get("digest"):
                return find_start(f"{name}@{number}", registry)
    raise UnknownNameError(
        f"the version that it went on from, {parent.get('reference')}, is not in the registry."
    )


def _start(reference: str, digest: str, folder: Path, registry: Registry) -> Start:
    config, record = read_json(folder / CONFIG), read_record(folder)
    base = base_of(config, record, folder, registry)
    return Start(reference, digest, folder, config, record, base)


def recipe_from(start: Start, catalog: Catalog) -> Recipe:
    """The recipe of a new name that goes on from ``start``: its method and shape, its data.

    Raises IncompatibleError for a method that nothing here offers, UsageError.
    """
    method = method_of(start, catalog)
    told = recorded(dict(start.record), "recipe")
    training = {k: v for k, v in recorded(told, "training").items() if v is not None}
    try:
        settings = read_training(training, ("adapter_hub.json", "recipe"))
    except SchemaError:  # of another release
        settings = TrainingSettings()
    return Recipe(
        base=start.base.name,
        method=method.name,
        options=_options(start.config, method),
        data=_text(told.get("data")),
        data_options=recorded(told, "data_options"),
        eval_data=_text(told.get("eval_data")),
        column_map={str(k): str(v) for k, v in recorded(told, "column_map").items()},
        training=settings,
    )


def method_of(start: Start, catalog: Catalog) -> Offer:
    """The method that made ``start``. Raises IncompatibleError."""
    kind = str(start.config.get("peft_type", ""))
    method = catalog.find_method_of(kind)
    if method is None:
        raise IncompatibleError(
            f"{start.reference} was made with the method {kind or '(none)'}, which nothing here offers.",
            hint="adapter-hub methods",
        )
    return method


def _options(config: Mapping[str, Any], method: Offer) -> dict[str, Any]:
    """The options that the config tells, where they are not the defaults."""
    found = {}
    for option in method.options():
        value = config.get(option.name)
        if value is not None and value not in ({}, []) and value != _plain(option.default):
            found[option.name] = value
    return found


def check_start(start: Start, plan_base: Base, identity: Mapping[str, str]) -> None:
    """Raises IncompatibleError when ``start`` was trained on another base than the one at hand."""
    then = recorded(recorded(dict(start.record), "base"), "identity")
    changed = [
        part for key, part in PARTS.items() if then.get(key) not in (None, identity.get(key))
    ]
    other = (start.base.source, start.base.revision) != (plan_base.source, plan_base.revision)
    if changed or (other and not then):
        why = f"the {' and the '.join(changed)} differ" if changed else "their sources differ"
        raise IncompatibleError(
            f"{start.reference} sits on base {start.base.name!r}, which is another than "
            f"{plan_base.name!r}: {why}.",
            hint=f"adapter-hub train NEW-NAME --from {start.reference}, which takes its base",
        )


def take_shape(start: Start, config: PeftConfig, name: str) -> None:
    """Refuse a recipe whose adapter has another shape or strength, and skip its initialisation.

    An initialisation can alter the base, and what it gives is replaced. Raises IncompatibleError.
    """
    if str(getattr(config.peft_type, "value", config.peft_type)) != start.config.get("peft_type"):
        raise IncompatibleError(
            f"{start.reference} is of the method {start.config.get('peft_type')}, and the recipe of "
            f"{name!r} is of {getattr(config.peft_type, 'value', config.peft_type)}.",
            hint=f"adapter-hub train NEW-NAME --from {start.reference}, which takes its method",
        )
    for key, then in start.config.items():
        if key.startswith("init_") and hasattr(config, key):
            setattr(config, key, then)
        elif key not in _FREE and "dropout" not in key and hasattr(config, key):
            now = _plain(getattr(config, key))
            if _plain(then) != now and not (not then and not now):
                raise IncompatibleError(
                    f"{start.reference} has {key} = {_shown(then)}, and the recipe of {name!r} "
                    f"{_shown(now)}.",
                    hint=f"adapter-hub train NEW-NAME --from {start.reference}, which takes its options",
                )


def load_start(start: Start, model: Any, name: str) -> None:
    """Give a new ``PeftModel`` the weights of ``start``. Raises IncompatibleError."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    from adapter_hub.loading.adapters import check_weights

    path = start.folder / WEIGHTS
    check_weights(start.reference, f"the adapter that {name!r} trains", path, model)
    try:
        set_peft_model_state_dict(model, load_file(path))
    except (RuntimeError, ValueError, KeyError) as error:  # torch's word for other shapes
        raise IncompatibleError(
            f"the weights of {start.reference} do not fit the adapter that {name!r} trains: "
            f"{' '.join(str(error).split())[:200]}",
            hint=f"adapter-hub train NEW-NAME --from {start.reference}, which takes its options",
        ) from error


def _plain(value: Any) -> Any:
    """A value as it stands in a config file."""
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return str(value)


def _shown(value: Any) -> str:
    return "unset" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
