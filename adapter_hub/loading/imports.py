"""Take over an adapter folder that something else saved."""

from __future__ import annotations

import math
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from adapter_hub.errors import IncompatibleError, RegistryError, UnknownNameError
from adapter_hub.loading.adapters import (
    CONFIG,
    base_for_config,
    check_adapter_folder,
    read_record,
    recorded,
)
from adapter_hub.loading.bases import base_folder
from adapter_hub.loading.identity import base_identity, differences
from adapter_hub.model import Base, Recipe, Version, check_name
from adapter_hub.plugins import Catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import (
    file_digests,
    publish_version,
    staging_folder,
    version_digest,
)

# What save_pretrained writes and what a run needs; optimizer states and pickles stay behind.
_KEPT = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "adapter_hub.json",
    "README.md",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "loss.png",
)


def import_adapter(
    registry: Registry, catalog: Catalog, folder: Path, name: str, base_name: str | None
) -> dict[str, Any]:
    """Copy the adapter in ``folder`` into a new version of ``name``.

    Raises UsageError when it is no PEFT adapter in safetensors, UnknownNameError when its base
    is not in the registry, IncompatibleError when it says it was trained on another base.
    """
    check_name(name, "an adapter")
    config = check_adapter_folder(folder)
    base = registry.base(base_name) if base_name else _registered_base(config, folder, registry)
    record = read_record(folder)
    identity = recorded(recorded(record, "base"), "identity")
    located = base_folder(base, catalog, registry.folder)
    changed = differences(identity, base_identity(located)) if identity else []
    if changed:
        raise IncompatibleError(
            f"{folder} was trained on another base than {base.name!r}: the {' and the '.join(changed)} differ.",
            hint="adapter-hub base list",
        )
    with staging_folder(registry, name) as staging:
        try:
            for file in _KEPT:
                if (folder / file).is_file():
                    shutil.copyfile(folder / file, staging / file)
        except OSError as error:
            raise RegistryError(f"{folder} cannot be copied: {error.strerror or error}.") from error
        metrics = {
            key: float(value)
            for key, value in recorded(record, "metrics").items()
            if isinstance(value, (int, float)) and math.isfinite(value)
        }
        version = Version(
            number=0,
            created=datetime.now(timezone.utc).replace(microsecond=0),
            files=file_digests(staging),
            metrics=metrics,
        )
        recipe = (
            None
            if registry.has_adapter(name)
            else Recipe(base=base.name, method=_method(config, catalog))
        )
        number = publish_version(registry, name, staging, version, recipe)
    return {
        "name": name,
        "version": number,
        "base": base.name,
        "files": dict(version.files),
        "digest": version_digest(version.files),
        "path": str(registry.version_folder(name, number)),
    }


def _registered_base(config: dict[str, Any], folder: Path, registry: Registry) -> Base:
    base = base_for_config(config, folder, registry)
    if base.name not in registry.base_names():
        raise UnknownNameError(
            f"{folder / CONFIG} names the base {base.name!r}, which is not in the registry.",
            hint=f"name the base it sits on: --base BASE, or: adapter-hub base add NAME {base.source}",
        )
    return base


def _method(config: dict[str, Any], catalog: Catalog) -> str:
    kind = str(config.get("peft_type", ""))
    offer = catalog.find_method_of(kind)
    return offer.name if offer else kind.lower() or "lora"
