"""What can be told from the tables of ``registry.toml`` as they stand, without making records."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from typing import Any

from adapter_hub.errors import RegistryError

SCHEMA = 1
ADAPTER_KEYS = {
    "base": str,
    "method": str,
    "options": Mapping,
    "data": str,
    "data_options": Mapping,
    "eval_data": str,
    "column_map": Mapping,
    "training": Mapping,
    "description": str,
    "tags": list,
    "aliases": Mapping,
    "versions": Mapping,
}
VERSION_KEYS = {
    "created": datetime,
    "recipe": str,
    "files": Mapping,
    "metrics": Mapping,
    "hub": Mapping,
}
_TYPE_NAMES = {
    str: "a string",
    bool: "true or false",
    Mapping: "a table",
    list: "an array",
    datetime: "a date and time",
}
_SUMMARY_KEYS = {
    key: ADAPTER_KEYS[key] for key in ("base", "method", "tags", "aliases", "versions")
}
_NEWEST_KEYS = {key: VERSION_KEYS[key] for key in ("created", "metrics", "hub")}
VERSION_NUMBER = "[1-9][0-9]{0,17}"
_VERSION_NUMBER = re.compile(VERSION_NUMBER)


class SchemaError(Exception):
    """A table that is not what the schema says; ``path`` is where. Becomes a RegistryError."""

    def __init__(self, path: tuple[str, ...], problem: str) -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem


def check_document(meaning: Mapping[str, Any], *, are_tables: bool = False) -> None:
    """Check what every reader relies on; ``are_tables``: that entries are tables is known.

    Raises SchemaError; RegistryError for a newer schema.
    """
    schema = meaning.get("schema")
    if type(schema) is not int:
        raise SchemaError(("schema",), f"needs `schema = {SCHEMA}` at its top")
    if schema < 1:
        raise SchemaError(("schema",), f"must be {SCHEMA}, not {schema}")
    if schema > SCHEMA:
        raise RegistryError(
            f"registry.toml has schema {schema}, and this adapter-hub knows schema {SCHEMA}.",
            hint="pip install --upgrade adapter-hub",
        )
    _table(meaning, (), "remotes")
    for section in ("bases", "adapters"):
        seen: dict[str, str] = {}
        entries = _table(meaning, (), section)
        for name in entries:
            if not are_tables and not isinstance(entries[name], Mapping):
                raise SchemaError((section, name), "must be a table")
            twin = seen.setdefault(name.casefold(), name)
            if twin != name:
                raise SchemaError(
                    (section, name), f"differs from {twin!r} only in case, and both name a folder"
                )


def read_summary(name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """What ``list`` tells of ``[adapters.NAME]``; other values are not read. Raises SchemaError."""
    path = ("adapters", name)
    get = read_values(table, path, _SUMMARY_KEYS)
    versions = version_tables(path, get.get("versions", {}))
    numbers = sorted(map(int, versions))
    newest: Mapping[str, Any] = {}
    if numbers:
        number = str(numbers[-1])
        here = (*path, "versions", number)
        newest = read_values(versions[number], here, _NEWEST_KEYS)
        checked_metrics(here, newest.get("metrics", {}))
    aliases = checked_aliases(path, get.get("aliases", {}), numbers)
    require_recipe(path, table)
    return {
        "name": name,
        "base": get.get("base"),
        "method": get.get("method", "lora"),
        "version": numbers[-1] if numbers else None,
        "versions": numbers,
        "aliases": aliases,
        "tags": [str(tag) for tag in get.get("tags", ())],
        "created": in_utc(newest["created"]) if newest else None,
        "metrics": dict(newest.get("metrics", {})),
        "hub": dict(newest.get("hub", {})),
    }


def require_recipe(path: tuple[str, ...], table: Mapping[str, Any]) -> None:
    """Whoever makes a version writes at least its method, so versions alone are half an adapter.

    git leaves such a half, and no conflict, where one branch renames an adapter and another one
    trains it under its old name. Raises SchemaError.
    """
    if table.get("versions") and "method" not in table and "base" not in table:
        raise SchemaError(
            path,
            "has versions and neither `base` nor `method`; if branches were merged and it was "
            "renamed in one of them, its versions belong to its new name",
        )


def version_tables(path: tuple[str, ...], table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The versions' tables, each with a number for a name and the keys that it needs."""
    for number, version in table.items():
        here = (*path, "versions", number)
        if not _VERSION_NUMBER.fullmatch(number):
            raise SchemaError(here, "is not a version number: 1, 2, 3 …")
        if not isinstance(version, Mapping):
            raise SchemaError(here, "must be a table")
        for key in ("created", "files"):
            if key not in version:
                raise SchemaError(here, f"needs the key `{key}`")
    return table


def checked_aliases(
    path: tuple[str, ...], table: Mapping[str, Any], numbers: Collection[int]
) -> dict[str, int]:
    for alias, number in table.items():
        if type(number) is not int or number not in numbers:
            from adapter_hub.options import suggestion

            known = suggestion(str(number), map(str, numbers))
            raise SchemaError(
                (*path, "aliases"),
                f"alias {alias!r} points to version {number!r}, which is not there{known}",
            )
    return dict(table)


def checked_metrics(path: tuple[str, ...], table: Mapping[str, Any]) -> Mapping[str, float]:
    """A version's metrics, numbers all: they are compared and sorted."""
    for name, value in table.items():
        if type(value) not in (int, float):
            raise SchemaError((*path, "metrics"), f"{name} must be a number, not {value!r}")
    return table


def in_utc(created: datetime) -> datetime:
    """A time without a zone was written in UTC."""
    return created if created.tzinfo else created.replace(tzinfo=timezone.utc)


def read_values(
    table: Mapping[str, Any], path: tuple[str, ...], keys: Mapping[str, Any]
) -> dict[str, Any]:
    """The values of those ``keys`` that are there, each of its type."""
    values = {}
    for key, kind in keys.items():
        value = table.get(key)
        if value is not None:
            values[key] = _checked(value, (*path, key), kind)
    return values


def read_value(table: Mapping[str, Any], path: tuple[str, ...], key: str, kind: Any) -> Any:
    value = table.get(key)
    return None if value is None else _checked(value, (*path, key), kind)


def _checked(value: Any, path: tuple[str, ...], kind: Any) -> Any:
    if not isinstance(value, kind):
        raise SchemaError(path, f"must be {_TYPE_NAMES[kind]}, not {value!r}")
    return value


def _table(parent: Mapping[str, Any], path: tuple[str, ...], key: str) -> Mapping[str, Any]:
    value = parent.get(key, {})
    if not isinstance(value, Mapping):
        raise SchemaError((*path, key), "must be a table")
    return value
