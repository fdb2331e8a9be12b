"""Bases in fewer bits, and activations that are computed twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import workshop
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file

from adapter_hub.errors import BaseModelError, Interrupted, UsageError
from adapter_hub.generation.generate import generate
from adapter_hub.loading.folders import read_record
from adapter_hub.registry.store import Registry
from adapter_hub.training.evaluate import evaluate

LINEAR = {"target_modules": "all-linear"}


def weights(shop: Path, version: int = 1, name: str = "sums") -> dict[str, torch.Tensor]:
    return load_file(shop / f"adapters/{name}/{version}/adapter_model.safetensors")


def apart(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    return max(float((first[name] - second[name]).abs().max()) for name in first)


# --- activations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("lora", {"lora_dropout": 0.3, **LINEAR}),
        ("lora", {"layers_to_transform": [1], "target_modules": ["q_proj"]}),
    ],
)
def test_computed_twice_they_are_the_same(shop: Path, method: str, options: dict[str, Any]) -> None:
    how: dict[str, Any] = {"method": method, "options": options, "learning_rate": 1e-3}
    workshop.run_training(shop, **how)
    workshop.run_training(shop, **how, checkpoint_activations=True)
    assert apart(weights(shop, 1), weights(shop, 2)) < 1e-6
    first, second = (read_record(shop / f"adapters/sums/{n}")["losses"] for n in (1, 2))
    assert first == pytest.approx(second, abs=1e-5)
    assert Registry.open(shop).adapter("sums").recipe.training.checkpoint_activations


PEAK = """
import resource, sys
from pathlib import Path
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig
from adapter_hub.training.build import checkpoint_activations
config = LlamaConfig(
    vocab_size=300, hidden_size=128, intermediate_size=512, num_hidden_layers=12,
    num_attention_heads=4, num_key_value_heads=4, bos_token_id=1, eos_token_id=2,
)
model = get_peft_model(
    AutoModelForCausalLM.from_config(config), LoraConfig(task_type="CAUSAL_LM")
).train()
if sys.argv[1] == "yes":
    checkpoint_activations(model)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ids = torch.randint(5, 300, (8, 512))
model(input_ids=ids, labels=ids).loss.backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_less_memory_is_taken() -> None:
    taken = [
        int(
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", PEAK, each],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            ).stdout
        )
        for each in ("no", "yes")
    ]
    assert taken[1] < 0.4 * taken[0]


# --- fewer bits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
def test_an_adapter_learns_on_a_base_in_few_bits(shop: Path, quantize: str) -> None:
    how: dict[str, Any] = {"options": LINEAR, "steps": 20, "learning_rate": 0.02}
    result = workshop.run_training(shop, **how, quantize=quantize)
    assert result.eval_loss < result.base_eval_loss - 0.05
    record = read_record(Path(result.path))
    assert record["recipe"]["training"]["quantize"] == quantize
    config = json.loads((Path(result.path) / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "bases/llama"
    assert "quantization_config" not in config
    # It sits on the base as it is, too.
    (measured,) = evaluate(["sums"], "rows.jsonl", registry=Registry.open(shop), dtype="float32")
    assert measured.loss < result.base_eval_loss
    assert generate("sums", "Q: 3", registry=Registry.open(shop)).text is not None


def test_plain_peft_loads_what_came_of_it(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.run_training(shop, options=LINEAR, quantize="4bit")
    monkeypatch.chdir(shop)
    model = AutoPeftModelForCausalLM.from_pretrained("adapters/sums/1")
    assert model(torch.tensor([[5, 6, 7]])).logits.isfinite().all()


def test_few_bits_are_the_same_twice_and_resumed(shop: Path) -> None:
    how: dict[str, Any] = {"options": {"lora_dropout": 0.2}, "quantize": "4bit", "steps": 6}
    workshop.run_training(shop, **how)

    def stop(progress: Any, _steps: int) -> None:
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        workshop.run_training(shop, **how, on_step=stop)
    workshop.run_training(shop, **how, resume=True)
    assert apart(weights(shop, 1), weights(shop, 2)) == 0


def test_a_look_at_held_out_rows_leaves_the_base_as_it_is(shop: Path) -> None:
    how: dict[str, Any] = {"options": LINEAR, "quantize": "4bit", "steps": 6}
    workshop.run_training(shop, **how, eval_every=0)
    workshop.run_training(shop, **how, eval_every=1)
    first, second = (read_record(shop / f"adapters/sums/{n}") for n in (1, 2))
    assert first["losses"] == second["losses"]
    assert first["evaluations"][-1] == second["evaluations"][-1]


def test_the_base_does_change_by_it(shop: Path) -> None:
    workshop.run_training(shop, steps=2)
    workshop.run_training(shop, steps=2, quantize="4bit")
    assert apart(weights(shop, 1), weights(shop, 2)) > 0


def test_what_is_missing_is_said_at_once(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="a base in 4 bits needs bitsandbytes") as caught:
        workshop.run_training(shop, quantize="4bit")
    assert caught.value.hint == "pip install bitsandbytes"


def test_a_base_that_is_quantised_already(shop: Path) -> None:
    workshop.edit_json(
        shop / "bases/llama/config.json",
        quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True},
    )
    with pytest.raises(BaseModelError, match="quantised already"):
        workshop.run_training(shop, quantize="4bit")
