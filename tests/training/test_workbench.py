"""Runs that share a base give what they give alone, and the base is loaded once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import workshop
from offers import catalog
from workshop import run_training

import adapter_hub.loading.bases
from adapter_hub.errors import TrainingError
from adapter_hub.hookspecs import hookimpl
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digest
from adapter_hub.training import loop, samples
from adapter_hub.training.run_options import RunOptions
from adapter_hub.training.workbench import Workbench

RUNS: dict[str, dict[str, Any]] = {
    "plain": {"method": "lora"},
    "dropped": {"method": "lora", "options": {"lora_dropout": 0.2, "use_dora": True}},
    "scaled": {"method": "ia3"},
    "prompted": {"method": "prompt_tuning", "options": {"num_virtual_tokens": 4}},
    "prefixed": {"method": "prefix_tuning", "options": {"num_virtual_tokens": 4}},
    "adapted": {"method": "adaption_prompt", "options": {"adapter_len": 4, "adapter_layers": 2}},
    "plain-again": {"method": "lora"},
    "bits": {"method": "lora", "quantize": "4bit"},
    "more-bits": {"method": "lora", "quantize": "4bit", "options": {"r": 4}},
    "other-base": {"method": "lora", "base": "gpt2"},
    "half-at-last": {"method": "lora", "dtype": "bfloat16"},
}


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The bases that are loaded, by their folders' names."""
    seen: list[str] = []
    load = adapter_hub.loading.bases.load_model

    def counted(folder: Path, *arguments: Any) -> Any:
        seen.append(folder.name)
        return load(folder, *arguments)

    monkeypatch.setattr(adapter_hub.loading.bases, "load_model", counted)
    return seen


def told(folder: Path, name: str) -> dict[str, Any]:
    """What a run came to, without names and times."""
    files = folder / "adapters" / name / "1"
    record = json.loads((files / "adapter_hub.json").read_text())
    kept = ("losses", "evaluations", "metrics", "recipe", "data", "tokens", "total_parameters")
    return {
        "weights": file_digest(files / "adapter_model.safetensors"),
        "config": file_digest(files / "adapter_config.json"),
        **{key: record[key] for key in kept},
    }


def test_each_is_what_it_is_alone(
    shop: Path, tmp_path: Path, bases: dict[str, Path], loads: list[str]
) -> None:
    bench, offers = Workbench(), catalog()
    alone = workshop.make_workshop(tmp_path / "alone", bases)
    shown: dict[str, list[Any]] = {"together": [], "alone": []}
    for name, run in RUNS.items():
        how = {"steps": 2, "learning_rate": 0.01, "run_options": RunOptions(samples=1), **run}
        result = run_training(shop, name, catalog=offers, bench=bench, **how)
        shown["together"].append(result.samples)
    assert loads == ["llama", "llama", "gpt2", "llama"]
    for name, run in RUNS.items():
        how = {"steps": 2, "learning_rate": 0.01, "run_options": RunOptions(samples=1), **run}
        shown["alone"].append(run_training(alone, name, catalog=offers, **how).samples)
        assert told(shop, name) == told(alone, name), name
    assert shown["together"] == shown["alone"]


def test_an_altered_base_is_loaded_again(shop: Path, loads: list[str]) -> None:
    """An adapter that changed the base's numbers in place leaves no trace in the next one's."""

    def register_methods(register: Any) -> None:
        from peft import LoraConfig

        def halved(r: int = 4) -> Any:
            return LoraConfig(r=r, target_modules=["q_proj"])

        register("halved", halved, hooks=Halving)

    module = ModuleType("methods")
    module.register_methods = hookimpl(register_methods)  # type: ignore[attr-defined]
    offers = load_catalog()
    offers.add_plugin(module, "methods", "methods", "1")
    bench = Workbench()
    run_training(shop, "before", steps=2, catalog=offers, bench=bench)
    run_training(shop, "halved", method="halved", steps=2, catalog=offers, bench=bench)
    run_training(shop, "after", steps=2, catalog=offers, bench=bench)
    assert told(shop, "before") == told(shop, "after")
    assert loads == ["llama", "llama"]


class Halving(adapter_hub.hookspecs.TrainHooks):
    def after_step(self, model: Any, step: int) -> None:
        model.get_base_model().model.norm.weight.data *= 0.5


def test_a_run_that_fails_leaves_the_base_as_it_was(shop: Path, loads: list[str]) -> None:
    def fail(progress: Any, _steps: int) -> None:
        if progress.step == 2:
            raise TrainingError("the loss became nan")

    bench = Workbench()
    with pytest.raises(TrainingError, match="became nan"):
        run_training(shop, "wild", options={"r": 16}, on_step=fail, bench=bench)
    run_training(shop, "sums", steps=2, bench=bench)
    run_training(shop, "alone", steps=2)
    assert told(shop, "sums") == told(shop, "alone")
    assert loads == ["llama"] * 2


def test_the_bare_base_is_asked_once(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, measured = [], []
    answer, evaluate = samples._answer, loop.evaluate
    monkeypatch.setattr(samples, "_answer", lambda *a: asked.append(1) or answer(*a))  # type: ignore[func-returns-value]
    monkeypatch.setattr(loop, "evaluate", lambda *a: measured.append(1) or evaluate(*a))  # type: ignore[func-returns-value]
    bench, options = Workbench(), RunOptions(samples=2)
    how: dict[str, Any] = {"bench": bench, "run_options": options, "steps": 2, "eval_every": 0}
    run_training(shop, "one", **how)
    assert (len(asked), len(measured)) == (2, 2)
    run_training(shop, "two", options={"r": 2}, **how)
    assert (len(asked), len(measured)) == (3, 3)
    run_training(shop, "three", **{**how, "seed": 5})  # other rows are held out
    assert (len(asked), len(measured)) == (5, 5)


def test_rows_of_a_plugin_are_made_once(shop: Path) -> None:
    made = []

    def rows(many: int = 30) -> Iterator[str]:
        made.append(many)
        yield from (f"row {number} of some" for number in range(many))

    offers, bench = workshop.offering("counted", rows), Workbench()
    how: dict[str, Any] = {"data": "counted", "catalog": offers, "bench": bench, "steps": 2}
    first = run_training(shop, "one", **how)
    assert run_training(shop, "two", **how).tokens == first.tokens
    assert made == [30]
    run_training(shop, "three", data_options={"many": 20}, **how)
    run_training(shop, "four", train_on="all", **how)
    assert made == [30, 20, 30]


def test_a_file_that_changes_between_two_runs_is_read_again(shop: Path) -> None:
    bench = Workbench()
    run_training(shop, "one", steps=1, bench=bench)
    workshop.write_rows(shop / "rows.jsonl", [{"prompt": "a", "completion": "b"}] * 30)
    run_training(shop, "two", steps=1, bench=bench)
    rows = [
        json.loads((shop / f"adapters/{name}/1/adapter_hub.json").read_text())["data"]["rows"]
        for name in ("one", "two")
    ]
    assert rows == [40, 30]
    assert Registry.open(shop).adapter_names() == ["one", "two"]
