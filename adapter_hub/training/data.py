"""Rows to encoded examples in an Arrow file, mapped into memory: larger than memory is fine."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from adapter_hub.datasets.files import BadRow, SourceRow
from adapter_hub.errors import DataError, TrainingError
from adapter_hub.hookspecs import Row
from adapter_hub.prompts.encode import Encoder, Example
from adapter_hub.prompts.rows import RowError, Style, TrainingRow, read_row, style_of

CHUNK = 1000
AUTO_EVAL_SHARE, AUTO_EVAL_MOST, AUTO_EVAL_FROM = 0.05, 64, 20
"""Without a word about it, this share of the rows is held out, at most so many, given so many."""

_SCHEMA = pa.schema(
    {
        "input_ids": pa.list_(pa.int32()),
        "loss": pa.list_(pa.bool_()),
        "full_length": pa.int32(),
        "row": pa.int32(),
        "where": pa.string(),
    }
)


@dataclass(frozen=True)
class Sequence:
    """One example as arrays. ``input_ids``: int32 (length,); ``loss``: bool (length,)."""

    input_ids: np.ndarray[Any, np.dtype[np.int32]]
    loss: np.ndarray[Any, np.dtype[np.bool_]]
    where: str


class Examples:
    """Some of a table's examples, read where they lie. ``lengths``, ``loss_tokens``: int64 (n,)."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._indices = np.arange(len(table))
        self.lengths = _list_lengths(table.column("input_ids"))
        self.loss_tokens = _loss_counts(table.column("loss"))

    def part(self, indices: Any) -> Examples:
        """Those at ``indices``: int64 (m,), or bool (n,) of which to take."""
        part = copy.copy(self)
        part._indices = self._indices[indices]
        part.lengths, part.loss_tokens = self.lengths[indices], self.loss_tokens[indices]
        return part

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Sequence:
        place = int(self._indices[index])
        return Sequence(
            _values(self._table.column("input_ids"), place),
            _values(self._table.column("loss"), place),
            self._table.column("where")[place].as_py(),
        )


@dataclass(frozen=True)
class EncodedData:
    """A dataset as the model will see it, and what was found on the way.

    ``fingerprint`` is over the rows as they were read, ``skipped`` the bad rows left out; ``file``
    is the digest of the data file's bytes, where it is one file.
    """

    table: pa.Table
    style: Style
    fingerprint: str
    rows: int
    skipped: int
    first_skipped: str
    first_rows: tuple[TrainingRow, ...]
    file: str | None = None

    @property
    def truncated(self) -> int:
        full = self.table.column("full_length").to_numpy()
        return int(np.count_nonzero(full > _list_lengths(self.table.column("input_ids"))))


def encode_data(
    data: str,
    rows: Iterable[SourceRow | BadRow],
    encoder: Encoder | None,
    make_encoder: Any,
    *,
    column_map: Mapping[str, str],
    skip_bad: bool,
    path: Path,
) -> EncodedData:
    """Encode ``rows`` into an Arrow file at ``path``.

    ``make_encoder(style)`` is called once the first good row tells the style, unless an
    ``encoder`` is given already. Raises DataError for a bad row (unless ``skip_bad``), for rows
    of mixed styles, and when nothing is left; TrainingError when the file cannot be written.
    """
    work = Encoding(encoder, make_encoder, column_map)
    try:
        skipped, first_skipped = _write(work.run(rows), skip_bad, path)
    except OSError as error:
        raise TrainingError(
            f"the encoded rows cannot be written into {path.parent}: {error.strerror or error}.",
            hint="make room on the disk",
        ) from error
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    if work.encoder is None or not len(table):
        raise DataError(
            f"{data} has no usable row{f' ({first_skipped})' if first_skipped else ''}."
        )
    return EncodedData(
        table,
        work.encoder.style,
        work.fingerprint,
        work.rows,
        skipped,
        first_skipped,
        tuple(work.first_rows),
    )


def split(
    encoded: EncodedData, fraction: float | None, seed: int
) -> tuple[Examples, Examples | None]:
    """Training and held-out examples, parted by rows. ``fraction`` None: a small share, if it can be spared."""
    examples = Examples(encoded.table)
    numbers = encoded.table.column("row").to_numpy()
    # They never go down.
    rows = numbers[np.flatnonzero(np.diff(numbers, prepend=0))]
    if fraction is None:
        count = (
            min(int(len(rows) * AUTO_EVAL_SHARE + 0.5), AUTO_EVAL_MOST)
            if len(rows) >= AUTO_EVAL_FROM
            else 0
        )
    else:
        count = max(1, int(len(rows) * fraction + 0.5)) if fraction else 0
    if not count:
        return examples, None
    if count >= len(rows):
        raise DataError(f"{len(rows)} rows are too few to hold out {fraction:.0%} of them.")
    held_out = np.isin(numbers, rows[Random(seed).sample(range(len(rows)), count)])
    return examples.part(~held_out), examples.part(held_out)


def _write(
    examples: Iterator[dict[str, Any] | BadRow], skip_bad: bool, path: Path
) -> tuple[int, str]:
    """Write the good examples; how many bad rows there were, and the first. Raises DataError."""
    skipped, first_skipped = 0, ""
    writer = pa.OSFile(str(path), "wb")
    with writer, pa.ipc.new_file(writer, _SCHEMA) as arrow:
        while chunk := list(itertools.islice(examples, CHUNK)):
            bad = [each for each in chunk if isinstance(each, BadRow)]
            if bad and not skip_bad:
                raise DataError(
                    f"{bad[0].where}: the row {bad[0].reason}.",
                    hint="mend the row, or leave such rows out: --on-bad-row skip",
                )
            skipped += len(bad)
            first_skipped = first_skipped or (
                f"{bad[0].where}: the row {bad[0].reason}" if bad else ""
            )
            good = [each for each in chunk if not isinstance(each, BadRow)]
            if good:
                arrow.write_batch(pa.RecordBatch.from_pylist(good, schema=_SCHEMA))
    return skipped, first_skipped


def encode_row(row: TrainingRow, encoder: Encoder) -> list[Example]:
    """The examples of a row, if it is of the encoder's style. Raises RowError."""
    style = style_of(row, bool(encoder.tokenizer.chat_template))
    if style != encoder.style:
        raise RowError(f"is of the style {style}, and the rows before it are {encoder.style}")
    return encoder.encode(row)


class Encoding:
    """One pass over the rows: counts, fingerprints and encodes them.

    ``encoder`` is what the rows go through, None until the first good one told their style.
    """

    def __init__(
        self, encoder: Encoder | None, make_encoder: Any, column_map: Mapping[str, str]
    ) -> None:
        self.encoder = encoder
        self._make_encoder = make_encoder
        self._column_map = column_map
        self._hash = hashlib.sha256()
        self.rows = 0
        self.first_rows: list[TrainingRow] = []

    @property
    def fingerprint(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def run(self, rows: Iterable[SourceRow | BadRow]) -> Iterator[dict[str, Any] | BadRow]:
        for source in rows:
            self.rows += 1
            if isinstance(source, BadRow):
                self._hash.update(b"\x00bad\n")
                yield source
                continue
            try:
                self._hash.update(_as_bytes(source.row))
                yield from self._encode(source)
            except RowError as error:
                yield BadRow(source.where, str(error))

    def _encode(self, source: SourceRow) -> list[dict[str, Any]]:
        row = read_row(source.row, self._column_map)
        encoder = self.encoder or self._make_encoder(row)
        examples = encode_row(row, encoder)
        self.encoder = encoder
        if len(self.first_rows) < 3:
            self.first_rows.append(row)
        return [
            {
                "input_ids": example.input_ids,
                "loss": example.loss,
                "full_length": example.full_length,
                "row": self.rows,
                "where": source.where,
            }
            for example in examples
        ]


def _as_bytes(row: Row) -> bytes:
    """A row for the fingerprint. Raises RowError for one that has no order."""
    try:
        return json.dumps(row, sort_keys=True, default=str).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError(f"cannot be written as JSON ({error})") from None


def _list_lengths(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    if not len(column):
        return np.zeros(0, np.int64)
    return np.concatenate([np.diff(chunk.offsets.to_numpy()) for chunk in column.chunks]).astype(
        np.int64
    )


def _loss_counts(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Loss tokens of each example, without its first token, which nothing predicts."""
    counts = [np.zeros(0, np.int64)]
    for chunk in column.chunks:
        flags = chunk.values.to_numpy(zero_copy_only=False)
        offsets = chunk.offsets.to_numpy()
        running = np.zeros(len(flags) + 1, np.int32)
        np.cumsum(flags, dtype=np.int32, out=running[1:])
        counts.append(running[offsets[1:]] - running[offsets[:-1]] - flags[offsets[:-1]])
    return np.concatenate(counts).astype(np.int64)


def _values(column: pa.ChunkedArray, index: int) -> Any:
    return column[index].values.to_numpy(zero_copy_only=False)
