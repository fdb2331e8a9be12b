"""When the held-out loss is looked at, what is kept, and when a run stops early."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import workshop
from safetensors.torch import load_file

from adapter_hub.errors import DataError, Interrupted, UsageError
from adapter_hub.loading.folders import read_record
from adapter_hub.model import TrainingSettings
from adapter_hub.registry.store import Registry
from adapter_hub.training.held_out import out_of_patience, steps_between


def looks(*losses: float) -> list[dict[str, float]]:
    return [{"step": number, "loss": loss} for number, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("settings", "tokens", "held_out", "expected"),
    [
        ({}, 100_000, 100, 10),  # ten looks
        ({}, 1000, 60, 50),  # one look
        ({}, 1000, 200, 0),  # each would cost a tenth of the run
        ({"early_stop": 2}, 1000, 200, 10),
        ({"eval_every": 7}, 1000, 200, 7),
        ({"eval_every": 0, "early_stop": 1}, 1000, 1, 0),
    ],
)
def test_how_often_it_is_looked(
    settings: Any, tokens: float, held_out: float, expected: int
) -> None:
    assert steps_between(TrainingSettings(**settings), 100, tokens, held_out) == expected


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ((9.0,), 1, False),
        ((1.0, 5.0), 1, False),  # the bare base was better, and that is no reason
        ((9.0, 5.0, 6.0), 1, True),
        ((9.0, 5.0, 6.0), 2, False),
        ((9.0, 5.0, 6.0, 5.5), 2, True),
        ((9.0, 5.0, 6.0, 4.0), 2, False),
        ((9.0, 5.0, 5.0), 1, False),  # as good
        ((9.0, 5.0, 6.0, 7.0), 0, False),
    ],
)
def test_patience(losses: Any, patience: int, expected: bool) -> None:
    assert out_of_patience(looks(*losses), patience) is expected


# What is learned makes other answers less likely, more with every step.
WORSE: dict[str, Any] = {
    "steps": 12, "schedule": "constant", "warmup": 0.0, "eval_every": 2, "data": "cats.jsonl",
    "eval_data": "others.jsonl",
}  # fmt: skip


@pytest.fixture
def shop(shop: Path) -> Path:
    for name, answer in (("cats", " the cat"), ("others", " 17 quick")):
        rows = [{"prompt": f"Q: {n}", "completion": answer} for n in range(24)]
        workshop.write_rows(shop / f"{name}.jsonl", rows)
    return shop


def weights(shop: Path, version: int) -> dict[str, Any]:
    return load_file(shop / f"adapters/sums/{version}/adapter_model.safetensors")


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return all(first[name].equal(second[name]) for name in first)


def test_the_weights_of_the_lowest_loss_are_kept(shop: Path) -> None:
    result = workshop.run_training(shop, **WORSE)
    record = read_record(shop / "adapters/sums/1")
    found = {each["step"]: each["loss"] for each in record["evaluations"]}
    assert sorted(found) == [0, 2, 4, 6, 8, 10, 12]
    assert result.eval_loss == min(loss for step, loss in found.items() if step) < found[12]
    assert result.best_step == record["best_step"] < 12 == result.steps
    entry = Registry.open(shop).adapter("sums").versions[1]
    assert entry.metrics["eval_loss"] == round(result.eval_loss, 4)
    # A run that ends there has the same: with a constant rate, steps do not depend on the length.
    again = workshop.run_training(shop, **{**WORSE, "steps": result.best_step})
    assert again.eval_loss == result.eval_loss
    assert same(weights(shop, 1), weights(shop, 2))


def test_a_run_stops_early(shop: Path) -> None:
    whole = workshop.run_training(shop, **WORSE)
    said: list[str] = []
    early = workshop.run_training(shop, **WORSE, early_stop=1, say=said.append)
    assert early.steps < 12
    assert early.steps == early.best_step + 2
    assert any(f"step {early.steps}: held-out loss" in line for line in said)
    assert any("stopped early" in line for line in said)
    losses = {
        each["step"]: each["loss"] for each in read_record(shop / "adapters/sums/1")["evaluations"]
    }
    assert early.eval_loss == losses[early.best_step] >= whole.eval_loss


def test_an_interrupted_run_remembers_what_was_best(shop: Path) -> None:
    whole = workshop.run_training(shop, **WORSE)

    def stop(progress: Any, _steps: int) -> None:
        if progress.step == 10:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        workshop.run_training(shop, **WORSE, on_step=stop)
    resumed = workshop.run_training(shop, **WORSE, resume=True)
    assert whole.best_step < 10
    assert (resumed.best_step, resumed.eval_loss) == (whole.best_step, whole.eval_loss)
    assert same(weights(shop, 1), weights(shop, 2))
    first, second = (read_record(shop / f"adapters/sums/{n}")["evaluations"] for n in (1, 2))
    assert first == second


def test_looks_in_between_change_nothing_of_the_training(shop: Path) -> None:
    how: dict[str, Any] = {"options": {"lora_dropout": 0.3}, "learning_rate": 1e-3}
    workshop.run_training(shop, **how, eval_every=0)
    workshop.run_training(shop, **how, eval_every=1)
    first, second = (read_record(shop / f"adapters/sums/{n}") for n in (1, 2))
    assert first["losses"] == second["losses"]
    assert first["evaluations"][-1] == second["evaluations"][-1]
    assert len(second["evaluations"]) == 7


def test_nothing_to_stop_by(shop: Path) -> None:
    with pytest.raises(UsageError, match="early_stop needs held-out rows") as caught:
        workshop.run_training(shop, early_stop=2, eval_fraction=0.0)
    assert "--early-stop 0" in str(caught.value.hint)
    workshop.write_rows(shop / "few.jsonl", [{"prompt": "a", "completion": "b"}] * 3)
    with pytest.raises(DataError, match="so few rows that none are held out"):
        workshop.run_training(shop, early_stop=2, data="few.jsonl")
