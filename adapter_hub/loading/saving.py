"""What every saved adapter says of itself: its base, and how it came to be."""

from __future__ import annotations

import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from adapter_hub.loading.folders import RECORD, RECORD_FORMAT
from adapter_hub.model import Base, Reference

_PACKAGES = (
    "adapter-hub",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "safetensors",
    "tokenizers",
    "datasets",
    "numpy",
)


def base_in_config(base: Base) -> tuple[str, str | None]:
    """What ``adapter_config.json`` says of the base: plain PEFT loads Hub and path bases by it."""
    if base.source.kind == "hf":
        return base.source.location, base.revision
    return (base.source.location if base.source.kind == "path" else str(base.source)), None


def travelling(reference: Reference) -> str:
    """A reference as records have it, which travel: of a folder its name alone."""
    if reference.kind != "folder":
        return str(reference)
    return f"./{Path(reference.target).expanduser().resolve().name}"


def sort_sets(path: Path, config: Any) -> None:
    """Sort what PEFT keeps in sets: its order changes with every process."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for key, value in vars(config).items():
        if isinstance(value, (set, frozenset)):
            content[key] = sorted(value)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """``adapter_hub.json``: how this version came to be. Raises OSError."""
    content = {"format": RECORD_FORMAT, **record, "environment": environment()}
    (folder / RECORD).write_text(
        json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def environment() -> dict[str, Any]:
    """Versions that a result depends on; nothing that names a person or a machine."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "platform": sys.platform,
        "machine": platform.machine(),
        "packages": packages,
    }
