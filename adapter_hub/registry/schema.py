"""The tables of ``registry.toml`` as records, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from adapter_hub.errors import RegistryError, UsageError
from adapter_hub.model import (
    Adapter,
    Base,
    Recipe,
    TrainingSettings,
    Version,
    check_name,
    is_commit,
    parse_source,
)
from adapter_hub.options import check_options, options_of, suggestion

SCHEMA = 1
_ADAPTER_KEYS = {
    "base": str,
    "method": str,
    "options": dict,
    "data": str,
    "eval_data": str,
    "column_map": dict,
    "training": dict,
    "description": str,
    "tags": list,
    "aliases": dict,
    "versions": dict,
}
_VERSION_KEYS = {"created": datetime, "recipe": str, "files": dict, "metrics": dict, "hub": dict}
_TYPE_NAMES = {str: "a string", dict: "a table", list: "an array", datetime: "a date and time"}
_training_options = options_of(TrainingSettings)


class SchemaError(Exception):
    """A table that is not what the schema says; ``path`` is where. Becomes a RegistryError."""

    def __init__(self, path: tuple[str, ...], problem: str) -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem


def check_document(meaning: Mapping[str, Any]) -> None:
    """Check what every reader relies on. Raises SchemaError; RegistryError for a newer schema."""
    schema = meaning.get("schema")
    if type(schema) is not int:
        raise SchemaError(("schema",), f"needs `schema = {SCHEMA}` at its top")
    if schema > SCHEMA:
        raise RegistryError(
            f"registry.toml has schema {schema}, and this adapter-hub knows schema {SCHEMA}.",
            hint="pip install --upgrade adapter-hub",
        )
    for section in ("bases", "adapters"):
        seen: dict[str, str] = {}
        for name, table in _table(meaning, (), section).items():
            _check_entry_name(section, name)
            if not isinstance(table, Mapping):
                raise SchemaError((section, name), "must be a table")
            twin = seen.setdefault(name.casefold(), name)
            if twin != name:
                raise SchemaError(
                    (section, name), f"differs from {twin!r} only in case, and both name a folder"
                )


def read_base(name: str, table: Mapping[str, Any]) -> Base:
    """``[bases.NAME]`` as a Base. Raises SchemaError."""
    path = ("bases", name)
    if "source" not in table:
        raise SchemaError(path, "needs the key `source`")
    text = _typed(table, path, "source", str)
    source = _wrap((*path, "source"), lambda: parse_source(text))
    revision = _typed(table, path, "revision", str)
    if source.kind == "hf" and not (revision and is_commit(revision)):
        raise SchemaError((*path, "revision"), "needs `revision`, an exact commit of 40 hex digits")
    return Base(name, source, revision)


def read_adapter(name: str, table: Mapping[str, Any]) -> Adapter:
    """``[adapters.NAME]`` as an Adapter. Raises SchemaError."""
    path = ("adapters", name)
    get = {
        key: _typed(table, path, key, kind) for key, kind in _ADAPTER_KEYS.items() if key in table
    }
    recipe = Recipe(
        base=get.get("base"),
        method=get.get("method", "lora"),
        options=get.get("options", {}),
        data=get.get("data"),
        eval_data=get.get("eval_data"),
        column_map=get.get("column_map", {}),
        training=read_training(get["training"], path) if "training" in get else TrainingSettings(),
    )
    versions = {
        int(number): read_version(name, number, version)
        for number, version in get.get("versions", {}).items()
        if _is_version_number(path, number)
    }
    return Adapter(
        name=name,
        recipe=recipe,
        description=get.get("description", ""),
        tags=tuple(map(str, get.get("tags", ()))),
        aliases=_aliases(path, get.get("aliases", {}), versions),
        versions=versions,
    )


def read_training(table: Mapping[str, Any], path: tuple[str, ...]) -> TrainingSettings:
    """A ``training = { … }`` table. Raises SchemaError naming the key."""

    def settings() -> TrainingSettings:
        return TrainingSettings(
            **check_options(_training_options, table, owner="the training table")
        )

    checked: TrainingSettings = _wrap((*path, "training"), settings)
    return checked


def read_version(name: str, number: str, table: Mapping[str, Any]) -> Version:
    """``[adapters.NAME.versions.N]`` as a Version. Raises SchemaError."""
    path = ("adapters", name, "versions", number)
    if not isinstance(table, Mapping):
        raise SchemaError(path, "must be a table")
    for key in ("created", "files"):
        if key not in table:
            raise SchemaError(path, f"needs the key `{key}`")
    get = {
        key: _typed(table, path, key, kind) for key, kind in _VERSION_KEYS.items() if key in table
    }
    created = get["created"]
    return Version(
        number=int(number),
        created=created if created.tzinfo else created.replace(tzinfo=timezone.utc),
        files=get["files"],
        recipe=get.get("recipe"),
        metrics=get.get("metrics", {}),
        hub=get.get("hub", {}),
    )


def base_table(base: Base) -> dict[str, Any]:
    """A Base as its table."""
    table: dict[str, Any] = {"source": str(base.source)}
    if base.revision:
        table["revision"] = base.revision
    return table


def recipe_table(recipe: Recipe) -> dict[str, Any]:
    """A Recipe as the keys it puts into ``[adapters.NAME]``; what is empty is left out."""
    table: dict[str, Any] = {
        "base": recipe.base,
        "method": recipe.method,
        "options": dict(recipe.options),
        "data": recipe.data,
        "eval_data": recipe.eval_data,
        "column_map": dict(recipe.column_map),
        "training": recipe.training.given(),
    }
    return {key: value for key, value in table.items() if value not in (None, {})}


def version_table(version: Version) -> dict[str, Any]:
    """A Version as its table."""
    table = {
        "created": version.created,
        "recipe": version.recipe,
        "files": dict(version.files),
        "metrics": dict(version.metrics),
        "hub": dict(version.hub),
    }
    return {key: value for key, value in table.items() if value not in (None, {}) or key == "files"}


def _check_entry_name(section: str, name: str) -> None:
    try:
        check_name(name, f"an entry of {section}")
    except UsageError as error:
        raise SchemaError((section, name), error.message.rstrip(".")) from None


def _is_version_number(path: tuple[str, ...], number: str) -> bool:
    if not number.isdecimal() or number.startswith("0"):
        raise SchemaError((*path, "versions", number), "is not a version number: 1, 2, 3 …")
    return True


def _aliases(
    path: tuple[str, ...], table: Mapping[str, Any], versions: Mapping[int, Version]
) -> dict[str, int]:
    for alias, number in table.items():
        if type(number) is not int or number not in versions:
            known = suggestion(str(number), map(str, versions))
            raise SchemaError(
                (*path, "aliases"),
                f"alias {alias!r} points to version {number!r}, which is not there{known}",
            )
    return dict(table)


def _table(parent: Mapping[str, Any], path: tuple[str, ...], key: str) -> Mapping[str, Any]:
    value = parent.get(key, {})
    if not isinstance(value, Mapping):
        raise SchemaError((*path, key), "must be a table")
    return value


def _typed(table: Mapping[str, Any], path: tuple[str, ...], key: str, kind: type) -> Any:
    value = table.get(key)
    if value is not None and not isinstance(value, kind):
        raise SchemaError((*path, key), f"must be {_TYPE_NAMES[kind]}, not {value!r}")
    return value


def _wrap(path: tuple[str, ...], make: Callable[[], Any]) -> Any:
    try:
        return make()
    except UsageError as error:
        raise SchemaError(path, error.message.rstrip(".")) from None
