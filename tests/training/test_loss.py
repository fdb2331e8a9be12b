"""The summed loss over loss tokens alone, against the plain computation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM

from adapter_hub.training.batches import Batch
from adapter_hub.training.loss import LossHead, summed_cross_entropy

LENGTHS = (12, 5, 9, 2)


def model_of(folder: Path, config: Any = None) -> Any:
    """The model, with an adapter whose weights are not zero."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if config is None:
        config = LoraConfig(
            task_type="CAUSAL_LM",
            init_lora_weights=False,
            fan_in_fan_out=model.config.model_type == "gpt2",
        )
    return get_peft_model(model, config)


def batch_of(*lengths: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    shape = (len(lengths), max(lengths))
    ids = torch.randint(4, 290, shape, generator=generator)
    mask = torch.zeros(shape, dtype=torch.bool)
    for row, length in enumerate(lengths):
        mask[row, :length] = True
    loss = (torch.rand(shape, generator=generator) < 0.5) & mask
    loss[:, 0] = True  # never predicted, and never counted
    loss[:, 1] = True
    ids[~mask] = 1
    return Batch(ids, mask, loss, tuple(map(str, range(len(lengths)))))


def plainly(model: Any, batch: Batch, virtual: int = 0) -> torch.Tensor:
    """Full logits, every row alone and without padding, float32."""
    total = torch.zeros(())
    for row in range(len(batch.input_ids)):
        length = int(batch.attention_mask[row].sum())
        ids = batch.input_ids[row : row + 1, :length]
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, virtual:]
        wanted = batch.loss[row, 1:length]
        total = total + F.cross_entropy(
            logits[:-1][wanted].float(), ids[0, 1:][wanted], reduction="sum"
        )
    return total


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {
        name: each.grad.clone() for name, each in model.named_parameters() if each.requires_grad
    }


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_loss_and_gradients_are_the_plain_ones(bases: dict[str, Path], name: str) -> None:
    model, batch = model_of(bases[name]), batch_of(*LENGTHS)
    expected = plainly(model, batch)
    expected_gradients = gradients(model, expected)
    head = LossHead(model)
    loss = head.sum_loss(batch)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-4)
    found = gradients(model, loss)
    assert found.keys() == expected_gradients.keys()
    for each, gradient in found.items():
        assert torch.allclose(gradient, expected_gradients[each], atol=1e-4), each
        assert gradient.abs().max() > 0, each


@pytest.mark.parametrize("config", [PromptTuningConfig, PrefixTuningConfig])
def test_virtual_tokens_do_not_shift_the_positions(
    bases: dict[str, Path], config: type[Any]
) -> None:
    model = model_of(bases["llama"], config(task_type="CAUSAL_LM", num_virtual_tokens=4))
    batch = batch_of(*LENGTHS)
    in_front = 4 if config is PromptTuningConfig else 0
    expected = plainly(model, batch, in_front)
    loss = LossHead(model).sum_loss(batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-4)
    (gradient,) = gradients(model, loss).values()
    assert gradient.abs().max() > 0


@pytest.mark.filterwarnings("ignore:Model has .tie_word_embeddings=True.:UserWarning")
@pytest.mark.parametrize("saved", [["lm_head"], None])
def test_an_adapted_head_is_used(bases: dict[str, Path], saved: Any) -> None:
    targets = ["q_proj"] if saved else ["q_proj", "lm_head"]
    config = LoraConfig(
        task_type="CAUSAL_LM",
        target_modules=targets,
        modules_to_save=saved,
        init_lora_weights=False,
    )
    model = model_of(bases["llama"], config)
    batch = batch_of(*LENGTHS)
    expected = plainly(model, batch)
    assert LossHead(model).sum_loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_only_loss_tokens_are_projected(bases: dict[str, Path]) -> None:
    model, batch = model_of(bases["llama"]), batch_of(*LENGTHS)
    seen: list[torch.Size] = []
    model.get_output_embeddings().register_forward_hook(
        lambda module, given, result: seen.append(result.shape)
    )
    LossHead(model).sum_loss(batch)
    wanted = int((batch.loss & batch.attention_mask)[:, 1:].sum())
    assert [each.numel() for each in seen] == [wanted * model.config.vocab_size]


def test_detached_the_model_is_as_it_was(bases: dict[str, Path]) -> None:
    model, batch = model_of(bases["llama"]), batch_of(*LENGTHS)
    ids = batch.input_ids
    before = model(input_ids=ids).logits
    head = LossHead(model)
    assert torch.equal(model(input_ids=ids).logits, before), "beside sum_loss it does nothing"
    head.sum_loss(batch)
    head.detach()
    assert torch.equal(model(input_ids=ids).logits, before)
    assert not model.get_output_embeddings()._forward_pre_hooks


def test_a_forward_pass_that_breaks_leaves_nothing_behind(bases: dict[str, Path]) -> None:
    model, batch = model_of(bases["llama"]), batch_of(*LENGTHS)
    head = LossHead(model)
    too_large = Batch(batch.input_ids + 10_000, batch.attention_mask, batch.loss, batch.where)
    with pytest.raises(IndexError):
        head.sum_loss(too_large)
    assert model(input_ids=batch.input_ids).logits.shape == (*batch.input_ids.shape, 300)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cross_entropy_and_its_gradient(dtype: torch.dtype) -> None:
    """Also of tokens so unlikely that their probability is no float32 any more."""
    torch.manual_seed(0)
    logits = (torch.randn(7, 300) * 10).to(dtype)
    targets = torch.randint(0, 300, (7,))
    logits[0, targets[0]] = -400.0
    exact = logits.double().requires_grad_()
    (F.cross_entropy(exact, targets, reduction="sum") / 7).backward()
    assert exact.grad is not None
    given = logits.clone().requires_grad_()
    loss = summed_cross_entropy(given, targets)
    (loss / 7).backward()
    assert given.grad is not None
    assert loss.item() == pytest.approx(
        F.cross_entropy(exact, targets, reduction="sum").item(), rel=1e-5
    )
    assert given.grad.dtype == dtype
    rounding = 1e-5 if dtype == torch.float32 else 2**-7
    assert torch.allclose(given.grad.double(), exact.grad, rtol=rounding, atol=1e-6)


def test_logits_that_are_no_numbers_give_no_number() -> None:
    logits = torch.tensor([[1.0, float("nan")]], requires_grad=True)
    assert torch.isnan(summed_cross_entropy(logits, torch.tensor([0])))
