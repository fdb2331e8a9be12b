"""Fused LoRA layers against PEFT's own: the same in float32, closer than rounding in bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from adapter_hub.training.fused_lora import FusedLora

IDS = torch.arange(4, 52).reshape(2, 24)


def model_of(folder: Path, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    """The base with an adapter whose weights are not zero."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    config = {"r": 4, "lora_alpha": 10, "target_modules": "all-linear", "init_lora_weights": False}
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **{**config, **options}))


def gradients(model: Any) -> dict[str, torch.Tensor]:
    """Of the loss, by parameter; ``loss`` is the loss itself."""
    model.zero_grad()
    loss = model(input_ids=IDS, labels=IDS).loss
    loss.backward()
    found = {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return {**found, "loss": loss.detach()}


def both(model: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """PEFT's, and those of the fused layers; all layers are taken."""
    before = gradients(model)
    fused = FusedLora(model)
    assert fused.layers > 0
    after = gradients(model)
    fused.detach()
    return before, after


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"rank_pattern": {"q_proj": 2}}])
def test_the_same_in_float32(bases: dict[str, Path], options: dict[str, Any]) -> None:
    before, after = both(model_of(bases["llama"], **options))
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.allclose(value, after[name], rtol=1e-4, atol=1e-6), name


def test_as_near_to_float32_as_peft_is_over_a_base_in_bfloat16(bases: dict[str, Path]) -> None:
    exact = gradients(model_of(bases["llama"]).to(torch.float32))
    before, after = both(model_of(bases["llama"], torch.bfloat16))

    def distance(found: dict[str, torch.Tensor]) -> float:
        parts = [(found[name].float() - exact[name]).norm() for name in exact if name != "loss"]
        return float(torch.stack(parts).norm())

    assert all(value.dtype == torch.float32 for name, value in after.items() if name != "loss")
    assert distance(after) < 1.5 * distance(before)
    assert after["loss"].item() == pytest.approx(exact["loss"].item(), rel=0.01)


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"use_dora": True}])
def test_other_layers_stay_as_they_are(bases: dict[str, Path], options: dict[str, Any]) -> None:
    assert FusedLora(model_of(bases["llama"], **options)).layers == 0


def test_a_layer_that_is_not_plain_stays_as_it_is(bases: dict[str, Path]) -> None:
    model = model_of(bases["llama"], target_modules=["q_proj", "v_proj"])
    count = 2 * model.config.num_hidden_layers
    assert FusedLora(model_of(bases["llama"], target_modules=["q_proj", "v_proj"])).layers == count
    one, other, third = [each for each in model.modules() if hasattr(each, "lora_B")][:3]
    one.lora_B["default"].bias = torch.nn.Parameter(torch.zeros(one.out_features))
    other.base_layer.weight.requires_grad_(True)
    third.lora_A["default"].weight.requires_grad_(False)
    assert FusedLora(model).layers == count - 3


def test_layers_over_other_modules_stay_as_they_are(bases: dict[str, Path]) -> None:
    """GPT-2 has Conv1D."""
    assert FusedLora(model_of(bases["gpt2"], fan_in_fan_out=True)).layers == 0


def test_switched_off_it_is_the_base(bases: dict[str, Path]) -> None:
    model = model_of(bases["llama"])
    with torch.no_grad(), model.disable_adapter():
        base = model(input_ids=IDS).logits
    fused = FusedLora(model)
    with torch.no_grad():
        with model.disable_adapter():
            assert torch.equal(model(input_ids=IDS).logits, base)
        assert not torch.allclose(model(input_ids=IDS).logits, base, atol=1e-3)
    fused.detach()


def test_detached_nothing_is_left(bases: dict[str, Path]) -> None:
    model = model_of(bases["llama"])
    with torch.no_grad():
        before = model(input_ids=IDS).logits
        FusedLora(model).detach()
        assert torch.equal(model(input_ids=IDS).logits, before)
    assert not [each for each in model.modules() if "forward" in vars(each)]


def test_a_second_adapter_is_not_its_business(bases: dict[str, Path]) -> None:
    model = model_of(bases["llama"])
    model.add_adapter("other", LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear"))
    assert FusedLora(model).layers == 0
