"""Readers of data files: one row at a time, each with its place, in constant memory.

Lines are read here and not by the ``datasets`` library because it cannot say which line of a
file is malformed. Parquet files and Hub datasets go through it.
"""

from __future__ import annotations

import codecs
import csv
import glob
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapter_hub.datasets.arrays import BrokenArray, array_rows
from adapter_hub.datasets.passages import passages
from adapter_hub.errors import DataError
from adapter_hub.hookspecs import Row

_LONGEST_FIELD = 1 << 30
"""Of a CSV file, in characters. Python's own limit is a page of text."""


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
    """Whether a recipe's ``data`` names a file, readable or not, rather than a dataset."""
    suffix = Path(text).suffix.lower()
    return suffix in _READERS or suffix in _OTHER_TABLES or "/" in text or "\\" in text


def read_file(path: Path) -> Iterator[SourceRow | BadRow]:
    """The rows of a data file. Raises DataError when the file itself cannot be read."""
    check_file(path)
    return _translated(path, _READERS[path.suffix.lower()])


def check_file(path: Path) -> None:
    """Raises DataError when ``path`` is of no kind that is read here, or is not there."""
    if path.suffix.lower() not in _READERS:
        raise DataError(
            f"{path} is no data file that adapter-hub reads: use {', '.join(sorted(_READERS))}."
        )
    if not path.is_file():
        raise DataError(f"there is no data file {path}.")


def read_hub(location: str) -> Iterator[SourceRow | BadRow]:
    """The rows of ``OWNER/DATASET[@REVISION][:SPLIT]`` or ``…[:CONFIGURATION:SPLIT]``, streamed.

    Raises DataError.
    """
    from datasets import load_dataset

    name, _, parts = location.partition(":")
    if not name:
        raise DataError("hf: names no dataset: write hf:OWNER/DATASET.")
    name, _, revision = name.partition("@")
    configuration, _, split = parts.rpartition(":")
    try:
        rows = load_dataset(
            name,
            configuration or None,
            split=split or "train",
            revision=revision or None,
            streaming=True,
        )
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
        place = f"{path}:{_undecodable_line(path)}"
        raise DataError(f"{place}: is not UTF-8 text ({error.reason}).") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _undecodable_line(path: Path) -> int:
    """Counted anew: a decoder that reads ahead knows only its place in the buffer."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def _read_jsonl(path: Path) -> Iterator[SourceRow | BadRow]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield _json_row(f"{path.name}:{number}", line)


def _json_row(where: str, line: bytes) -> SourceRow | BadRow:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return BadRow(where, f"is not UTF-8 text ({error.reason})")
    except (ValueError, RecursionError) as error:
        return BadRow(where, f"is not JSON ({error})")
    return SourceRow(where, row)


def _read_json(path: Path) -> Iterator[SourceRow | BadRow]:
    """An array of rows, or JSON lines under another name."""
    head = _first_line_of(path)
    if not head.startswith("["):
        yield from _read_objects(path, head)
        return
    with path.open(encoding="utf-8-sig") as file:
        try:
            for number, (line, row) in enumerate(array_rows(file), 1):
                yield SourceRow(f"{path.name}:{line} row {number}", row)
        except BrokenArray as error:
            raise DataError(f"{path}:{error.line}: {error}.") from None


def _first_line_of(path: Path) -> str:
    """The first line that is not blank, without its spaces; only the start of a long one."""
    with path.open("rb") as file:
        head = file.readline(1024)
        while head and not head.removeprefix(codecs.BOM_UTF8).strip():
            head = file.readline(1024)
    return head.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace").strip()


def _read_objects(path: Path, head: str) -> Iterator[SourceRow | BadRow]:
    """JSON lines, and no object around the rows, which is what ``.json`` often holds."""
    rows = _read_jsonl(path)
    first = list(itertools.islice(rows, 2))
    goes_on = head.startswith("{") and head.endswith(("{", "[", ","))
    if (goes_on and isinstance(first[0], BadRow)) or (len(first) == 1 and _is_wrapped(first[0])):
        raise DataError(f"{path}: expected an array of rows, or one row a line.")
    yield from first
    yield from rows


def _is_wrapped(row: SourceRow | BadRow) -> bool:
    """Whether an only line is ``{"data": [row, row]}``, and not one row with messages."""
    if not isinstance(row, SourceRow) or not isinstance(row.row, dict) or len(row.row) != 1:
        return False
    (value,) = row.row.values()
    return isinstance(value, list) and not any(
        isinstance(each, dict) and each.keys() & {"role", "from"} for each in value
    )


def _read_csv(path: Path) -> Iterator[SourceRow | BadRow]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(
            file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True
        )
        try:
            yield from _csv_rows(path, reader)
        except csv.Error as error:
            raise DataError(f"{path}:{reader.line_num}: is not CSV ({error}).") from None


def _csv_rows(path: Path, reader: Any) -> Iterator[SourceRow | BadRow]:
    header: list[str] = []
    line = 1  # where the next row starts: a quoted field can hold line ends
    for fields in reader:
        where, line = f"{path.name}:{line}", reader.line_num + 1
        if not fields:
            continue
        if not header:
            header = fields
            twice = next((name for name in header if header.count(name) > 1), None)
            if twice is not None:
                raise DataError(f"{path}: the header names the column {twice!r} twice.")
        elif len(fields) != len(header):
            yield BadRow(where, f"has {len(fields)} fields where the header has {len(header)}")
        else:
            yield SourceRow(where, dict(zip(header, fields, strict=True)))


def _read_parquet(path: Path) -> Iterator[SourceRow | BadRow]:
    from datasets import load_dataset

    try:
        # It takes a pattern, and a file's name may have brackets in it.
        pattern = glob.escape(str(path.resolve()))
        rows: Any = load_dataset("parquet", data_files=pattern, split="train", streaming=True)
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

# Not read, but nobody means a dataset of that name.
_OTHER_TABLES = frozenset(
    {".arrow", ".bz2", ".feather", ".gz", ".ods", ".xls", ".xlsx", ".xz", ".zip", ".zst"}
)
