"""Everything the registry and a version's folder tell about one adapter."""

from __future__ import annotations

import json
from typing import Any

from adapter_hub.errors import RegistryError
from adapter_hub.registry import schema
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import version_digest

RECORD = "adapter_hub.json"


def details(registry: Registry, name: str, selector: str | None) -> dict[str, Any]:
    """The object of ``show --json``. Raises UnknownNameError, RegistryError."""
    adapter = registry.adapter(name)
    version = adapter.version(selector) if selector or adapter.versions else None
    found = {
        **registry.summary(name),
        "description": adapter.description,
        "recipe": {
            "options": {},
            "data": None,
            "data_options": {},
            "eval_data": None,
            "training": {},
            "base": adapter.recipe.base,
            **schema.recipe_table(adapter.recipe),
        },
        "files": {},
        "digest": None,
        "path": None,
        "provenance": {},
    }
    if version is None:
        return found
    folder = registry.version_folder(name, version.number)
    return found | {
        "version": version.number,
        "created": version.created,
        "metrics": dict(version.metrics),
        "hub": dict(version.hub),
        "files": dict(version.files),
        "digest": version_digest(version.files),
        "path": str(folder),
        "provenance": _record(registry, name, version.number),
    }


def _record(registry: Registry, name: str, number: int) -> dict[str, Any]:
    path = registry.version_folder(name, number) / RECORD
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RegistryError(f"{path} cannot be read: {error}.") from None
    if not isinstance(record, dict):
        raise RegistryError(f"{path} is not a record: it holds no JSON object.")
    return record
