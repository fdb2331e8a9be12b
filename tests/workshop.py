"""The published kit's registry, bases and runs, and what only the project's own tests do to them."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

from adapter_hub.model import Version
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digests, publish_version, staging_folder
from adapter_hub.testing import make_workshop as make_workshop
from adapter_hub.testing import run_training as run_training
from adapter_hub.testing import write_rows as write_rows

ADAPTER_HUB = [sys.executable, "-m", "adapter_hub"]


def offering(name: str, factory: Any, **about: Any) -> Any:
    """A catalog with a dataset of a plugin in it, registered with ``about``."""
    from adapter_hub.hookspecs import hookimpl
    from adapter_hub.plugins import load_catalog

    def register_datasets(register: Any) -> None:
        register(name, factory, **about)

    module = ModuleType("a_plugin")
    module.register_datasets = hookimpl(register_datasets)  # type: ignore[attr-defined]
    catalog = load_catalog()
    catalog.add_plugin(module, "a_plugin", "a-plugin", "1")
    return catalog


def add_to_registry(project: Path, text: str) -> None:
    """Append to the project's registry.toml, as a person with an editor."""
    with (project / "registry.toml").open("a", encoding="utf-8") as file:
        file.write(text)


def flip_byte(path: Path, place: int = -5) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)


def edit_json(path: Path, **values: Any) -> None:
    content = {**json.loads(path.read_text(encoding="utf-8")), **values}
    path.write_text(json.dumps(content), encoding="utf-8")


def publish(registry: Registry, name: str, content: str = "weights", **about: Any) -> int:
    """Make a version of one small file, as a training would; returns its number."""
    event, record = about.pop("event", "train"), about.pop("record", None)
    with staging_folder(registry, name) as folder:
        (folder / "adapter_model.safetensors").write_text(content)
        if record is not None:
            (folder / "adapter_hub.json").write_text(record)
        version = Version(
            **{
                "number": 0,
                "created": datetime(2026, 1, 2, tzinfo=timezone.utc),
                "files": file_digests(folder),
                **about,
            }
        )
        return publish_version(registry, name, folder, version, event=event)


def journal(folder: Path) -> list[dict[str, Any]]:
    """The lines of a journal, without their times."""
    lines = (folder / "registry.journal").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "when"} for line in lines]
