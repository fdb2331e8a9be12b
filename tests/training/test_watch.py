"""What is shown of a run while it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.training.run_options import RunOptions
from adapter_hub.training.watch import on_a_line
from adapter_hub.training.workbench import Workbench


def watched(shop: Path, run_options: RunOptions, **how: Any) -> tuple[Any, list[str]]:
    said: list[str] = []
    result = workshop.run_training(shop, run_options=run_options, say=said.append, **how)
    return result, said


def test_answers_before_and_after(shop: Path) -> None:
    result, _ = watched(shop, RunOptions(), steps=30, learning_rate=0.02)
    assert len(result.samples) == 2  # so many are held out
    for sample in result.samples:
        assert sample["where"].startswith("rows.jsonl:")
        assert sample["prompt"]
        assert sample["expected"]
        assert sample["base"] != sample["adapter"]
        assert sample["during"] == []


def test_the_first_answers_are_the_base_s_own(shop: Path) -> None:
    result, _ = watched(shop, RunOptions(), steps=3, learning_rate=1e-9)
    assert [each["base"] for each in result.samples] == [each["adapter"] for each in result.samples]


def test_answers_on_the_way(shop: Path) -> None:
    result, said = watched(shop, RunOptions(samples=1, sample_every=2), steps=6)
    (sample,) = result.samples
    assert [each["step"] for each in sample["during"]] == [2, 4]
    shown = [line for line in said if "answered:" in line]
    assert [line.partition(":")[0] for line in shown] == ["step 2", "step 4"]
    assert f"expected: {on_a_line(sample['expected'])}" in shown[0]
    assert on_a_line(sample["during"][0]["text"]) in shown[0]


def test_answers_change_nothing_of_the_training(shop: Path) -> None:
    how: dict[str, Any] = {"options": {"lora_dropout": 0.3}, "learning_rate": 1e-3}
    watched(shop, RunOptions(samples=0), **how)
    watched(shop, RunOptions(samples=2, sample_every=1), **how)
    first, second = (
        (shop / f"adapters/sums/{n}/adapter_model.safetensors").read_bytes() for n in (1, 2)
    )
    assert first == second


def test_none_are_asked_for(shop: Path) -> None:
    result, said = watched(shop, RunOptions(samples=0, sample_every=1))
    assert result.samples == []
    assert not any("answered" in line for line in said)


def test_without_held_out_rows_it_asks_those_of_the_training(shop: Path) -> None:
    result, said = watched(shop, RunOptions(), eval_fraction=0.0)
    assert len(result.samples) == 3
    assert not any("held-out loss" in line for line in said)


def test_a_model_that_cannot_generate_is_trained_all_the_same(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any, **_named: Any) -> None:
        raise NotImplementedError("this one has no cache")

    monkeypatch.setattr("peft.PeftModelForCausalLM.generate", refuse)
    result, said = watched(shop, RunOptions(sample_every=1))
    assert result.version == 1
    assert [line for line in said if line.startswith("no sample answers")] == [
        "no sample answers: NotImplementedError: this one has no cache"
    ]
    assert result.samples == []


def test_a_base_that_could_not_be_asked_is_asked_again(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next adapter on the bench has its answers, the base's with them."""
    bench = Workbench()
    with monkeypatch.context() as once:
        once.setattr("adapter_hub.training.watch.answers", lambda *_: 1 / 0)
        watched(shop, RunOptions(), bench=bench)
    result, _ = watched(shop, RunOptions(), bench=bench)
    assert all(sample["base"] and sample["adapter"] for sample in result.samples)
    assert len(result.samples) == 2


def test_each_look_is_said(shop: Path) -> None:
    _, said = watched(shop, RunOptions(samples=0), eval_every=2)
    looks = [line for line in said if "held-out loss" in line]
    assert [line.partition(":")[0] for line in looks] == ["step 2", "step 4"]
    assert looks[1].endswith(", the lowest so far")


def test_on_a_line() -> None:
    assert on_a_line(" a\n b\t c ") == "a b c"
    assert on_a_line("x" * 200, 10) == "x" * 9 + "…"
    assert on_a_line("x" * 200 + "end", 10, keep_end=True) == "…" + "x" * 6 + "end"
