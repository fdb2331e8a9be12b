"""Prompts from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.errors import DataError
from adapter_hub.generation.prompts import read_prompts
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
