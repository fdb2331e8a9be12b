"""Packed batches: every distinct beginning once, and the loss and gradients of padded ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import workshop
from hypothesis import given
from hypothesis import strategies as st
from peft import IA3Config, LoraConfig, PrefixTuningConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from adapter_hub.training.batches import Batch
from adapter_hub.training.build import checkpoint_activations
from adapter_hub.training.fused_lora import FusedLora
from adapter_hub.training.fused_norm import FusedNorms
from adapter_hub.training.loss import LossHead
from adapter_hub.training.packed_rows import ARCHITECTURES, MULTIPLE, can_pack, pack
from adapter_hub.training.short_attention import ShortAttention

SMALL: dict[str, Any] = {
    "vocab_size": 200, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0, "sliding_window": None,
}  # fmt: skip


def batch_of(rows: list[list[int]]) -> Batch:
    """Of lists of tokens: the second half of each has loss."""
    shape = (len(rows), max(map(len, rows)))
    ids = torch.zeros(shape, dtype=torch.int64)
    mask, loss = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = True
        loss[row, len(tokens) // 2 : len(tokens)] = True
    return Batch(ids, mask, loss, tuple(map(str, range(len(rows)))))


def alike(length: int) -> Batch:
    """Rows that begin alike in several ways: one inside another, two the same, one by itself."""
    torch.manual_seed(1)
    one, other = torch.randint(5, 200, (2, length)).tolist()
    return batch_of(
        [one, other[: length - 7], one[:5] + other[5:-2], one[: length // 2], other, other,
         [*one[: length - 4], 7, 8, 9]]
    )  # fmt: skip


def model_of(kind: str, dtype: torch.dtype = torch.float32, config: Any = None) -> Any:
    torch.manual_seed(0)
    known = {key: value for key, value in SMALL.items() if kind != "gpt_neox" or "key" not in key}
    base_config = AutoConfig.for_model(kind, **known)
    base = AutoModelForCausalLM.from_config(base_config, dtype=dtype, attn_implementation="sdpa")
    config = config or LoraConfig(target_modules="all-linear", init_lora_weights=False)
    config.task_type = "CAUSAL_LM"
    model = get_peft_model(base, config).train()
    for name, each in model.named_parameters():
        if "lora" in name:
            each.data = each.data.float()
    return model


def attached(model: Any) -> bool:
    """Whether it may be packed, with all attached that makes training fast."""
    ShortAttention(model)
    FusedNorms(model)
    return can_pack(model, FusedLora(model).layers)


def outcome(model: Any, batch: Batch, packs: bool) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    head = LossHead(model, packs=packs)
    loss = head.sum_loss(batch)
    loss.backward()
    head.detach()
    gradients = [each.grad.flatten() for each in model.parameters() if each.grad is not None]
    return loss.item(), torch.cat(gradients)


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).norm() / first.norm())


# --- how rows are packed -------------------------------------------------------------------------

ROWS = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=12), min_size=1, max_size=6)


@given(rows=ROWS)
def test_every_beginning_is_there_once_and_every_row_whole(rows: list[list[int]]) -> None:
    batch = batch_of(rows)
    packed = pack(batch)
    beginnings = {tuple(row[:end]) for row in rows for end in range(1, len(row) + 1)}
    assert packed.tokens == len(beginnings)
    length = packed.input_ids.shape[1]
    assert length % MULTIPLE == 0 <= length - packed.tokens < MULTIPLE
    places, mask = packed.where[batch.attention_mask], batch.attention_mask
    assert torch.equal(packed.input_ids[0, places], batch.input_ids[mask])
    assert torch.equal(packed.position_ids[0, places], mask.nonzero()[:, 1])
    assert sorted(set(places.tolist())) == list(range(packed.tokens))
    own = packed.own[: packed.tokens]
    assert torch.equal(packed.where.flatten()[own], torch.arange(packed.tokens))


@given(rows=ROWS)
def test_gradients_of_spreading_and_collecting(rows: list[list[int]]) -> None:
    """Against indexing, whose gradients are PyTorch's own; what is of pads comes to nothing."""
    batch = batch_of(rows)
    packed, mask = pack(batch), batch.attention_mask
    torch.manual_seed(0)
    sequence = torch.randn(1, 2, packed.input_ids.shape[1], 3).double().requires_grad_()
    whole = torch.randn(*mask.shape, 2, 3).double().transpose(1, 2).requires_grad_()
    weights = torch.randn(*mask.shape, 2, 3).double() * mask[..., None, None]
    spread = packed.spread(sequence)
    assert torch.equal(
        spread.transpose(1, 2)[mask], sequence[0].transpose(0, 1)[packed.where[mask]]
    )
    (found,) = torch.autograd.grad((spread.transpose(1, 2) * weights).sum(), sequence)
    indexed = sequence[0].transpose(0, 1)[packed.where]
    (expected,) = torch.autograd.grad((indexed * weights).sum(), sequence)
    assert torch.allclose(found, expected)
    collected = packed.collect(whole)
    own = whole.transpose(1, 2).flatten(0, 1)[packed.own]
    assert torch.equal(collected[0], own)
    weights = torch.randn(own.shape).double()
    weights[packed.tokens :] = 0
    (found,) = torch.autograd.grad((collected[0] * weights).sum(), whole)
    (expected,) = torch.autograd.grad((own * weights).sum(), whole)
    assert torch.allclose(found, expected)


# --- loss and gradients --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_the_loss_and_gradients_of_padded_rows(kind: str) -> None:
    model = model_of(kind)
    assert attached(model)
    for length in (20, 150):  # one that is short for attention, one that is not
        batch = alike(length)
        loss, gradients = outcome(model, batch, packs=False)
        packed_loss, packed_gradients = outcome(model, batch, packs=True)
        assert packed_loss == pytest.approx(loss, rel=1e-5)
        assert distance(gradients, packed_gradients) < 1e-5


def test_fewer_tokens_go_through_the_layers() -> None:
    model, batch = model_of("llama"), alike(20)
    seen: list[int] = []
    layer = model.get_base_model().model.layers[1].mlp
    layer.register_forward_hook(lambda module, given, result: seen.append(result[..., 0].numel()))
    assert attached(model)
    for packs in (False, True):
        outcome(model, batch, packs)
    assert seen == [7 * 20, 56], "20 + 20 + 13 + 3 beginnings are different"


def test_in_bfloat16_it_is_no_further_from_the_truth() -> None:
    batch = alike(40)
    exact = outcome(model_of("llama"), batch, packs=False)[1]
    model = model_of("llama", torch.bfloat16)
    assert attached(model)
    padded, packed = (outcome(model, batch, packs)[1] for packs in (False, True))
    assert distance(exact, packed) < 1.2 * distance(exact, padded)


def test_activations_that_are_computed_twice() -> None:
    model, batch = model_of("llama"), alike(20)
    assert attached(model)
    kept = outcome(model, batch, packs=True)
    checkpoint_activations(model)
    again = outcome(model, batch, packs=True)
    assert again[0] == kept[0]
    assert torch.equal(again[1], kept[1])


def test_predictions_are_in_the_order_of_the_rows() -> None:
    model, batch = model_of("llama").eval(), alike(20)
    assert attached(model)
    with torch.no_grad():
        (logits, targets), (packed, same) = (
            LossHead(model, packs=packs).predictions(batch) for packs in (False, True)
        )
    assert torch.equal(targets, same)
    assert torch.allclose(logits, packed, atol=1e-5)


# --- what is not packed --------------------------------------------------------------------------


def _window(model: Any) -> None:
    model.get_base_model().config.sliding_window = 8


def _attention_dropout(model: Any) -> None:
    model.get_base_model().model.layers[0].self_attn.attention_dropout = 0.1


def _eager(model: Any) -> None:
    model.get_base_model().set_attn_implementation("eager")


def _unknown(model: Any) -> None:
    model.get_base_model().config.model_type = "mamba"


def _code_of_its_own(model: Any) -> None:
    base = model.get_base_model()
    base.__class__ = type("LlamaForCausalLM", (type(base),), {"__module__": "modeling_llama"})


@pytest.mark.parametrize(
    "change", [_window, _attention_dropout, _eager, _unknown, _code_of_its_own]
)
def test_a_base_of_which_it_is_not_known_is_not_packed(change: Any) -> None:
    model = model_of("llama")
    change(model)
    assert not attached(model)


def test_layers_of_two_kinds_are_not_packed() -> None:
    model = model_of("qwen2")
    model.get_base_model().config.layer_types = ["full_attention", "sliding_attention"]
    assert not attached(model)


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(target_modules="all-linear", lora_dropout=0.1),
        LoraConfig(target_modules="all-linear", use_dora=True),
        IA3Config(),
        PrefixTuningConfig(num_virtual_tokens=3),
    ],
    ids=["dropout", "dora", "ia3", "prefix"],
)
def test_another_method_is_not_packed(config: Any) -> None:
    assert not attached(model_of("llama", config=config))


def test_a_run_packs(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And comes to the same weights as one that does not."""
    calls: list[int] = []
    monkeypatch.setattr(
        "adapter_hub.training.loss.pack", lambda batch: calls.append(1) or pack(batch)
    )
    workshop.run_training(shop)
    assert calls
    calls.clear()
    monkeypatch.setattr("adapter_hub.training.loop.can_pack", lambda *all: False)
    workshop.run_training(shop)
    assert not calls
    first, second = (workshop_weights(shop, version) for version in (1, 2))
    assert max(float((first[n] - second[n]).abs().max()) for n in first) < 1e-4


def workshop_weights(shop: Path, version: int) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(shop / f"adapters/sums/{version}/adapter_model.safetensors")
