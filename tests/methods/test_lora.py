"""The built-in LoRA method against PEFT itself."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import peft
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import adapter_hub.methods
from adapter_hub.errors import OptionError
from adapter_hub.methods.lora import INTERNAL, TABLES, lora
from adapter_hub.options import Option, check_options, options_of

# PEFT asks for an attribute that transformers has renamed; that is theirs to settle.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is:FutureWarning")

OPTIONS = {option.name: option for option in options_of(lora)}
PEFT_OPTIONS = {option.name: option for option in options_of(peft.LoraConfig)}
PEFT_FIELDS = {field.name for field in dataclasses.fields(peft.LoraConfig) if field.init}


@pytest.mark.parametrize("share", [-1.0, 1.0, float("nan")])
def test_a_share_to_drop_is_a_share(share: float) -> None:
    with pytest.raises(OptionError, match="'lora_dropout' must be from 0 to below 1, not"):
        lora(lora_dropout=share)


TRAINABLE_TABLES: dict[str, dict[str, Any]] = {
    "kasa_config": {"beta": 1e-3},
    "monteclora_config": {"num_samples": 2, "buffer_size": 2},
    "use_bdlora": {
        "target_modules_bd_a": ["v_proj"],
        "target_modules_bd_b": ["q_proj"],
        "nblocks": 2,
    },
    "velora_config": {"num_groups": 8, "init_type": "random"},
}


def check(**values: Any) -> dict[str, Any]:
    return check_options(OPTIONS.values(), values, owner="method 'lora'")


def tiny_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        vocab_size=64,
    )
    return LlamaForCausalLM(shape)


def train_one_step(config: peft.LoraConfig) -> tuple[float, list[str]]:
    """The loss, and the names of the parameters that one optimizer step changed."""
    model = peft.get_peft_model(tiny_llama(), config).train()
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    before = {name: each.detach().clone() for name, each in trained.items()}
    input_ids = torch.arange(24).reshape(2, 12)
    loss = model(input_ids=input_ids, labels=input_ids).loss
    loss.backward()
    torch.optim.AdamW(trained.values(), lr=1e-2).step()
    changed = [name for name, each in trained.items() if not torch.equal(each, before[name])]
    return loss.item(), changed


def test_the_plugin_registers_lora() -> None:
    offers: dict[str, Any] = {}

    def register(name: str, factory: Any, **about: Any) -> None:
        offers[name] = (factory, about)

    adapter_hub.methods.register_methods(register)
    factory, about = offers.pop("lora")
    assert not offers
    assert factory == "adapter_hub.methods.lora:lora"
    assert about["peft_type"] == "LORA"
    assert about["summary"]


def test_no_field_of_peft_is_forgotten() -> None:
    forgotten = PEFT_FIELDS - OPTIONS.keys() - INTERNAL.keys()
    assert not forgotten, "offer these in lora(), or say in INTERNAL why not"


def test_no_option_has_gone_from_peft() -> None:
    assert OPTIONS.keys() <= PEFT_FIELDS
    assert INTERNAL.keys() <= PEFT_FIELDS
    assert TABLES.keys() <= OPTIONS.keys()


def test_a_field_is_either_offered_or_internal() -> None:
    assert not OPTIONS.keys() & INTERNAL.keys()
    assert all(INTERNAL.values())


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS.keys())
def test_a_default_is_pefts(option: Option) -> None:
    theirs = PEFT_OPTIONS[option.name].default
    if theirs == {}:  # a signature has no fresh dict: None leaves it to PEFT
        assert option.default is None
    else:
        assert option.default == theirs
        assert type(option.default) is type(theirs)


def test_without_options_it_is_pefts_default_for_causal_lm() -> None:
    assert lora() == peft.LoraConfig(task_type="CAUSAL_LM")


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_has_a_help_text(name: str) -> None:
    assert len(OPTIONS[name].help) > 20
    assert not OPTIONS[name].required


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("r", 16),
        ("lora_alpha", 32),
        ("lora_dropout", 0.1),
        ("target_modules", ["q_proj", "v_proj"]),
        ("target_modules", "all-linear"),
        ("exclude_modules", ["q_proj"]),
        ("target_parameters", ["k_proj.weight"]),
        ("rank_pattern", {"q_proj": 4}),
        ("alpha_pattern", {"q_proj": 4}),
        ("use_rslora", True),
        ("use_dora", True),
        ("init_lora_weights", False),
        ("init_lora_weights", "gaussian"),
        ("init_lora_weights", "orthogonal"),
        ("init_lora_weights", "mica"),
        ("bias", "lora_only"),
        ("modules_to_save", ["lm_head"]),
        ("trainable_token_indices", [1, 2]),
        ("trainable_token_indices", {"embed_tokens": [1, 2]}),
        ("layer_replication", [[0, 2], [1, 2]]),
        ("alora_invocation_tokens", [3, 4]),
    ],
)
def test_an_option_reaches_peft_and_trains(name: str, value: Any) -> None:
    config = lora(**check(**{name: value}))
    reached = getattr(config, name)
    assert (sorted(reached) if isinstance(reached, set) else reached) == value
    loss, changed = train_one_step(config)
    assert 0 < loss < 10
    assert changed


def test_some_blocks_only() -> None:
    options = check(target_modules=["q_proj"], layers_to_transform=1, layers_pattern="layers")
    _, changed = train_one_step(lora(**options))
    assert changed
    assert all("layers.1." in name for name in changed)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_becomes_pefts_class_and_trains(name: str) -> None:
    table = TRAINABLE_TABLES[name]
    config = lora(r=4, **check(**{name: table}))
    nested = getattr(config, name)
    assert type(nested) is getattr(peft, TABLES[name])
    assert {key: getattr(nested, key) for key in table} == table
    loss, changed = train_one_step(config)
    assert 0 < loss < 10
    assert changed


@pytest.mark.parametrize("name", TABLES)
def test_the_help_of_a_table_names_every_key(name: str) -> None:
    keys = {option.name for option in options_of(getattr(peft, TABLES[name]))}
    assert {key for key in keys if key not in OPTIONS[name].help} == set()


def test_a_misspelt_key_of_a_table_is_an_error() -> None:
    with pytest.raises(OptionError, match=r"'velora_config' has no option 'num_group' \(did you"):
        lora(velora_config={"num_group": 8})


def test_a_wrong_value_in_a_table_is_an_error() -> None:
    with pytest.raises(OptionError, match=r"'num_groups' takes integer, not 'many' \(a string\)"):
        lora(velora_config={"num_groups": "many"})


def test_a_misspelt_option_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(OptionError, match=r"no option 'lora_alfa' \(did you mean 'lora_alpha'\?\)"):
        check(lora_alfa=16)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("r", "8", r"option 'r' takes integer, not '8' \(a string\)"),
        ("r", 8.0, r"option 'r' takes integer, not 8\.0 \(a float\)"),
        ("use_dora", 1, r"option 'use_dora' takes boolean, not 1 \(an integer\)"),
        ("target_modules", 3, r"takes array of string \| string, not 3"),
        ("layer_replication", [[0, 1, 2]], "takes array of array of integer"),
        ("bias", "some", r'takes "none" \| "all" \| "lora_only", not \'some\''),
    ],
)
def test_a_wrong_type_is_an_error(name: str, value: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check(**{name: value})


def test_a_start_that_quantises_the_base_is_not_offered() -> None:
    with pytest.raises(OptionError, match=r'"gaussian" \| "orthogonal" \| "mica"'):
        check(init_lora_weights="loftq")
    assert "loftq" in OPTIONS["init_lora_weights"].help


@pytest.mark.parametrize("start", [True, False, "gaussian", "orthogonal", "mica"])
def test_every_start_leaves_the_base_untouched(start: bool | str) -> None:
    base = tiny_llama()
    model = peft.get_peft_model(tiny_llama(), lora(**check(init_lora_weights=start)))
    kept = model.unload().state_dict()
    assert all(torch.equal(weight, kept[name]) for name, weight in base.state_dict().items())


def test_the_signature_is_read_without_torch_or_peft() -> None:
    script = (
        "import sys, adapter_hub.methods\n"
        "from adapter_hub.methods.lora import lora\n"
        "from adapter_hub.options import check_options, options_of\n"
        "check_options(options_of(lora), {'r': 4}, owner='lora')\n"
        "print(sorted({'torch', 'peft', 'transformers', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
