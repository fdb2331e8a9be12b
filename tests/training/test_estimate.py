"""``train --dry-run``: what a run would take."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.errors import DataError, OptionError, UsageError
from adapter_hub.registry.store import Registry
from adapter_hub.training.estimate import Estimate, estimate
from adapter_hub.training.plan import Changes

SETTINGS = {"steps": 6, "learning_rate": 0.05, "dtype": "float32", "max_length": 64}


def expected(folder: Path, **changes: Any) -> Estimate:
    training = {**SETTINGS, **changes.pop("training", {})}
    whole = {"base": "llama", "data": "rows.jsonl", **changes, "training": training}
    return estimate("sums", Changes(**whole), registry=Registry.open(folder))


def test_it_is_what_the_run_then_takes(shop: Path) -> None:
    told = expected(shop)
    result = workshop.run_training(shop)
    for field in ("steps", "tokens", "loss_tokens", "trainable_parameters", "total_parameters"):
        assert getattr(told, field) == getattr(result, field), field
    assert (told.rows, told.examples, told.held_out, told.skipped) == (40, 38, 2, 0)
    assert told.dtype == "float32"
    assert told.recipe["training"]["steps"] == 6


def test_nothing_is_written_and_no_weights_are_read(shop: Path) -> None:
    path = shop / "bases/llama/model.safetensors"
    before = {each: each.stat().st_mtime_ns for each in shop.rglob("*")}
    expected(shop)
    assert {each: each.stat().st_mtime_ns for each in shop.rglob("*")} == before
    path.chmod(0o400)
    assert json.dumps(asdict(expected(shop)))


def test_more_work_is_more_time_and_longer_rows_more_memory(shop: Path) -> None:
    short, long = expected(shop), expected(shop, training={"steps": 600})
    assert long.seconds > 10 * short.seconds > 0
    assert long.tokens > 50 * short.tokens
    small, large = (expected(shop, training={"batch_size": size}) for size in (1, 32))
    assert large.memory_bytes > small.memory_bytes > 450 << 20


def test_bad_rows_and_cut_rows_are_counted(shop: Path) -> None:
    with (shop / "rows.jsonl").open("a") as file:
        file.write("nonsense\n")
    told = expected(shop, training={"on_bad_row": "skip", "max_length": 24})
    assert told.skipped == 1
    assert told.truncated > 5
    with pytest.raises(DataError, match=r"rows\.jsonl:41: the row is not JSON"):
        expected(shop)


def test_what_train_refuses_is_refused(shop: Path) -> None:
    with pytest.raises(OptionError, match="PEFT refuses these options"):
        expected(shop, options={"r": 0})
    with pytest.raises(UsageError, match="names no data"):
        estimate("sums", Changes(base="llama"), registry=Registry.open(shop))


def test_a_method_that_cannot_be_counted_is_estimated_from_the_files(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weighing(model: Any, config: Any) -> Any:
        return model.lm_head.weight.to("cpu")

    counted = expected(shop)
    monkeypatch.setattr("peft.get_peft_model", weighing)
    told = expected(shop)
    assert (told.trainable_parameters, told.total_parameters) == (None, None)
    assert told.memory_bytes == pytest.approx(counted.memory_bytes, rel=0.01)
