"""LoRA that starts from the base's weights or from rows: what is saved fits the clean base."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import workshop
from safetensors.torch import load_file
from workshop import run_training

from adapter_hub.errors import Interrupted, OptionError, TrainingError
from adapter_hub.hookspecs import TrainHooks, hookimpl
from adapter_hub.loading.adapters import load, open_reference
from adapter_hub.loading.bases import load_model
from adapter_hub.methods.lora_start import DOUBLED
from adapter_hub.model import parse_reference
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digest
from adapter_hub.training.reproduce import reproduce
from adapter_hub.training.workbench import Workbench

STARTS = (*DOUBLED, "eva")
IDS = torch.tensor([[5, 9, 40, 41, 7, 30, 12]])
OPTIONS: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
WEIGHTS = "adapter_model.safetensors"


def train(folder: Path, name: str, start: Any, options: Any = None, **how: Any) -> Any:
    options = {**OPTIONS, **(options or {}), "init_lora_weights": start}
    return run_training(folder, name, options=options, **{"steps": 4, "learning_rate": 0.01, **how})


def record(folder: Path, name: str) -> Any:
    return json.loads((folder / f"adapters/{name}/1/adapter_hub.json").read_text())


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(folder / f"adapters/{name}/1" / WEIGHTS)


def logits(folder: Path, name: str) -> torch.Tensor:
    opened = open_reference(parse_reference(name), Registry.open(folder), load_catalog())
    with torch.no_grad():
        found: torch.Tensor = load(opened, torch.float32)[0](input_ids=IDS).logits
    return found


@pytest.mark.parametrize("base", ["llama", "gpt2"])
@pytest.mark.parametrize("start", STARTS)
def test_it_starts_where_the_base_is_and_learns(shop: Path, start: str, base: str) -> None:
    train(shop, "plain", True, base=base)
    train(shop, "other", start, base=base)
    plain, other = record(shop, "plain"), record(shop, "other")
    assert other["losses"][0] == pytest.approx(plain["losses"][0], rel=1e-4)
    assert other["evaluations"][0]["loss"] == pytest.approx(
        plain["evaluations"][0]["loss"], rel=1e-6
    )
    assert other["losses"][-1] != plain["losses"][-1]
    assert other["evaluations"][-1]["loss"] < other["evaluations"][0]["loss"]
    assert not torch.equal(logits(shop, "other"), logits(shop, "plain"))


@pytest.mark.parametrize("start", DOUBLED)
def test_the_second_half_is_the_start_and_stands_still(shop: Path, start: str) -> None:
    """Weight decay, too, leaves it."""
    train(shop, "short", start, steps=1, learning_rate=1e-30)
    train(shop, "long", start, weight_decay=0.1, learning_rate=0.02)
    begun, trained = weights(shop, "short"), weights(shop, "long")
    for name, each in trained.items():
        dimension = 0 if "lora_A" in name else 1
        live, still = each.chunk(2, dimension)
        first, second = begun[name].chunk(2, dimension)
        assert torch.equal(still, second), name
        torch.testing.assert_close(first, second if dimension == 0 else -second)
        assert not torch.equal(live, first)
    config = json.loads((shop / "adapters/long/1/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (8, 16, True)


@pytest.mark.parametrize(
    "options",
    [{}, {"use_rslora": True}, {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}}],
)
def test_pissa_is_pissa(shop: Path, options: dict[str, Any]) -> None:
    """The first half is what PEFT itself makes, and the update on the clean base what PEFT trains."""
    train(
        shop,
        "ours",
        "pissa",
        {**options, "target_modules": ["q_proj", "v_proj"]},
        steps=1,
        learning_rate=1e-30,
    )
    base = load_model(shop / "bases/llama", torch.float32)
    kept = {**OPTIONS, **options, "target_modules": ["q_proj", "v_proj"]}
    config = peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights="pissa", **kept)
    theirs = peft.get_peft_model_state_dict(peft.get_peft_model(base, config))
    ours = weights(shop, "ours")
    for name in (each for each in theirs if "lora_A" in each):
        other = name.replace("lora_A", "lora_B")
        a, b = ours[name].chunk(2, 0)[0], ours[other].chunk(2, 1)[0]
        torch.testing.assert_close(b @ a, theirs[other] @ theirs[name], rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        clean = load_model(shop / "bases/llama", torch.float32)(input_ids=IDS).logits
    torch.testing.assert_close(logits(shop, "ours"), clean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("start", STARTS)
def test_the_same_seed_makes_the_same_files_and_reproduce_does(shop: Path, start: str) -> None:
    train(shop, "one", start)
    train(shop, "two", start)
    assert file_digest(shop / "adapters/one/1" / WEIGHTS) == file_digest(
        shop / "adapters/two/1" / WEIGHTS
    )
    assert reproduce("one@1", registry=Registry.open(shop)).verdict == "identical"


@pytest.mark.parametrize("start", STARTS)
def test_an_interrupted_run_goes_on_to_the_same_end(shop: Path, start: str) -> None:
    def stop(progress: Any, _steps: int) -> None:
        if progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    how = {"weight_decay": 0.1}
    with pytest.raises(Interrupted):
        train(shop, "parts", start, on_step=stop, **how)
    train(shop, "parts", start, resume=True, **how)
    train(shop, "whole", start, **how)
    for file in (WEIGHTS, "adapter_config.json"):
        assert file_digest(shop / "adapters/parts/1" / file) == file_digest(
            shop / "adapters/whole/1" / file
        )


def test_the_base_is_left_alone_and_shared(shop: Path) -> None:
    bench = Workbench()
    for start in STARTS:
        train(shop, start.replace("_", "-"), start, bench=bench, steps=1)
    run_training(shop, "after", steps=2, bench=bench)
    run_training(shop, "alone", steps=2)
    assert file_digest(shop / "adapters/after/1" / WEIGHTS) == file_digest(
        shop / "adapters/alone/1" / WEIGHTS
    )


def test_it_is_gone_on_from(shop: Path) -> None:
    train(shop, "first", "pissa")
    options = {**OPTIONS, "init_lora_weights": "pissa"}
    run_training(shop, "first", options=options, start="first@1", steps=1, learning_rate=1e-30)
    one, two = (load_file(shop / f"adapters/first/{number}" / WEIGHTS) for number in (1, 2))
    for name in one:
        torch.testing.assert_close(one[name], two[name])
    run_training(shop, "second", base=None, data=None, start="first@1", steps=1)
    assert weights(shop, "second").keys() == one.keys()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"r": 64}, "needs a rank of at most"),
        ({"use_dora": True}, "it is a variant of LoRA"),
        (
            {"target_modules": ["q_proj", "embed_tokens"]},
            "embed_tokens: it is no linear layer|tied",
        ),
    ],
)
def test_what_cannot_start_so(shop: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        train(shop, "none", "pissa", options)


def test_bits_and_shards_are_refused(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="it is quantised"):
        train(shop, "none", "pissa", quantize="4bit")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    from adapter_hub.methods.lora_start import LoraStart

    hooks = LoraStart()
    hooks._start = "pissa"
    with pytest.raises(TrainingError, match="which shards cannot"):
        hooks.after_adapter(None, lambda: iter(()))


SEEN: list[str] = []


class Looking(TrainHooks):
    """A third party's: what it is called with, in order."""

    def before_model(self, config: Any, steps: int) -> None:
        SEEN.append(f"before_model {steps}")

    def after_adapter(self, model: Any, batches: Any) -> None:
        first, again = next(batches()), next(batches())
        assert {each.shape for each in first.values()} == {again["input_ids"].shape}
        assert set(first) == {"input_ids", "attention_mask", "labels"}
        assert all(torch.equal(first[key], again[key]) for key in first)
        assert (first["labels"] == -100).any()
        with torch.no_grad():
            assert torch.isfinite(model(**first).loss)
        SEEN.append("after_adapter")

    def loss(self, model: Any) -> Any:
        SEEN.append("loss")
        return None

    def after_step(self, model: Any, step: int) -> None:
        SEEN.append(f"after_step {step}")


def test_a_plugin_sees_each_moment_in_order(shop: Path) -> None:
    from types import ModuleType

    def register_methods(register: Any) -> None:
        register("looking", "peft:IA3Config", hooks=Looking)

    module = ModuleType("methods")
    module.register_methods = hookimpl(register_methods)  # type: ignore[attr-defined]
    catalog = load_catalog()
    catalog.add_plugin(module, "methods", "methods", "1")
    SEEN.clear()
    workshop.run_training(shop, method="looking", catalog=catalog, steps=2)
    assert SEEN == [
        "before_model 2", "after_adapter", "loss", "after_step 1", "loss", "after_step 2",
    ]  # fmt: skip
