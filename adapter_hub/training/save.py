"""From the trained model to a version's folder and its entry in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from adapter_hub.errors import RegistryError
from adapter_hub.loading.folders import CONFIG
from adapter_hub.loading.saving import base_in_config, sort_sets, write_record
from adapter_hub.model import Base, Version
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digests, publish_version, staging_folder
from adapter_hub.training.plan import Plan


def save_version(
    registry: Registry,
    plan: Plan,
    model: Any,
    created: datetime,
    record: dict[str, Any],
    pages: Mapping[str, bytes],
    metrics: dict[str, float],
) -> tuple[int, Version]:
    """Write the adapter, with its plots and reports, as a new version; its number and entry.

    Raises RegistryError, ConflictError.
    """
    name = plan.name
    with staging_folder(registry, name) as folder:
        try:
            write_adapter(model, plan.base, folder)
            for page, content in pages.items():
                (folder / page).write_bytes(content)
            write_record(folder, record)
        except Exception as error:
            # safetensors reports a full disk in its own error class.
            raise RegistryError(
                f"the version cannot be saved in {folder.parent}: {error}; the registry is as it was.",
                hint=f"make room on the disk, then: adapter-hub train {name} --resume, with the same flags",
            ) from error
        version = Version(
            number=0,
            created=created,
            files=file_digests(folder),
            recipe=plan.digest,
            metrics=metrics,
        )
        number = publish_version(
            registry, name, folder, version, plan.kept, plan.before, event="train"
        )
    return number, version


def write_adapter(model: Any, base: Base, folder: Path) -> None:
    """``save_pretrained`` with the base named as the registry names it. Raises OSError."""
    config = model.peft_config["default"]
    named, revision = base_in_config(base)
    config.base_model_name_or_path, config.revision = named, revision
    # PEFT copies these names into the model card, where a path of this machine has no place.
    base_model = model.get_base_model()
    base_model.config._name_or_path = base_model.name_or_path = named
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    sort_sets(folder / CONFIG, config)
