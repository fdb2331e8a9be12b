"""Prompts from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.errors import DataError, UsageError
from adapter_hub.generation.prompts import read_prompts, recorded_columns
from adapter_hub.prompts.rows import Chat, Instruction


def test_every_line_of_a_text_is_a_prompt(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text(
        "\ufeffone?\n\n  two?\u2028 or\x0c three?\nfour?", encoding="utf-8"
    )
    assert read_prompts(tmp_path / "p.txt") == ["one?", "  two?\u2028 or\x0c three?", "four?"]


def test_rows_lose_their_answers(tmp_path: Path) -> None:
    question = {"role": "user", "content": "one?"}
    rows: list[Any] = [
        "zero?",
        {"prompt": "one?", "completion": " two"},
        {"messages": [question, {"role": "assistant", "content": "two"}]},
        {"instruction": "Add.", "input": "1 1", "output": "2"},
    ]
    assert read_prompts(workshop.write_rows(tmp_path / "p.jsonl", rows)) == [
        "zero?",
        "one?",
        Chat((question,)),
        Instruction("Add.", "1 1", ""),
    ]


def test_columns_are_renamed(tmp_path: Path) -> None:
    names = {"q": "prompt", "a": "completion"}
    path = workshop.write_rows(tmp_path / "p.jsonl", [{"q": "one?", "a": " two"}, {"q": "two?"}])
    assert read_prompts(path, names) == ["one?", "two?"]
    assert read_prompts(path, None, names) == ["one?", "two?"]
    assert read_prompts(path, names, {"a": "prompt"}) == ["one?", "two?"]
    other = workshop.write_rows(tmp_path / "other.jsonl", [{"prompt": "one?"}, "two?"])
    assert read_prompts(other, None, names) == ["one?", "two?"]
    with pytest.raises(DataError, match=r"other\.jsonl:1: the row has no column 'q', which the co"):
        read_prompts(other, names)


@pytest.mark.parametrize(
    ("record", "columns"),
    [
        ({"recipe": {"column_map": {"q": "prompt", "a": 3}}}, {"q": "prompt"}),
        ({"recipe": {"column_map": ["q"]}}, {}),
        ({"recipe": "?"}, {}),
        ({}, {}),
    ],
)
def test_the_columns_of_the_training(record: dict[str, Any], columns: dict[str, str]) -> None:
    assert recorded_columns(record) == columns


def test_messages_are_not_raw(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "one?"}]
    path = workshop.write_rows(tmp_path / "p.jsonl", ["zero?", {"messages": messages}])
    with pytest.raises(UsageError, match=r"p\.jsonl:2: the row has messages, and --raw builds no"):
        read_prompts(path, raw=True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.jsonl", '{"prompt": "a"}\nnope\n', r"p\.jsonl:2: the row is not JSON"),
        ("p.jsonl", '{"prompt": "a"}\n{"question": 1}\n', r"p\.jsonl:2: the row has the columns"),
        ("p.jsonl", "\n", r"p\.jsonl has no prompt"),
        ("p.txt", "\n \n", r"p\.txt has no prompt"),
        ("p.txt", b"caf\xe9", r"p\.txt cannot be read: "),
        ("p.xlsx", "", r"is no data file that adapter-hub reads"),
    ],
)
def test_a_file_of_no_use(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=words):
        read_prompts(path)


@pytest.mark.parametrize("name", ["gone.txt", "gone.jsonl"])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name}"):
        read_prompts(tmp_path / name)
