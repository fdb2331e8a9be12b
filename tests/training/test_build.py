"""The configuration checked without weights, and the adapter on the base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import workshop
from peft import IA3Config, LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GPT2Config

from adapter_hub.errors import OptionError
from adapter_hub.loading.bases import load_config
from adapter_hub.plugins import Offer, load_catalog
from adapter_hub.training.build import attach, build_config, count_parameters, trainable_line

GPT2_LINE = "trainable params: 294,912 || all params: 124,734,720 || trainable%: 0.2364"


@pytest.fixture(scope="module")
def lora() -> Offer:
    return load_catalog().find("method", "lora")


def offer(factory: Any) -> Offer:
    return Offer("method", "mine", factory, "", "a_plugin", "a-plugin", "1")


def test_the_line_of_gpt2_is_pefts_own(lora: Offer, capsys: pytest.CaptureFixture[str]) -> None:
    config = GPT2Config()
    counted = count_parameters(lora, build_config(lora, {}), config)
    assert counted == (294_912, 124_734_720)
    assert trainable_line(*counted) == GPT2_LINE
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        plain = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", fan_in_fan_out=True))
    plain.print_trainable_parameters()
    assert capsys.readouterr().out.strip() == GPT2_LINE


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("options", [{}, {"r": 2, "target_modules": "all-linear"}])
def test_it_is_counted_as_it_will_be(
    bases: dict[str, Path], lora: Offer, name: str, options: dict[str, Any]
) -> None:
    config = load_config(bases[name])
    counted = count_parameters(lora, build_config(lora, options), config)
    model = AutoModelForCausalLM.from_pretrained(bases[name])
    attached = attach(lora, model, build_config(lora, options))
    assert counted == attached.get_nb_trainable_parameters()


def test_counting_leaves_the_configuration_alone(bases: dict[str, Path], lora: Offer) -> None:
    config = build_config(lora, {})
    count_parameters(lora, config, load_config(bases["gpt2"]))
    assert config == build_config(lora, {})
    assert config.target_modules is None


def test_a_configuration_is_for_causal_language_models() -> None:
    assert build_config(offer(IA3Config), {}).task_type == "CAUSAL_LM"


def test_a_factory_that_refuses_is_an_option_error() -> None:
    def picky(**options: Any) -> Any:
        raise ValueError("r must be\n   prime.")

    with pytest.raises(
        OptionError, match=r"^PEFT refuses these options of method 'mine': r must be prime\.$"
    ) as caught:
        build_config(offer(picky), {"r": 4})
    assert caught.value.hint == "adapter-hub methods mine"


def test_an_option_error_of_a_factory_stays_as_it_is() -> None:
    def picky(**options: Any) -> Any:
        raise OptionError("mine")

    with pytest.raises(OptionError, match=r"^mine$"):
        build_config(offer(picky), {})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"r": 0}, "`r` should be a positive integer"),
        ({"target_modules": ["nope"]}, "Target modules .*nope.* not found in the base model"),
        ({"target_modules": "all-nonsense"}, "not found in the base model"),
        ({"trainable_token_indices": [1, 999_999]}, r"holds 999999, and the base has \d+ tokens"),
        (
            {"trainable_token_indices": {"embed_tokens": [-999]}},
            "trainable_token_indices holds -999",
        ),
        ({"r": 10**23}, r"too (big|large)|Overflow|overflow|out of range|empty"),
        ({"layers_to_transform": 7}, "not found in the base model|no modules were targeted"),
    ],
)
def test_peft_refuses_before_anything_is_loaded(
    bases: dict[str, Path], lora: Offer, options: dict[str, Any], words: str
) -> None:
    config = load_config(bases["llama"])
    with pytest.raises(OptionError, match="PEFT refuses these options of method 'lora'") as told:
        count_parameters(lora, build_config(lora, options), config)
    assert "\n" not in str(told.value)
    with pytest.raises(OptionError, match=words):
        count_parameters(lora, build_config(lora, options), config)


@pytest.mark.parametrize("options", [{"r": 0}, {"target_modules": ["nope"]}])
def test_a_run_is_refused_without_its_weights(shop: Path, options: dict[str, Any]) -> None:
    """The weights are garbage: to load them would be another error."""
    path = shop / "bases/llama/model.safetensors"
    header = path.read_bytes()[:2000]
    with pytest.raises(OptionError, match="PEFT refuses these options"):
        workshop.run_training(shop, options=options)
    path.write_bytes(header)
    with pytest.raises(OptionError, match="PEFT refuses these options"):
        workshop.run_training(shop, options=options)
    assert not list((shop / "adapters").glob("sums/*"))


def test_a_method_that_trains_nothing_is_refused(bases: dict[str, Path]) -> None:
    def frozen() -> Any:
        return IA3Config(target_modules=["q_proj"], feedforward_modules=[], inference_mode=True)

    method = offer(frozen)
    with pytest.raises(OptionError, match="'mine' with these options trains no parameter"):
        count_parameters(method, build_config(method, {}), load_config(bases["llama"]))
    model = AutoModelForCausalLM.from_pretrained(bases["llama"])
    with pytest.raises(OptionError, match="'mine' with these options trains no parameter"):
        attach(method, model, build_config(method, {}))


def test_a_method_that_needs_the_weights_is_not_counted(
    bases: dict[str, Path], lora: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weighing(model: Any, config: Any) -> Any:
        return model.lm_head.weight.to("cpu")

    monkeypatch.setattr("peft.get_peft_model", weighing)
    assert count_parameters(lora, build_config(lora, {}), load_config(bases["llama"])) is None


def test_what_peft_refuses_on_the_real_base(bases: dict[str, Path], lora: Offer) -> None:
    model = AutoModelForCausalLM.from_pretrained(bases["llama"])
    with pytest.raises(OptionError, match="PEFT refuses these options of method 'lora'"):
        attach(lora, model, build_config(lora, {"target_modules": ["nope"]}))


def test_an_architecture_that_peft_has_not_heard_of(lora: Offer) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with pytest.raises(OptionError, match="specify `target_modules`") as told:
        attach(lora, model, build_config(lora, {}))
    assert told.value.hint == "for every linear layer: -o target_modules=all-linear"
