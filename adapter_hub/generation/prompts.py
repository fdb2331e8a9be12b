"""Prompts from a file."""

from __future__ import annotations

from pathlib import Path

from adapter_hub.datasets.files import BadRow, read_file
from adapter_hub.errors import DataError
from adapter_hub.prompts.rows import Chat, Instruction, RowError, read_prompt


def read_prompts(path: Path) -> list[str | Instruction | Chat]:
    """The prompts of a data file; in a ``.txt`` file every line is one. Raises DataError."""
    prompts = _lines(path) if path.suffix.lower() == ".txt" else _rows(path)
    if not prompts:
        raise DataError(f"{path} has no prompt.")
    return prompts


def _lines(path: Path) -> list[str | Instruction | Chat]:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            return [line.removesuffix("\n") for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None


def _rows(path: Path) -> list[str | Instruction | Chat]:
    prompts = []
    for source in read_file(path):
        if isinstance(source, BadRow):
            raise DataError(f"{source.where}: the row {source.reason}.")
        try:
            prompts.append(read_prompt(source.row))
        except RowError as error:
            raise DataError(f"{source.where}: the row {error}.") from None
    return prompts
