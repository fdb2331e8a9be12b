"""Fused RMS norms against those of transformers: values, gradients, and who is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.mistral.modeling_mistral import MistralRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

from adapter_hub.training.fused_norm import FusedNorms

IDS = torch.arange(4, 52).reshape(2, 24)


def norm_of(kind: Any = LlamaRMSNorm, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    norm = kind(48)
    norm.weight.data = torch.randn(48)
    return norm.to(dtype).requires_grad_(False)


def outcome(norm: Any, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """What it makes of rows of very different sizes, and the gradient of a sum of it."""
    torch.manual_seed(1)
    sizes = torch.tensor([0.0, 1e-3, 1.0, 300.0])[:, None, None]
    x = (torch.randn(4, 5, 48) * sizes * scale).to(norm.weight.dtype).requires_grad_()
    result = norm(x)
    (result.float() * torch.randn(4, 5, 48)).sum().backward()
    assert x.grad is not None
    return result.detach(), x.grad


@pytest.mark.parametrize("kind", [LlamaRMSNorm, MistralRMSNorm, Qwen2RMSNorm])
def test_the_same_in_float32(kind: Any) -> None:
    norm = norm_of(kind)
    before = outcome(norm)
    fused = FusedNorms(norm)
    assert fused.norms == 1
    for value, after in zip(before, outcome(norm), strict=True):
        assert torch.allclose(value, after, rtol=1e-4, atol=1e-5)
    fused.detach()
    assert torch.equal(outcome(norm)[0], before[0])
    assert "forward" not in vars(norm)


def test_in_bfloat16_it_is_as_near_to_the_truth() -> None:
    exact = norm_of(dtype=torch.bfloat16).float()
    norm = norm_of(dtype=torch.bfloat16)
    truth, before = outcome(exact), outcome(norm)
    FusedNorms(norm)
    after = outcome(norm)
    assert torch.equal(after[0], before[0]), "the rounding is that of transformers"
    assert after[1].dtype == torch.bfloat16
    for row in range(1, 4):
        far = (before[1][row].float() - truth[1][row]).norm()
        assert (after[1][row].float() - truth[1][row]).norm() < 1.1 * far


def test_others_stay_as_they_are() -> None:
    assert FusedNorms(norm_of(GemmaRMSNorm)).norms == 0
    assert FusedNorms(torch.nn.RMSNorm(48).requires_grad_(False)).norms == 0
    assert FusedNorms(norm_of().requires_grad_(True)).norms == 0
    once = norm_of()
    assert FusedNorms(once).norms == 1
    assert FusedNorms(once).norms == 0, "what has a forward pass of its own already"


def test_an_input_of_another_type_goes_the_old_way() -> None:
    norm = norm_of()
    x = torch.randn(2, 48).bfloat16()
    before = norm(x)
    FusedNorms(norm)
    assert torch.equal(norm(x), before)
    assert norm(x).dtype == before.dtype


def test_all_of_a_model_with_the_same_gradients(bases: dict[str, Path]) -> None:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(bases["llama"], dtype=torch.float32)
    config = LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False)
    model: Any = get_peft_model(base, config)

    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        model(input_ids=IDS, labels=IDS).loss.backward()
        return [each.grad.clone() for each in model.parameters() if each.requires_grad]

    before = gradients()
    fused = FusedNorms(model)
    assert fused.norms == 2 * model.config.num_hidden_layers + 1
    for value, after in zip(before, gradients(), strict=True):
        assert torch.allclose(value, after, rtol=1e-3, atol=1e-6)
