"""Prompts from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapter_hub.datasets.files import BadRow, read_file
from adapter_hub.errors import DataError, UsageError
from adapter_hub.prompts.rows import Chat, Instruction, RowError, read_prompt


def read_prompts(
    path: Path,
    column_map: Mapping[str, str] | None = None,
    recorded_map: Mapping[str, str] | None = None,
    *,
    raw: bool = False,
) -> list[str | Instruction | Chat]:
    """The prompts of a data file; in a ``.txt`` file every line is one.

    ``column_map`` must fit every row. Without it, ``recorded_map`` of a training renames the
    columns that a row has: prompts may come in another shape than the rows. ``raw`` takes no
    messages, which only a chat template makes a prompt of. Raises DataError, UsageError.
    """
    lines = path.suffix.lower() == ".txt"
    prompts = _lines(path) if lines else _rows(path, column_map or {}, recorded_map or {}, raw)
    if not prompts:
        raise DataError(f"{path} has no prompt.")
    return prompts


def _lines(path: Path) -> list[str | Instruction | Chat]:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            return [line.removesuffix("\n") for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None


def recorded_columns(record: Mapping[str, Any]) -> dict[str, str]:
    """The column map of the training that made a version; a record can come from anywhere."""
    recipe = record.get("recipe")
    columns = recipe.get("column_map") if isinstance(recipe, Mapping) else None
    found = columns.items() if isinstance(columns, Mapping) else ()
    return {column: name for column, name in found if isinstance(name, str)}


def _rows(
    path: Path, column_map: Mapping[str, str], recorded_map: Mapping[str, str], raw: bool
) -> list[str | Instruction | Chat]:
    prompts: list[str | Instruction | Chat] = []
    for source in read_file(path):
        if isinstance(source, BadRow):
            raise DataError(f"{source.where}: the row {source.reason}.")
        try:
            prompt = read_prompt(source.row, column_map or _present(source.row, recorded_map))
        except RowError as error:
            raise DataError(f"{source.where}: the row {error}.") from None
        if raw and isinstance(prompt, Chat):
            raise UsageError(
                f"{source.where}: the row has messages, and --raw builds no chat.",
                hint="leave --raw out, or give rows with a prompt",
            )
        prompts.append(prompt)
    return prompts


def _present(row: Any, columns: Mapping[str, str]) -> dict[str, str]:
    """The part of a recorded column map that a row has the columns of."""
    if not isinstance(row, Mapping):
        return {}
    return {column: name for column, name in columns.items() if column in row}
