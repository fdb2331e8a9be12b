"""Attention over short rows is the attention that it stands in for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config

from adapter_hub.training import short_attention
from adapter_hub.training.short_attention import LONGEST, NAME, ShortAttention

SMALL: dict[str, Any] = {
    "vocab_size": 200, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
CONFIGS = {
    "llama": LlamaConfig(**SMALL),
    "gpt2": GPT2Config(
        vocab_size=200, n_embd=64, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2,
        attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0,
    ),
    "window": Qwen2Config(
        **SMALL, use_sliding_window=True, sliding_window=5, max_window_layers=1
    ),
}  # fmt: skip


def model(name: str, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(CONFIGS[name], dtype=dtype, attn_implementation="sdpa")
    config = LoraConfig(
        task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False,
        fan_in_fan_out=name == "gpt2",
    )  # fmt: skip
    return get_peft_model(made, config).train()


def outcome(made: Any, length: int = 40) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits of the real tokens of padded rows, and the gradients of a loss on all of them."""
    torch.manual_seed(1)
    ids = torch.randint(5, 200, (3, length))
    mask = torch.ones_like(ids)
    mask[1, length // 2 :] = 0
    mask[2, length - 3 :] = 0
    made.zero_grad()
    logits = made(input_ids=ids, attention_mask=mask).logits.float()
    (logits * mask[..., None]).square().mean().backward()
    gradients = {
        n: each.grad.clone() for n, each in made.named_parameters() if each.grad is not None
    }
    return logits.detach()[mask.bool()], gradients


def distance(first: Any, second: Any) -> float:
    return max(float((first[n] - second[n]).norm() / first[n].norm()) for n in first)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_same_logits_and_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    apply = short_attention._Attention.apply
    monkeypatch.setattr(
        short_attention._Attention, "apply", lambda *all: calls.append(1) or apply(*all)
    )
    made = model(name)
    logits, gradients = outcome(made)
    assert not calls
    attention = ShortAttention(made)
    again, same = outcome(made)
    assert len(calls) == made.config.num_hidden_layers
    assert torch.allclose(again, logits, atol=1e-6)
    assert distance(gradients, same) < 1e-5
    attention.detach()
    assert made.get_base_model().config._attn_implementation == "sdpa"
    assert torch.equal(outcome(made)[0], logits)
    assert len(calls) == made.config.num_hidden_layers


def test_in_bfloat16_it_is_no_further_from_the_truth() -> None:
    exact = outcome(model("llama"))[1]
    made = model("llama", torch.bfloat16)
    fused = distance(exact, outcome(made)[1])
    ShortAttention(made)
    assert distance(exact, outcome(made)[1]) < 1.1 * fused


def test_longer_rows_stay_as_they_were() -> None:
    made = model("llama")
    longer = LONGEST[torch.float32] + 2
    logits, gradients = outcome(made, longer)
    ShortAttention(made)
    again, same = outcome(made, longer)
    assert torch.allclose(again, logits, atol=1e-6)
    assert distance(gradients, same) < 1e-5


def test_dropout_stays_as_it_was() -> None:
    made = model("llama")
    for layer in made.get_base_model().model.layers:
        layer.self_attn.attention_dropout = 0.5
    torch.manual_seed(3)
    first = outcome(made)[0]
    ShortAttention(made)
    assert torch.allclose(outcome(made)[0], first, atol=1e-6)


def test_another_kind_of_attention_is_left_alone() -> None:
    made = model("llama")
    made.get_base_model().set_attn_implementation("eager")
    attention = ShortAttention(made)
    assert made.get_base_model().config._attn_implementation == "eager" != NAME
    attention.detach()
    assert made.get_base_model().config._attn_implementation == "eager"


def test_it_generates_the_same() -> None:
    made = model("llama").eval()
    asked = {"input_ids": torch.tensor([[5, 6, 7, 8]]), "max_new_tokens": 8, "do_sample": False}
    before = made.generate(**asked)
    ShortAttention(made)
    assert torch.equal(made.generate(**asked), before)
