"""``registry.toml`` as a JSON Schema, made from the records: for editors, which complete and check.

In draft-07, with nothing but what the servers behind editors know (Taplo's documentation, "Developing
Schemas"; Tombi's). What it cannot say, the reader still refuses: names that are not there, twins by
case, and, as JSON has neither times nor kinds of numbers, a string that looks like a time, an integer
written 3.0, ``inf`` and ``nan``.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin

from adapter_hub.model import (
    COMMIT_PATTERN,
    NAME_PATTERN,
    RANGES,
    REPO_PATTERN,
    Adapter,
    Base,
    Range,
    Recipe,
    Remote,
    TrainingSettings,
    Version,
)
from adapter_hub.options import Option, options_of
from adapter_hub.registry.editors import TITLE
from adapter_hub.registry.tables import ADAPTER_KEYS, SCHEMA, VERSION_KEYS, VERSION_NUMBER
from adapter_hub.registry.unknown import BASE_KEYS, REMOTE_KEYS, TOP_KEYS

Schema = dict[str, Any]

# A name may begin with one or two dots where more follows, and is none of "", "." and "..".
_PART = r"(?:[^/\\:\x00.]|\.[^/\\:\x00.]|\.\.[^/\\:\x00])[^/\\:\x00]*"
_KINDS: Mapping[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    # JSON has no times. Taplo takes them for strings, and Tombi goes by the format.
    datetime: {
        "anyOf": [
            {
                "type": "string",
                "format": each,
                "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:",
            }
            for each in ("date-time", "date-time-local")
        ]
    },
    Any: {},
}
# What a table says otherwise than its record, or more exactly.
_BASE: Mapping[str, Schema] = {
    "source": {"type": "string", "pattern": rf"^(?:hf:{REPO_PATTERN}$|(?:path|plugin):[\s\S])"},
    "remote": {"type": "string"},
}
_REMOTE: Mapping[str, Schema] = {"endpoint": {"type": "string", "pattern": "^https?://"}}
_ADAPTER: Mapping[str, Schema] = {
    # The reader takes a tag that is no string for its text.
    "tags": {"type": "array"},
    "aliases": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
}
_VERSION: Mapping[str, Schema] = {
    "files": {
        "type": "object",
        "patternProperties": {rf"^{_PART}(?:/{_PART})*$": {"type": "string"}},
        "additionalProperties": False,
    },
    # To Taplo, the nan of a loss that went out of bounds is null.
    "metrics": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
}
_HF = {"required": ["source"], "properties": {"source": {"pattern": "^hf:"}}}
_TRUSTED = {
    "required": ["trust_remote_code"],
    "properties": {"trust_remote_code": {"enum": [True]}},
}
_PINNED = {
    "required": ["revision"],
    "properties": {"revision": {"pattern": f"^{COMMIT_PATTERN}$"}},
}
_CODE_PINNED = {"required": ["code"], "properties": {"code": {"minLength": 1}}}


def registry_schema() -> Schema:
    """The schema as a JSON document."""
    training = options_of(TrainingSettings)
    base = {
        **_table(BASE_KEYS, options_of(Base), _BASE, required=["source"]),
        "allOf": [
            {"if": _HF, "then": _PINNED, "else": {"not": {"required": ["remote"]}}},
            {"if": _TRUSTED, "then": {"anyOf": [_HF, _CODE_PINNED]}},
        ],
    }
    version = _table(VERSION_KEYS, options_of(Version), _VERSION, required=["created", "files"])
    adapter = _table(
        ADAPTER_KEYS,
        (*options_of(Recipe), *options_of(Adapter)),
        {
            **_ADAPTER,
            "training": _table((each.name for each in training), training, {}),
            "versions": _named(f"^{VERSION_NUMBER}$", version),
        },
    )
    name = f"^{NAME_PATTERN}$"
    sections = {
        "schema": {"enum": [SCHEMA], "description": "form of this file"},
        "bases": {**_named(name, base), "description": "base models, pinned"},
        "remotes": {
            "type": "object",
            "additionalProperties": _table(
                REMOTE_KEYS, options_of(Remote), _REMOTE, required=["endpoint"]
            ),
            "description": "Hubs other than the one of everybody",
        },
        "adapters": {
            **_named(name, adapter),
            "description": "adapters: what each is trained by, and its versions",
        },
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": TITLE,
        "description": "Base models and the adapters on them.",
        "type": "object",
        "properties": {key: sections[key] for key in TOP_KEYS},
        "required": ["schema"],
        "additionalProperties": False,
    }


def schema_text() -> str:
    """The schema as it is shipped: ``python scripts/write_schema.py`` writes it."""
    return json.dumps(registry_schema(), indent=2, ensure_ascii=False) + "\n"


def _named(pattern: str, table: Schema) -> Schema:
    return {"type": "object", "patternProperties": {pattern: table}, "additionalProperties": False}


def _table(
    keys: Iterable[str],
    options: Iterable[Option],
    special: Mapping[str, Schema],
    required: list[str] | None = None,
) -> Schema:
    """A table with these keys, which are fields of a record."""
    known = {option.name: option for option in options}
    table: Schema = {
        "type": "object",
        "properties": {key: _value(known[key], special.get(key)) for key in keys},
        "additionalProperties": False,
    }
    return {**table, "required": required} if required else table


def _value(option: Option, special: Schema | None) -> Schema:
    schema = special if special is not None else _of_annotation(option.annotation)
    schema = {**schema, **_bounds(RANGES.get(option.name))}
    if option.help:
        schema["description"] = option.help
    if type(option.default) in (str, int, float, bool):
        schema["default"] = option.default
    return schema


def _of_annotation(annotation: Any) -> Schema:
    """The schema of a value. Raises KeyError for a form that no record has yet."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin in (Union, types.UnionType):
        (only,) = [each for each in arguments if each is not type(None)]
        return _of_annotation(only)
    if origin is not None and issubclass(origin, Mapping):
        # Tombi takes what is not said for forbidden.
        return {"type": "object", "additionalProperties": _of_annotation(arguments[1]) or True}
    return dict(_KINDS[annotation])


def _bounds(numbers: Range | None) -> Schema:
    if numbers is None:
        return {}
    bounds = {
        "minimum": numbers.least,
        "exclusiveMinimum": numbers.above,
        "maximum": numbers.most,
        "exclusiveMaximum": numbers.below,
    }
    return {key: value for key, value in bounds.items() if value is not None}
