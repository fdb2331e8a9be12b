"""JSON arrays read a piece at a time."""

from __future__ import annotations

import io
import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from adapter_hub.datasets import arrays
from adapter_hub.datasets.arrays import BrokenArray, array_rows

VALUES: list[Any] = [
    {"text": 'a "quoted" \\ line\nand é 日 😀 \u2028', "n": [1, -2.5e-7, 12345678901234567890]},
    "passage",
    "",
    -0.0,
    True,
    None,
    [],
    {},
    {"deep": {"deeper": [[{"a": None}], "]},{["]}},
    {"text": "x" * 500},
    float("inf"),
    17,
]


def values(text: str) -> list[Any]:
    return [row for _, row in array_rows(io.StringIO(text))]


@pytest.mark.parametrize("chunk", [*range(1, 18), 100, 1 << 16])
@pytest.mark.parametrize(
    "how",
    [{}, {"indent": 2}, {"indent": 40}, {"separators": (",", ":")}, {"ensure_ascii": False}],
    ids=str,
)
def test_it_reads_what_the_whole_parser_reads(
    monkeypatch: pytest.MonkeyPatch, chunk: int, how: Any
) -> None:
    monkeypatch.setattr(arrays, "_CHUNK", chunk)
    shuffled = random.Random(chunk).sample(VALUES, len(VALUES))
    assert values(" \n" + json.dumps(shuffled, **how) + "\n ") == shuffled
    assert values("[]") == values(" [ \n ] ") == []


@pytest.mark.parametrize("chunk", [1, 5, 1 << 16])
def test_a_row_is_named_by_the_line_it_starts_on(
    monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(arrays, "_CHUNK", chunk)
    text = '[\n\n{"a":\n1},\n"b", "c"\n,\n4]\n'
    assert [line for line, _ in array_rows(io.StringIO(text))] == [3, 5, 5, 7]


@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[1,\n{"text": ]', 2, r"is not JSON \(Expecting value\)"),
        ('[\n"a",\n]', 3, r"is not JSON \("),
        ("[1\n2]", 2, "has '2' where ']' is expected"),
        ('[1,\n{"a": 1', 2, r"is not JSON \("),
        ("[1,\n2", 2, "ends where ']' is expected"),
        ("[1,\n", 2, "ends inside its array"),
        ("[", 1, "ends inside its array"),
        ("[1]\n[2]", 2, "has text behind its array"),
        ('[\n{"text": "never closed\n},\n' + '{"text": "fine"},\n' * 50 + "2]", 2, "is not JSON"),
        ("[\n" + "9" * 5000 + "]", 2, "is not JSON"),
        ("[\n" + "[" * 200_000, 2, "is not JSON"),
    ],
)
def test_what_is_broken_is_named_by_its_line(
    monkeypatch: pytest.MonkeyPatch, chunk: int, text: str, line: int, words: str
) -> None:
    if len(text) > 10_000 and chunk < 100:
        chunk = 4096
    monkeypatch.setattr(arrays, "_CHUNK", chunk)
    with pytest.raises(BrokenArray, match=words) as caught:
        values(text)
    assert caught.value.line == line


def test_memory_is_that_of_a_row_and_not_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    with path.open("w") as file:
        file.write("[" + ",".join('{"text": "' + "x" * 1000 + '"}' for _ in range(8000)) + "]")
    tracemalloc.start()
    try:
        with path.open() as file:
            assert sum(1 for _ in array_rows(file)) == 8000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_broken_row_does_not_read_the_rest(tmp_path: Path) -> None:
    text = io.StringIO('[{"text": oops},' + '{"text": "fine"},' * 100_000)
    with pytest.raises(BrokenArray, match="Expecting value"):
        next(array_rows(text))
    assert text.tell() <= 1 << 17
