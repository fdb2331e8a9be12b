"""``train A B C``: one process, one base, whatever fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.registry.store import Registry
from adapter_hub.training.several import Training, by_base

TRAINING = 'training = { steps = 2, dtype = "float32", max_length = 64 }\n'


@pytest.fixture
def named(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, base, data in (
        ("one", "llama", "rows.jsonl"),
        ("two", "gpt2", "rows.jsonl"),
        ("three", "llama", "nowhere.jsonl"),
        ("four", "llama", "rows.jsonl"),
    ):
        workshop.add_to_registry(
            shop, f'\n[adapters.{name}]\nbase = "{base}"\ndata = "{data}"\n{TRAINING}'
        )
    monkeypatch.chdir(shop)
    return shop


def test_runs_of_one_base_are_beside_each_other(named: Path) -> None:
    trainings = by_base([Training(name) for name in ("one", "two", "four")], Registry.open(named))
    assert [each.name for each in trainings] == ["one", "four", "two"]


def test_the_command(named: Path, hub: Any) -> None:
    done = hub("train", "one", "two", "four", "--seed", "3", "--samples", "0", "--json")
    assert done.code == 0, done.err
    assert [(each["name"], each["outcome"]) for each in done.json] == [
        ("one", "trained"), ("four", "trained"), ("two", "trained"),
    ]  # fmt: skip
    registry = Registry.open(named)
    assert [registry.adapter(name).recipe.training.seed for name in ("one", "two", "four")] == [
        3
    ] * 3
    table = hub("train", "one", "four", "--samples", "0").out.splitlines()
    assert table[0].split()[:3] == ["name", "outcome", "version"]
    assert [line.split()[:3] for line in table[1:]] == [
        ["one", "trained", "2"],
        ["four", "trained", "2"],
    ]


def test_one_that_fails_ends_none_of_the_others(named: Path, hub: Any) -> None:
    (named / "nowhere.jsonl").write_text('{"prompt": "a"}\n' * 30)
    done = hub("train", "three", "one", "--samples", "0", "--json")
    assert done.code == 1
    assert [each["outcome"] for each in done.json] == ["failed", "trained"]
    assert "nowhere.jsonl" in done.json[0]["error"]


def test_all_names_are_checked_first(named: Path, hub: Any) -> None:
    done = hub("train", "one", "fuor")
    assert done.code == 2
    assert "did you mean 'four'" in done.err
    assert not Registry.open(named).adapter("one").versions


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("one", "four", "--resume"), "leave --resume out"),
        (("one", "four", "--dry-run"), "takes one NAME"),
        (("one", "One"), "given twice"),
    ],
)
def test_what_has_no_meaning_with_several(
    named: Path, hub: Any, arguments: tuple[str, ...], said: str
) -> None:
    done = hub("train", *arguments)
    assert done.code == 2
    assert said in done.err
