"""``copy``: a new adapter that begins as another one stands."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from adapter_hub.errors import RegistryError, UsageError, VerificationError
from adapter_hub.model import Reference, Version, check_name, parse_reference
from adapter_hub.registry import schema
from adapter_hub.registry.arrivals import publish_arrivals
from adapter_hub.registry.details import RECORD
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import (
    damage,
    file_digest,
    staging_folder,
    version_digest,
)


def copy_adapter(
    registry: Registry, source: str | Reference, name: str, *, recipe_only: bool = False
) -> dict[str, Any]:
    """Make adapter ``name`` with the recipe, description and tags of another one.

    The version that ``source`` means, of a name alone the newest, becomes version 1; with
    ``recipe_only``, or where there is none yet, there is no version. Its record says what it is a
    copy of. Aliases stay behind, and so does where the version lies on a Hub: a push of the copy
    would go there. Returns ``{"name", "version", "from"}``, of which ``version`` may be None.

    Raises UsageError, UnknownNameError, ConflictError when there is an adapter ``name``;
    VerificationError when the files are not what was recorded, RegistryError.
    """
    source = parse_reference(source) if isinstance(source, str) else source
    if source.kind != "name":
        raise UsageError(
            f"copy takes an adapter of the registry, not {source}.",
            hint=f"for what lies elsewhere: adapter-hub import or adapter-hub pull, --as {name}",
        )
    check_name(name, "an adapter")
    adapter = registry.adapter(source.target)
    registry.refuse_taken(name)
    table = {
        **schema.recipe_table(adapter.recipe),
        "description": adapter.description,
        "tags": list(adapter.tags),
    }
    table = {key: value for key, value in table.items() if value}
    if recipe_only or not (adapter.versions or source.selector):
        publish_arrivals(registry, name, {}, {}, table, {}, copy_of=adapter.name)
        return {"name": name, "version": None, "from": adapter.name}
    version = adapter.version(source.selector)
    named = f"{adapter.name}@{version.number}"
    with staging_folder(registry, name) as folder:
        copied = _copy_files(
            registry.version_folder(adapter.name, version.number), folder, version, named
        )
        publish_arrivals(registry, name, {1: folder}, {1: copied}, table, {}, copy_of=named)
    return {"name": name, "version": 1, "from": named}


def _copy_files(source: Path, folder: Path, version: Version, named: str) -> Version:
    """The version's files in ``folder``, checked there, with a record that says copied from what."""
    try:
        for file in version.files:
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            if (source / file).is_file():
                shutil.copyfile(source / file, target)
        problems = damage(folder, version)
        record = {} if problems else _record(folder / RECORD)
        parent = {"kind": "copied", "reference": named, "digest": version_digest(version.files)}
        told = json.dumps({**record, "parents": [parent]}, indent=2, ensure_ascii=False)
        (folder / RECORD).write_text(told + "\n", encoding="utf-8")
    except OSError as error:
        raise RegistryError(
            f"{source} cannot be copied: {error.strerror or error}; nothing was changed."
        ) from error
    if problems:
        raise VerificationError(
            f"{named} is not what was recorded: {'; '.join(problems)}; nothing was copied.",
            hint=f"bring the files back, or copy the recipe alone: adapter-hub copy {named} NAME --recipe",
        )
    files = {**version.files, RECORD: file_digest(folder / RECORD)}
    return dataclasses.replace(version, number=1, files=dict(sorted(files.items())), hub={})


def _record(path: Path) -> dict[str, Any]:
    """What is told of the version; nothing where there is no record that can be read."""
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
