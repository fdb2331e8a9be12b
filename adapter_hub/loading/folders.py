"""An adapter's folder on disk: what must be in it, and its provenance record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapter_hub.errors import UsageError
from adapter_hub.loading.identity import read_json, safetensors_header

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
RECORD = "adapter_hub.json"
RECORD_FORMAT = 1

# Everything that a tokenizer's save_pretrained writes, of whatever kind it is.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
)

ADAPTER_FILES = (CONFIG, WEIGHTS, RECORD, *TOKENIZER_FILES, "loss.png", "README.md")
"""All that a version's folder can hold; optimizer states and pickles stay behind."""


def check_adapter_folder(folder: Path, weights: Path | None = None) -> dict[str, Any]:
    """The adapter's config, once its folder holds what a PEFT adapter needs. Raises UsageError.

    ``weights`` may lie elsewhere.
    """
    weights = weights or folder / WEIGHTS
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}.")
    if not (folder / CONFIG).is_file():
        raise UsageError(f"{folder} has no {CONFIG}, so it is not a PEFT adapter.")
    if not weights.is_file():
        if (folder / "adapter_model.bin").is_file():
            raise UsageError(
                f"{folder} has only adapter_model.bin, a pickle that can run code; adapter-hub takes safetensors only.",
                hint="save it again as safetensors, or take it in with: adapter-hub import "
                f"{folder} --convert-pickle",
            )
        raise UsageError(f"{folder} has no {WEIGHTS}.")
    safetensors_header(weights)
    return read_json(folder / CONFIG)


def read_record(folder: Path) -> dict[str, Any]:
    """The provenance record of an adapter folder, empty when it has none."""
    path = folder / RECORD
    return read_json(path) if path.is_file() else {}


def recorded(record: dict[str, Any], part: str) -> dict[str, Any]:
    """A table of a record, empty when it has none: a record can come from anywhere."""
    table = record.get(part)
    return table if isinstance(table, dict) else {}
