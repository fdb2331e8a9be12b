"""run: where the prompt comes from, and in which shape."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workshop

Hub = Callable[..., Any]
FLAGS = ("--greedy", "--max-new-tokens", "2", "--dtype", "float32")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_told_how_to_end(
    hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("hello\n"))
    result = hub("run", "base:llama", *FLAGS, "--json")
    assert result.code == 0, result.err
    assert result.json["prompt"] == "hello"
    assert "type the prompt, end with Ctrl-D" in result.err
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n"))
    assert "Ctrl-D" not in hub("run", "base:llama", *FLAGS).err


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "none at all"])
def test_a_closed_standard_input(
    hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    stream = io.StringIO() if closed else None
    if stream:
        stream.close()
    monkeypatch.setattr("sys.stdin", stream)
    result = hub("run", "base:llama")
    assert result.code == 2
    assert "there is no PROMPT, and standard input is closed." in result.err


def test_an_empty_standard_input(hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a script forgot the prompt."""
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    result = hub("run", "base:llama")
    assert result.code == 2
    assert "there is no PROMPT, and standard input is empty." in result.err


def test_standard_input_that_is_no_text(
    hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"caf\xe9"), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", stream)
    result = hub("run", "base:llama")
    assert result.code == 1
    assert "standard input is not UTF-8 text" in result.err


def test_prompts_have_the_columns_of_the_training(
    hub: Hub, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop)
    rows = [{"q": f"Q: {n}?", "a": f" {n}"} for n in range(8)]
    workshop.write_rows(shop / "mapped.jsonl", rows)
    names = {"q": "prompt", "a": "completion"}
    workshop.run_training(shop, data="mapped.jsonl", column_map=names, steps=1)

    def asked(*flags: str) -> list[str]:
        result = hub("run", *flags, *FLAGS)
        assert result.code == 0, result.err
        return [json.loads(line)["prompt"] for line in result.out.splitlines()]

    prompts = ("--prompts", "mapped.jsonl")
    assert asked("sums", *prompts) == [row["q"] for row in rows]
    assert asked("./adapters/sums/1", *prompts) == [row["q"] for row in rows]
    assert asked("sums", *prompts, "--column-map", "a=prompt") == [row["a"] for row in rows]
    assert asked("sums", "--prompts", "rows.jsonl")[0] == "Q: 0 plus one?\nA:"
    bare = hub("run", "base:llama", *prompts)
    assert bare.code == 1
    assert "mapped.jsonl:1: the row has the columns q, a, and no prompt among them" in bare.err
    assert asked("base:llama", *prompts, "--column-map", "q=prompt")[0] == "Q: 0?"


def put_on_the_hub(shop: Path, repo: str) -> Path:
    """A cache of the Hub's client that has ``sums`` as ``repo``; returns the cache."""
    home = shop / "cache" / f"models--{repo.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs/main").write_text("c" * 40)
    shutil.copytree(shop / "adapters/sums/1", home / "snapshots" / ("c" * 40))
    return shop / "cache"


def test_prompts_for_an_adapter_on_the_hub_are_read_with_its_record(
    hub: Hub, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop)
    workshop.write_rows(shop / "mapped.jsonl", [{"q": f"Q: {n}?", "a": f" {n}"} for n in range(8)])
    names = {"q": "prompt", "a": "completion"}
    workshop.run_training(shop, data="mapped.jsonl", column_map=names, steps=1)
    cache = put_on_the_hub(shop, "me/sums")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    result = hub("run", "hf:me/sums", "--prompts", "mapped.jsonl", *FLAGS)
    assert result.code == 0, result.err
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [line["prompt"] for line in lines] == [f"Q: {n}?" for n in range(8)]
    assert lines[0]["reference"] == "hf:me/sums"


def test_raw_takes_no_messages(hub: Hub, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    result = hub("run", "base:chatty", "--prompts", "chats.jsonl", "--raw")
    assert result.code == 2
    assert "chats.jsonl:1: the row has messages, and --raw builds no chat." in result.err
