"""A base that is had back from under whatever adapter was built into it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from adapter_hub.loading.bases import load_model
from adapter_hub.loading.pristine import Pristine

IDS = torch.tensor([[5, 9, 40, 41, 7, 30, 12]])
CONFIGS: dict[str, Any] = {
    "lora": lambda: peft.LoraConfig(target_modules="all-linear", init_lora_weights=False),
    "dora": lambda: peft.LoraConfig(use_dora=True, init_lora_weights=False),
    "head": lambda: peft.LoraConfig(modules_to_save=["lm_head"], init_lora_weights=False),
    "tokens": lambda: peft.LoraConfig(trainable_token_indices=[1, 2], bias="all"),
    "ia3": lambda: peft.IA3Config(init_ia3_weights=False),
    "prompt_tuning": lambda: peft.PromptTuningConfig(num_virtual_tokens=4),
    "prefix_tuning": lambda: peft.PrefixTuningConfig(num_virtual_tokens=4),
    "adaption_prompt": lambda: peft.AdaptionPromptConfig(adapter_len=4, adapter_layers=2),
    "ln_tuning": lambda: peft.LNTuningConfig(),
    "vera": lambda: peft.VeraConfig(),
    "shadow": lambda: peft.ShadowConfig(),
}


@pytest.fixture
def model(bases: dict[str, Path]) -> Any:
    return load_model(bases["llama"], torch.float32)


def structure(model: Any) -> list[Any]:
    """What a model consists of: modules, weights, flags, hooks, settings."""
    return [
        [(name, type(each), sorted(vars(each)), each.training) for name, each in model.named_modules()],
        [(name, id(each), each.requires_grad) for name, each in model.named_parameters()],
        [len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules()],
        model.config.to_dict(),
        model.generation_config.to_dict(),
    ]  # fmt: skip


def step(model: Any) -> None:
    """One of training, with everything that can be trained."""
    model.train()
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    model(input_ids=IDS, labels=IDS).loss.backward()
    optimizer.step()


@pytest.mark.parametrize("name", CONFIGS)
def test_nothing_of_an_adapter_stays(name: str, model: Any) -> None:
    with torch.no_grad():
        before = model(input_ids=IDS).logits
    was = structure(model)
    pristine = Pristine(model)
    for _ in range(2):
        config = CONFIGS[name]()
        config.task_type = "CAUSAL_LM"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adapted = peft.get_peft_model(model, config)
        step(adapted)
        model.config.use_cache, model.marked = False, True
        adapted.base_model.register_forward_hook(lambda *_: None)
        assert structure(model) != was
        assert pristine.restore()
        assert structure(model) == was
        assert all(each.grad is None for each in model.parameters())
    with torch.no_grad():
        assert torch.equal(model(input_ids=IDS).logits, before)


def test_an_altered_base_is_told(model: Any) -> None:
    """PiSSA takes out of the weights what it puts into the adapter."""
    pristine = Pristine(model)
    peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights="pissa"))
    assert not pristine.is_unchanged()
    assert not pristine.restore()


@pytest.mark.parametrize("place", [0, 3, 31])
def test_one_number_is_enough(model: Any, place: int) -> None:
    pristine = Pristine(model)
    weight = model.get_parameter("model.norm.weight")
    weight.data[place] += 2**-20
    assert not pristine.is_unchanged()
    weight.data[place] -= 2**-20
    assert pristine.is_unchanged()


def test_weights_of_any_type_and_place() -> None:
    whole = torch.arange(40, dtype=torch.bfloat16)
    module = torch.nn.Module()
    module.register_buffer("part", whole[1:8])  # neither begins nor ends at a word
    module.register_buffer("empty", torch.zeros(0, dtype=torch.int8))
    pristine = Pristine(module)
    assert pristine.restore()
    whole[7] = 99
    assert not pristine.is_unchanged()
    whole[7] = 7
    assert pristine.is_unchanged()


def test_containers_stay_the_same_objects(model: Any) -> None:
    """Who holds one, such as the handle of a hook, holds that of the model still."""
    handle = model.register_forward_hook(lambda *_: None)
    pristine = Pristine(model)
    hooks = model._forward_hooks
    model._forward_hooks = type(hooks)()
    assert pristine.restore()
    assert model._forward_hooks is hooks
    handle.remove()
    assert not model._forward_hooks
