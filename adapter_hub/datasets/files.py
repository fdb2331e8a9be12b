"""Readers of data files: one row at a time, each with its place, in constant memory.

Lines are read here and not by the ``datasets`` library because it cannot say which line of a
file is malformed. Parquet files and Hub datasets go through it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapter_hub.datasets.passages import passages
from adapter_hub.errors import DataError
from adapter_hub.hookspecs import Row


@dataclass(frozen=True)
class SourceRow:
    """A row as the source has it, and where: ``train.jsonl:17``."""

    where: str
    row: Row


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, where it stands, and why."""

    where: str
    reason: str


def is_data_file(text: str) -> bool:
    """Whether a recipe's ``data`` names a file rather than a dataset."""
    return Path(text).suffix.lower() in _READERS or "/" in text or "\\" in text


def read_file(path: Path) -> Iterator[SourceRow | BadRow]:
    """The rows of a data file. Raises DataError when the file itself cannot be read."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path} is no data file that adapter-hub reads: use {', '.join(sorted(_READERS))}."
        )
    if not path.is_file():
        raise DataError(f"there is no data file {path}.")
    return _translated(path, reader)


def read_hub(location: str) -> Iterator[SourceRow | BadRow]:
    """The rows of ``OWNER/DATASET[@REVISION][:SPLIT]``, streamed. Raises DataError."""
    from datasets import load_dataset

    name, _, split = location.partition(":")
    name, _, revision = name.partition("@")
    try:
        rows = load_dataset(name, split=split or "train", revision=revision or None, streaming=True)
        for number, row in enumerate(rows, 1):
            yield SourceRow(f"hf:{location} row {number}", row)
    except Exception as error:
        raise DataError(
            f"dataset hf:{location} cannot be read: {_first_line(error)}",
            hint="check the name and the network, or name a local file",
        ) from error


def _translated(
    path: Path, reader: Callable[[Path], Iterator[SourceRow | BadRow]]
) -> Iterator[SourceRow | BadRow]:
    try:
        yield from reader(path)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}."
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _read_jsonl(path: Path) -> Iterator[SourceRow | BadRow]:
    with path.open(encoding="utf-8-sig", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _json_row(f"{path.name}:{number}", line)


def _json_row(where: str, line: str) -> SourceRow | BadRow:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow(where, f"is not JSON ({error})")
    return SourceRow(where, row)


def _read_json(path: Path) -> Iterator[SourceRow | BadRow]:
    """An array of rows, or JSON lines under another name."""
    with path.open(encoding="utf-8-sig") as file:
        head = file.read(1024).lstrip()
    if not head.startswith("["):
        yield from _read_jsonl(path)
        return
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}.") from None
    for number, row in enumerate(rows, 1):
        yield SourceRow(f"{path.name} row {number}", row)


def _read_csv(path: Path) -> Iterator[SourceRow | BadRow]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(
            file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True
        )
        try:
            yield from _csv_rows(path, reader)
        except csv.Error as error:
            raise DataError(f"{path}:{reader.line_num}: is not CSV ({error}).") from None


def _csv_rows(path: Path, reader: csv.DictReader[str]) -> Iterator[SourceRow | BadRow]:
    for row in reader:
        where = f"{path.name}:{reader.line_num}"
        columns = len(reader.fieldnames or ())
        if None in row or None in row.values():
            found = sum(value is not None for key, value in row.items() if key is not None)
            found += len(row.get(None) or ())
            yield BadRow(where, f"has {found} fields where the header has {columns}")
        else:
            yield SourceRow(where, row)


def _read_parquet(path: Path) -> Iterator[SourceRow | BadRow]:
    from datasets import load_dataset

    try:
        rows: Any = load_dataset("parquet", data_files=str(path), split="train", streaming=True)
        for number, row in enumerate(rows, 1):
            yield SourceRow(f"{path.name} row {number}", row)
    except Exception as error:
        raise DataError(f"{path} is not a readable Parquet file: {_first_line(error)}") from error


def _read_text(path: Path) -> Iterator[SourceRow | BadRow]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, passage in passages(lines):
            yield SourceRow(f"{path.name}:{number}", passage)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


_READERS: dict[str, Callable[[Path], Iterator[SourceRow | BadRow]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".txt": _read_text,
}
