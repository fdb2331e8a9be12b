"""Rows encoded into a mapped file, counted, fingerprinted and split."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from adapter_hub.datasets.files import BadRow, SourceRow
from adapter_hub.errors import DataError, TrainingError, UsageError
from adapter_hub.loading.bases import load_tokenizer
from adapter_hub.prompts.encode import Encoder
from adapter_hub.prompts.rows import TrainingRow, style_of
from adapter_hub.training.data import EncodedData, Examples, encode_data, split


@pytest.fixture(scope="module")
def tokenizer(bases: dict[str, Path]) -> Any:
    return load_tokenizer(bases["llama"])


@pytest.fixture(scope="module")
def chatty(bases: dict[str, Path]) -> Any:
    return load_tokenizer(bases["chatty"])


def pair(prompt: str, completion: str) -> dict[str, str]:
    return {"prompt": prompt, "completion": completion}


def numbered(*rows: Any) -> Iterator[SourceRow | BadRow]:
    for number, row in enumerate(rows, 1):
        yield row if isinstance(row, BadRow) else SourceRow(f"rows:{number}", row)


def encode(
    tokenizer: Any, rows: Any, path: Path, *, skip: bool = False, length: int = 64, **more: Any
) -> EncodedData:
    def make(row: TrainingRow) -> Encoder:
        return Encoder(tokenizer, style_of(row, bool(tokenizer.chat_template)), length)

    how = {"column_map": {}, "skip_bad": skip, "path": path / "rows.arrow", **more}
    return encode_data("rows", rows, how.pop("encoder", None), make, **how)


# --- encoding ------------------------------------------------------------------------------------


def test_examples_are_what_the_encoder_says(tokenizer: Any, tmp_path: Path) -> None:
    data = encode(tokenizer, numbered(pair("the cat", " sat"), pair("x", "y z")), tmp_path)
    assert (data.rows, data.skipped, data.style, data.truncated) == (2, 0, "plain", 0)
    examples = Examples(data.table)
    encoder = Encoder(tokenizer, "plain", 64)
    for index, row in enumerate(data.first_rows):
        (expected,) = encoder.encode(row)
        assert examples[index].input_ids.tolist() == expected.input_ids
        assert examples[index].loss.tolist() == expected.loss
        assert examples[index].where == f"rows:{index + 1}"
        assert examples.lengths[index] == len(expected.input_ids)
        assert examples.loss_tokens[index] == expected.loss_tokens


def test_the_file_is_mapped_and_not_read(tokenizer: Any, tmp_path: Path) -> None:
    rows = (pair(f"the cat {n}", " sat on the mat" * 4) for n in range(4_000))
    data = encode(tokenizer, numbered(*rows), tmp_path)
    assert (tmp_path / "rows.arrow").stat().st_size > 600_000
    allocated = pa.total_allocated_bytes()
    table = pa.ipc.open_file(pa.memory_map(str(tmp_path / "rows.arrow"))).read_all()
    assert table.nbytes > 600_000
    assert pa.total_allocated_bytes() - allocated < 100_000
    assert len(data.table) == 4_000


def test_examples_choose_among_many_chunks(tokenizer: Any, tmp_path: Path) -> None:
    data = encode(
        tokenizer,
        numbered(*(pair("x" * (n % 9), "y" * (1 + n % 5)) for n in range(2500))),
        tmp_path,
    )
    assert data.table.column("input_ids").num_chunks == 3
    whole = Examples(data.table)
    some = whole.part(np.array([2400, 7]))
    assert len(some) == 2
    assert some[0].where == whole[2400].where == "rows:2401"
    assert some.lengths.tolist() == [whole.lengths[2400], whole.lengths[7]]
    assert some.loss_tokens.tolist() == [whole.loss_tokens[2400], whole.loss_tokens[7]]
    counted = [int(whole[index].loss[1:].sum()) for index in range(0, 2500, 99)]
    assert whole.loss_tokens[::99].tolist() == counted


def test_what_is_cut_is_counted(tokenizer: Any, tmp_path: Path) -> None:
    data = encode(tokenizer, numbered(pair("x", "y"), pair("x", "y " * 40)), tmp_path, length=10)
    assert data.truncated == 1
    assert Examples(data.table).lengths.tolist()[1] == 10


def test_a_passage_becomes_as_many_examples_as_it_needs(tokenizer: Any, tmp_path: Path) -> None:
    data = encode(tokenizer, numbered("x" * 100, "y" * 5), tmp_path, length=10)
    assert (data.rows, len(data.table), data.truncated) == (2, 12, 0)
    assert data.table.column("row").to_pylist() == [1] * 11 + [2]


# --- bad rows ------------------------------------------------------------------------------------

BAD = [pair("a", "b"), pair("c", ""), BadRow("rows:3", "is not JSON (x)"), pair("d", "e")]


def test_the_first_bad_row_fails(tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^rows:2: the row has an empty completion\.$") as caught:
        encode(tokenizer, numbered(*BAD), tmp_path)
    assert "--on-bad-row skip" in str(caught.value.hint)


def test_bad_rows_are_skipped_and_counted(tokenizer: Any, tmp_path: Path) -> None:
    data = encode(tokenizer, numbered(*BAD), tmp_path, skip=True)
    assert (data.rows, data.skipped, len(data.table)) == (4, 2, 2)
    assert data.first_skipped == "rows:2: the row has an empty completion"
    assert data.table.column("row").to_pylist() == [1, 4]


def test_a_row_that_is_too_long_is_a_bad_row(tokenizer: Any, tmp_path: Path) -> None:
    rows = [pair("a", "b"), pair("x" * 64, "y")]
    with pytest.raises(DataError, match="rows:2: the row is too long: its prompt has 64 tokens"):
        encode(tokenizer, numbered(*rows), tmp_path)
    assert encode(tokenizer, numbered(*rows), tmp_path, skip=True).skipped == 1


def test_a_row_that_has_no_order_is_a_bad_row(tokenizer: Any, tmp_path: Path) -> None:
    odd: Any = {"text": "the cat", 3: "x"}
    with pytest.raises(DataError, match="rows:1: the row cannot be written as JSON"):
        encode(tokenizer, numbered(odd), tmp_path)
    endless: Any = {"text": "the cat"}
    endless["self"] = endless
    with pytest.raises(DataError, match="rows:1: the row cannot be written as JSON"):
        encode(tokenizer, numbered(endless), tmp_path)


@pytest.mark.parametrize("rows", [[], [BadRow("rows:1", "is not JSON (x)")], [pair("a", " ")]])
def test_no_usable_row(tokenizer: Any, tmp_path: Path, rows: list[Any]) -> None:
    with pytest.raises(DataError, match="rows has no usable row") as caught:
        encode(tokenizer, numbered(*rows), tmp_path, skip=True)
    assert ("rows:1" in str(caught.value)) == bool(rows)


def test_styles_do_not_mix(tokenizer: Any, tmp_path: Path) -> None:
    rows = [pair("a", "b"), {"instruction": "Add.", "output": "2"}]
    with pytest.raises(
        DataError, match="rows:2: the row is of the style instruction, and the rows before it are"
    ):
        encode(tokenizer, numbered(*rows), tmp_path)


def test_a_bad_row_does_not_choose_the_style(chatty: Any, tmp_path: Path) -> None:
    long = [{"role": "user", "content": "x" * 99}, {"role": "assistant", "content": "y"}]
    data = encode(
        chatty, numbered({"messages": long}, pair("a", "b"), pair("c", "d")), tmp_path, skip=True
    )
    assert (data.style, data.skipped, len(data.table)) == ("plain", 1, 2)


def test_held_out_rows_must_have_the_style_of_the_training(chatty: Any, tmp_path: Path) -> None:
    given = Encoder(chatty, "chat", 64)
    with pytest.raises(DataError, match="rows:1: the row is of the style plain"):
        encode(chatty, numbered(pair("a", "b")), tmp_path, encoder=given)


def test_messages_need_a_template(tokenizer: Any, tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
    with pytest.raises(UsageError, match="the base has no chat template"):
        encode(tokenizer, numbered({"messages": talk}), tmp_path)


def test_columns_are_mapped(tokenizer: Any, tmp_path: Path) -> None:
    data = encode(
        tokenizer,
        numbered({"q": "a", "a": "b"}),
        tmp_path,
        column_map={"q": "prompt", "a": "completion"},
    )
    assert len(data.table) == 1


def test_a_full_disk_is_named(tokenizer: Any, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(TrainingError, match="the encoded rows cannot be written into") as told:
            encode(tokenizer, numbered(*(pair("a", "b" * 9) for _ in range(2000))), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told.value.hint == "make room on the disk"


# --- fingerprints --------------------------------------------------------------------------------


def test_a_fingerprint_is_of_the_rows(tokenizer: Any, tmp_path: Path) -> None:
    def of(*rows: Any, **how: Any) -> str:
        return encode(tokenizer, numbered(*rows), tmp_path, skip=True, **how).fingerprint

    first = of(pair("a", "b"), pair("c", "d"))
    assert first == of({"completion": "b", "prompt": "a"}, pair("c", "d"), length=9)
    assert first != of(pair("c", "d"), pair("a", "b"))
    assert first != of(pair("a", "b"))
    assert first != of(pair("a", "b"), pair("c", "d"), BadRow("rows:3", "x"))


# --- splitting -----------------------------------------------------------------------------------


def wheres(examples: Examples | None) -> set[str]:
    assert examples is not None
    return {examples[index].where for index in range(len(examples))}


def test_a_split_is_by_rows(tokenizer: Any, tmp_path: Path) -> None:
    data = encode(tokenizer, numbered(*("x" * 40 for _ in range(12))), tmp_path, length=10)
    assert len(data.table) > 12 * 3
    train, held_out = split(data, 0.25, seed=0)
    assert not wheres(train) & wheres(held_out)
    assert len(wheres(held_out)) == 3
    assert len(wheres(train)) == 9
    assert len(train) + len(held_out or ()) == len(data.table)


def test_a_split_follows_from_the_seed(tokenizer: Any, tmp_path: Path) -> None:
    data = encode(tokenizer, numbered(*(pair("a", f"b{n}") for n in range(40))), tmp_path)
    assert wheres(split(data, 0.2, seed=1)[1]) == wheres(split(data, 0.2, seed=1)[1])
    assert wheres(split(data, 0.2, seed=1)[1]) != wheres(split(data, 0.2, seed=2)[1])


@pytest.mark.parametrize(
    ("rows", "fraction", "held_out"),
    [
        (19, None, 0),
        (20, None, 1),
        (40, None, 2),
        (2000, None, 64),
        (40, 0.0, 0),
        (40, 0.001, 1),
        (40, 0.5, 20),
        (3, 0.5, 2),
    ],
)
def test_how_many_are_held_out(
    tokenizer: Any, tmp_path: Path, rows: int, fraction: float | None, held_out: int
) -> None:
    data = encode(tokenizer, numbered(*(pair("a", "b") for _ in range(rows))), tmp_path)
    train, apart = split(data, fraction, seed=0)
    assert len(apart or ()) == held_out
    assert (apart is None) == (held_out == 0)
    assert len(train) == rows - held_out


def test_too_few_rows_to_hold_any_out(tokenizer: Any, tmp_path: Path) -> None:
    data = encode(tokenizer, numbered(pair("a", "b")), tmp_path)
    with pytest.raises(DataError, match="1 rows are too few to hold out 10% of them"):
        split(data, 0.1, seed=0)


# --- memory ---------------------------------------------------------------------------------------


ENCODE_TWICE = """
import resource, sys
from pathlib import Path
from adapter_hub.loading.bases import load_tokenizer
from adapter_hub.plugins import load_catalog
from adapter_hub.prompts.encode import Encoder
from adapter_hub.training.data import Examples, encode_data
from adapter_hub.training.sources import find_source, open_rows

folder, tokenizer = Path(sys.argv[1]), load_tokenizer(Path(sys.argv[2]))
for name in ("small.jsonl", "big.jsonl"):
    data = encode_data(
        name, open_rows(find_source(name, folder, load_catalog()), folder), None,
        lambda row: Encoder(tokenizer, "plain", 512),
        column_map={}, skip_bad=False, path=folder / "rows.arrow",
    )
    examples = Examples(data.table)
    print(len(examples), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(bases: dict[str, Path], tmp_path: Path) -> None:
    """30 MB need what 3 MB need."""
    line = json.dumps(pair("the cat sat on the mat " * 20, " Once upon a time " * 120)) + "\n"
    for name, size in (("small.jsonl", 3_000_000), ("big.jsonl", 30_000_000)):
        (tmp_path / name).write_text(line * (size // len(line)))
    command = [sys.executable, "-c", ENCODE_TWICE, str(tmp_path), str(bases["llama"])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (few, before), (many, after) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert many > 9 * few > 9_000
    assert after - before < 12, "megabytes"
