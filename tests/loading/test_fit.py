"""Adapters that PEFT made fit, mutilated ones do not, and PEFT agrees; all from headers alone."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import workshop
from peft.tuners.lora.config import BdLoraConfig, KasaConfig, MontecloraConfig, VeloraConfig
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from adapter_hub.loading.findings import Fit
from adapter_hub.loading.fit import compare
from adapter_hub.loading.heads import (
    AdapterHead,
    BaseHead,
    adapter_head,
    base_head,
    tokens_of,
)
from adapter_hub.loading.identity import read_json

Tensors = dict[str, torch.Tensor]
PREFIX = "base_model.model."
PLAIN = {"llama": ["q_proj", "v_proj"], "gpt2": ["c_attn", "c_proj"]}
EMBEDDING = {"llama": "embed_tokens", "gpt2": "wte"}


@pytest.fixture(scope="module")
def models(bases: dict[str, Path]) -> dict[str, Any]:
    return {name: AutoModelForCausalLM.from_pretrained(bases[name]) for name in ("llama", "gpt2")}


@pytest.fixture
def save(models: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    """Have PEFT put an adapter on a base and save it."""

    def made(base: str, config: Any = None, **how: Any) -> Path:
        how.setdefault("target_modules", PLAIN[base])
        config = config or peft.LoraConfig(task_type="CAUSAL_LM", **{"r": 4, **how})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = peft.get_peft_model(copy.deepcopy(models[base]), config)
            model.save_pretrained(tmp_path / "made")
        return tmp_path / "made"

    return made


def fit(folder: Path, base: Path) -> Fit:
    return compare(adapter_head(folder), base_head(base))


def peft_takes(folder: Path, base: Any) -> bool:
    """Whether PEFT loads it, every weight in its place and none made up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = peft.PeftModel.from_pretrained(copy.deepcopy(base), str(folder))
        except Exception:
            return False
        used = set(peft.get_peft_model_state_dict(model, save_embedding_layers=False))
    saved = set(load_file(folder / "adapter_model.safetensors"))
    return {name for name in saved if not name.endswith(".base_layer.weight")} == used


# --- what PEFT makes fits ------------------------------------------------------------------------

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all-linear": {"target_modules": "all-linear"},
    "dora": {"use_dora": True, "target_modules": "all-linear"},
    "rslora": {"use_rslora": True},
    "every bias": {"bias": "all"},
    "biases of targets": {"bias": "lora_only"},
    "a bias of its own": {"lora_bias": True},
    "embedding": {"target_modules": ["embed_tokens", "wte", "wpe", "q_proj", "c_attn"]},
    "embedding with dora": {"use_dora": True, "target_modules": ["embed_tokens", "wte"]},
    "head": {"target_modules": ["lm_head", "q_proj", "c_attn"]},
    "tied": {"ensure_weight_tying": True, "target_modules": ["lm_head", "embed_tokens", "wte"]},
    "head saved whole": {"modules_to_save": ["lm_head"]},
    "embedding saved whole": {"modules_to_save": ["embed_tokens", "wte", "lm_head"]},
    "norms saved whole": {"modules_to_save": ["norm", "input_layernorm", "ln_f", "ln_1"]},
    "blocks saved whole": {"modules_to_save": ["mlp"]},
    "token rows": {"trainable_token_indices": [1, 2, 5]},
    "one layer": {"layers_to_transform": [1]},
    "pattern": {"target_modules": r".*\.(q_proj|c_attn|v_proj)$"},
    "exclusion": {"target_modules": "all-linear", "exclude_modules": ["down_proj", "c_proj"]},
    "ranks": {"rank_pattern": {"q_proj": 2, "layers.1.self_attn.v_proj": 8, "h.1.*c_attn": 3}},
    "pissa": {"init_lora_weights": "pissa"},
    "olora": {"init_lora_weights": "olora"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "mica": {"init_lora_weights": "mica"},
    "alora": {"alora_invocation_tokens": [3]},
    "qalora": {"use_qalora": True, "qalora_group_size": 8},
    "velora": {"velora_config": VeloraConfig()},
    "kasa": {"kasa_config": KasaConfig()},
    "monteclora": {"monteclora_config": MontecloraConfig()},
    "bdlora": {
        "use_bdlora": BdLoraConfig(
            nblocks=2,
            target_modules_bd_a=["q_proj", "c_attn"],
            target_modules_bd_b=["v_proj", "c_proj"],
        )
    },
}
CANNOT = {
    ("gpt2", "kasa"),  # these PEFT refuses
    ("gpt2", "bdlora"),
    ("gpt2", "olora"),  # PEFT makes matrices that its own forward pass cannot multiply
}
CASES = [(base, variant) for base in PLAIN for variant in VARIANTS if (base, variant) not in CANNOT]


@pytest.mark.parametrize(("base", "variant"), CASES)
def test_every_variant_that_peft_makes_fits(
    bases: dict[str, Path], save: Callable[..., Path], base: str, variant: str
) -> None:
    folder = save(base, **VARIANTS[variant])
    assert fit(folder, bases[base]).misfits == ()
    other = {"llama": "gpt2", "gpt2": "llama"}[base]
    assert fit(folder, bases[other]).misfits


def test_what_is_known_of_plain_lora_is_all_of_it(
    bases: dict[str, Path], save: Callable[..., Path]
) -> None:
    assert fit(save("llama"), bases["llama"]).unchecked == ()
    assert "use_qalora" in fit(save("llama", use_qalora=True), bases["llama"]).unchecked[0]


# --- what was mutilated does not -----------------------------------------------------------------


def rename(old: str, new: str) -> Callable[[Any, Tensors], None]:
    def change(_config: Any, tensors: Tensors) -> None:
        for name in [name for name in tensors if old in name]:
            tensors[name.replace(old, new)] = tensors.pop(name)

    return change


def resize(word: str, *shape: int) -> Callable[[Any, Tensors], None]:
    def change(_config: Any, tensors: Tensors) -> None:
        for name in tensors:
            if word in name:
                tensors[name] = torch.zeros(shape)

    return change


def drop(word: str) -> Callable[[Any, Tensors], None]:
    def change(_config: Any, tensors: Tensors) -> None:
        for name in [name for name in tensors if word in name]:
            del tensors[name]

    return change


def configure(**values: Any) -> Callable[[Any, Tensors], None]:
    def change(config: Any, _tensors: Tensors) -> None:
        config.update(values)

    return change


def add(name: str, *shape: int) -> Callable[[Any, Tensors], None]:
    def change(_config: Any, tensors: Tensors) -> None:
        tensors[PREFIX + name] = torch.zeros(shape)

    return change


MUTILATED: list[tuple[dict[str, Any], Any, str]] = [
    (
        {},
        rename("layers.1.", "layers.7."),
        "such as model.layers.7.self_attn.q_proj, in layers that the base does not have (it has 2)",
    ),
    (
        {},
        rename("q_proj", "query"),
        "it has weights for 2 modules, such as model.layers.0.self_attn.query, which the base does not have",
    ),
    (
        {},
        rename("q_proj", "k_proj"),
        "it has weights for 2 modules, such as model.layers.0.self_attn.k_proj, which its target_modules do not mean",
    ),
    (
        {},
        drop("layers.1.self_attn.q_proj"),
        "it has no weights for model.layers.1.self_attn.q_proj, which its target_modules mean",
    ),
    ({}, drop("q_proj.lora_B"), "it lacks lora_B.weight for 2 modules"),
    (
        {},
        resize("q_proj.lora_A", 4, 48),
        "it has 48 inputs and the base 32, for 2 modules, such as model.layers.0.self_attn.q_proj",
    ),
    (
        {},
        resize("v_proj.lora_B", 32, 4),
        "it has 32 outputs and the base 16, for 2 modules, such as model.layers.0.self_attn.v_proj",
    ),
    (
        {},
        configure(r=16),
        "its configuration says rank 16 and its weights have rank 4, for 4 modules",
    ),
    (
        {"rank_pattern": {"q_proj": 2}},
        configure(rank_pattern={}),
        "its configuration says rank 4 and its weights have rank 2, for 2 modules, such as model",
    ),
    ({}, configure(target_modules=["c_attn", "c_fc"]), "the base has none of its target_modules"),
    (
        {},
        configure(target_modules=r"h\.\d+\.attn"),
        r"the base has none of its target_modules: h\.\d",
    ),
    ({}, configure(target_modules="(("), "cannot be used: '((' is not a pattern"),
    (
        {},
        configure(target_modules="all-linear"),
        "it has no weights for 10 modules, such as model.layers.0.mlp.down_proj",
    ),
    ({}, configure(use_dora=True), "it lacks lora_magnitude_vector for 4 modules"),
    ({"use_dora": True}, configure(use_dora=False), "it has lora_magnitude_vector for 4 modules"),
    (
        {"use_dora": True},
        resize("q_proj.lora_magnitude_vector", 31),
        "lora_magnitude_vector is [31] and ought to be [32], for 2 modules",
    ),
    ({"lora_bias": True}, configure(lora_bias=False), "it has lora_B.bias for 4 modules"),
    ({}, rename(PREFIX, ""), "it has a weight that PEFT does not name so: 8 modules"),
    (
        {"target_modules": ["embed_tokens"]},
        resize("lora_embedding_A", 4, 400),
        "it has 400 vocabulary rows and the base 3",
    ),
    (
        {"modules_to_save": ["lm_head"]},
        drop("lm_head"),
        "it has no weights for lm_head, which its modules_to_save mean",
    ),
    (
        {"modules_to_save": ["norm"]},
        resize("model.norm", 16),
        "its own weight is [16] and the base's [32], of model.norm",
    ),
    (
        {"modules_to_save": ["lm_head"]},
        resize("lm_head", 999, 32),
        "it has 999 vocabulary rows and the base has 3",
    ),
    (
        {"trainable_token_indices": [1, 5]},
        configure(trainable_token_indices=[1, 5, 7]),
        "its token rows are [2, 32] and not [3, 32], in model.embed_tokens",
    ),
    ({}, configure(layers_to_transform=[0]), "which its target_modules do not mean"),
    ({}, configure(exclude_modules=["q_proj"]), "which its target_modules do not mean"),
]


@pytest.mark.parametrize(
    ("made", "change", "words"), MUTILATED, ids=[each[2] for each in MUTILATED]
)
def test_what_was_mutilated_does_not_fit_and_peft_agrees(
    bases: dict[str, Path],
    models: dict[str, Any],
    save: Callable[..., Path],
    made: dict[str, Any],
    change: Any,
    words: str,
) -> None:
    folder = save("llama", **made)
    assert peft_takes(folder, models["llama"])
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    change(config, tensors)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    misfits = fit(folder, bases["llama"]).misfits
    assert any(words in each for each in misfits), misfits
    assert not peft_takes(folder, models["llama"])


def test_conv1d_has_its_weights_the_other_way_round(
    bases: dict[str, Path], models: dict[str, Any], save: Callable[..., Path]
) -> None:
    folder = save("gpt2", target_modules=["c_attn"])
    tensors = load_file(folder / "adapter_model.safetensors")
    for name in tensors:
        tensors[name] = torch.zeros((4, 96) if "lora_A" in name else (32, 4))
    save_file(tensors, folder / "adapter_model.safetensors")
    assert fit(folder, bases["gpt2"]).misfits == (
        "it has 96 inputs and the base 32, for 2 modules, such as transformer.h.0.attn.c_attn",
        "it has 32 outputs and the base 96, for 2 modules, such as transformer.h.0.attn.c_attn",
    )
    assert not peft_takes(folder, models["gpt2"])


def test_a_base_of_fewer_layers(bases: dict[str, Path], save: Callable[..., Path]) -> None:
    (found,) = fit(save("llama"), bases["short"]).misfits
    assert found == (
        "it has weights for 2 modules, such as model.layers.1.self_attn.q_proj, "
        "in layers that the base does not have (it has 1)"
    )


def test_a_token_beyond_the_vocabulary(bases: dict[str, Path], save: Callable[..., Path]) -> None:
    folder = save("llama", trainable_token_indices=[1, 5])
    workshop.edit_json(folder / "adapter_config.json", trainable_token_indices=[1, 9999])
    (found,) = fit(folder, bases["llama"]).misfits
    assert found.startswith("it trains token 9999, and the base has ")


@pytest.mark.parametrize(
    "values",
    [
        {"target_modules": 3},
        {"target_modules": [3]},
        {"modules_to_save": "lm_head"},
        {"modules_to_save": ["(("]},
        {"rank_pattern": [1]},
        {"rank_pattern": {"((": 1}},
        {"r": "eight"},
        {"layers_to_transform": ["a"]},
        {"layers_pattern": [3], "layers_to_transform": [1]},
        {"trainable_token_indices": "all"},
        {"trainable_token_indices": {"embed_tokens": 3}},
        {"target_parameters": [3]},
        {"peft_type": ["LORA"]},
        {"task_type": {}},
    ],
    ids=str,
)
def test_nonsense_is_no_crash(
    bases: dict[str, Path], save: Callable[..., Path], values: dict[str, Any]
) -> None:
    folder = save("llama")
    workshop.edit_json(folder / "adapter_config.json", **values)
    found = fit(folder, bases["llama"])
    assert found.misfits or found.unchecked


def test_names_cannot_command_a_terminal(bases: dict[str, Path], save: Callable[..., Path]) -> None:
    folder = save("llama")
    head = adapter_head(folder)
    head.tensors[f"{PREFIX}model.\x1b[2J.lora_A.weight"] = (4, 32)
    found = compare(head, base_head(bases["llama"])).misfits
    assert "\x1b" not in "".join(found)


# --- rows for new tokens -------------------------------------------------------------------------


@pytest.fixture
def grown(bases: dict[str, Path], tmp_path: Path) -> Path:
    """An adapter with three tokens more than its base, rows and tokenizer and all."""
    from transformers import AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(bases["llama"])
    tokenizer = AutoTokenizer.from_pretrained(bases["llama"])
    tokenizer.add_tokens(["<a>", "<b>", "<c>"])
    model.resize_token_embeddings(len(tokenizer))
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"])
    peft.get_peft_model(model, config).save_pretrained(
        tmp_path / "grown", save_embedding_layers=True
    )
    tokenizer.save_pretrained(tmp_path / "grown")
    return tmp_path / "grown"


def test_new_tokens_fit_with_their_tokenizer(bases: dict[str, Path], grown: Path) -> None:
    rows = base_head(bases["llama"]).tensors["model.embed_tokens.weight"][0]
    assert adapter_head(grown).count_tokens() == rows + 3
    assert fit(grown, bases["llama"]) == Fit()
    (grown / "tokenizer_config.json").unlink()
    (found,) = fit(grown, bases["llama"]).misfits
    assert found == (
        f"it has {rows + 3} vocabulary rows and the base has {rows}, "
        "and it brings no tokenizer with so many tokens, in 2 modules, such as lm_head"
    )


def test_a_tokenizer_that_cannot_be_counted(bases: dict[str, Path], grown: Path) -> None:
    (grown / "tokenizer.json").unlink()
    found = fit(grown, bases["llama"])
    assert found.misfits == ()
    assert found.unchecked == ("vocabulary rows: its tokenizer has no tokenizer.json",)


def test_new_tokens_without_rows(bases: dict[str, Path], grown: Path) -> None:
    path = grown / "adapter_model.safetensors"
    tensors = {name: each for name, each in load_file(path).items() if "lora" in name}
    save_file(tensors, path)
    found = fit(grown, bases["llama"])
    assert found.misfits == ()
    assert "the 3 tokens that its tokenizer adds" in found.unchecked[0]


# --- bases of other kinds ------------------------------------------------------------------------


def test_files_of_a_model_without_its_head(
    bases: dict[str, Path], save: Callable[..., Path]
) -> None:
    head = base_head(bases["gpt2"])
    bare = {name.removeprefix("transformer."): shape for name, shape in head.tensors.items()}
    assert compare(adapter_head(save("gpt2")), BaseHead(head.config, bare)) == Fit()


def test_shards_count_together(
    bases: dict[str, Path], models: dict[str, Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    models["llama"].save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    assert base_head(tmp_path / "shards").tensors == base_head(bases["llama"]).tensors
    assert fit(save("llama"), tmp_path / "shards") == Fit()


def test_of_a_quantised_base_only_names_are_compared(
    bases: dict[str, Path], save: Callable[..., Path]
) -> None:
    head = base_head(bases["llama"])
    packed = {
        name: (shape[0] * shape[-1] // 2, 1) if "proj" in name else shape
        for name, shape in head.tensors.items()
    }
    base = BaseHead({**head.config, "quantization_config": {"bits": 4}}, packed)
    adapter = adapter_head(save("llama"))
    assert compare(adapter, base) == Fit((), ("shapes: the base is quantised",))
    adapter.tensors[f"{PREFIX}model.layers.4.self_attn.q_proj.lora_A.weight"] = (4, 32)
    assert len(compare(adapter, base).misfits) == 1


def test_of_unknown_architectures_a_missing_name_proves_nothing(
    bases: dict[str, Path], save: Callable[..., Path]
) -> None:
    head = base_head(bases["llama"])
    renamed = {name.replace("q_proj", "wq"): shape for name, shape in head.tensors.items()}
    base = BaseHead({**head.config, "model_type": "novel"}, renamed)
    adapter = adapter_head(save("llama"))
    found = compare(adapter, base)
    assert found.misfits == ()
    assert "not named in the base's files" in found.unchecked[0]
    adapter.tensors[f"{PREFIX}model.layers.9.self_attn.q_proj.lora_A.weight"] = (4, 32)
    assert "in layers that the base does not have" in compare(adapter, base).misfits[0]


# --- other methods -------------------------------------------------------------------------------


def test_other_methods_by_their_names(bases: dict[str, Path], save: Callable[..., Path]) -> None:
    config = peft.LoHaConfig(task_type="CAUSAL_LM", target_modules=["q_proj"])
    folder = save("llama", config)
    assert fit(folder, bases["llama"]) == Fit((), ("the shapes of LOHA's weights",))
    assert "in layers that the base does not have" in fit(folder, bases["short"]).misfits[0]
    assert fit(folder, bases["gpt2"]).misfits


def test_a_prompt_has_the_width_of_the_base(
    bases: dict[str, Path], save: Callable[..., Path]
) -> None:
    folder = save("llama", peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    assert fit(folder, bases["llama"]) == Fit()
    path = folder / "adapter_model.safetensors"
    save_file({"prompt_embeddings": torch.zeros(4, 48)}, path)
    assert fit(folder, bases["llama"]).misfits == (
        "its prompt is 48 wide, and the base's embedding 32",
    )


@pytest.mark.parametrize("values", [{"peft_type": "NEW"}, {"task_type": "SEQ_CLS"}], ids=str)
def test_what_is_not_known_is_not_refused(
    bases: dict[str, Path], save: Callable[..., Path], values: dict[str, Any]
) -> None:
    head = adapter_head(save("llama"))
    adapter = AdapterHead({**head.config, **values}, head.tensors)
    found = compare(adapter, base_head(bases["gpt2"]))
    assert found.misfits == ()
    assert found.unchecked[0].startswith("everything")


@pytest.mark.slow
@pytest.mark.parametrize("base", ["llama", "gpt2"])
def test_every_method_of_peft_fits_where_it_was_made(
    bases: dict[str, Path], models: dict[str, Any], tmp_path: Path, base: str
) -> None:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as METHODS

    more: dict[str, dict[str, Any]] = {
        "ADALORA": {"total_step": 10},
        "ADAPTION_PROMPT": {"adapter_len": 4, "adapter_layers": 1},
        "C3A": {"block_size": 8},
        "VBLORA": {"vector_length": 8},
        "TRAINABLE_TOKENS": {"token_indices": [1], "target_modules": [EMBEDDING[base]]},
    }
    made = 0
    for kind, factory in METHODS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fields = getattr(factory, "__dataclass_fields__", {})
                how = {"num_virtual_tokens": 4} if "num_virtual_tokens" in fields else {}
                config = factory(task_type="CAUSAL_LM", **how, **more.get(str(kind.value), {}))
                model = peft.get_peft_model(copy.deepcopy(models[base]), config)
                model.save_pretrained(tmp_path / kind.value)
        except Exception:
            continue  # not every method is for every base
        made += 1
        assert fit(tmp_path / kind.value, bases[base]).misfits == (), kind
    assert made >= (36 if base == "llama" else 20)


@pytest.mark.slow
def test_model_types_whose_files_name_modules_as_transformers_does() -> None:
    import transformers
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    from adapter_hub.loading.modules import NAMED_ALIKE, Modules

    for kind, first in NAMED_ALIKE.items():
        factory = getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind])
        assert factory.base_model_prefix == first, kind
        for word in (kind, factory.__name__):
            assert not get_checkpoint_conversion_mapping(word), kind
        with torch.device("meta"):
            config = factory.config_class()
            for key in ("head_dim", "num_key_value_heads"):
                if getattr(config, key, 0) is None:
                    setattr(config, key, 4)
            model = AutoModelForCausalLM.from_config(config)
        shapes = {name: tuple(each.shape) for name, each in model.state_dict().items()}
        modules = Modules(BaseHead({**config.to_dict(), "model_type": kind}, shapes))
        names = {id(each): name for name, each in model.named_modules()}
        assert modules.embedding == names[id(model.get_input_embeddings())], kind
        assert modules.head == names[id(model.get_output_embeddings())], kind
        found = peft.LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM")
        peft.tuners.tuners_utils._maybe_include_all_linear_layers(found, model)
        assert set(modules.linear()) == set(found.target_modules or ()), kind
        for name in modules.linear():
            layer = model.get_submodule(name)
            conv = type(layer).__name__ == "Conv1D"
            shape = tuple(layer.weight.shape)
            assert modules.features(name) == (shape if conv else shape[::-1]), (kind, name)


def test_a_damaged_header() -> None:
    from adapter_hub.errors import BaseModelError
    from adapter_hub.loading.heads import tensor_shapes

    for entry in ({}, {"shape": "x"}, {"shape": [1, "x"]}, 3):
        with pytest.raises(BaseModelError, match="gives no shape for 'a'"):
            tensor_shapes({"a": entry}, "it")


def test_the_tokens_of_a_real_tokenizer(bases: dict[str, Path]) -> None:
    from transformers import AutoTokenizer

    from adapter_hub.loading.heads import count_tokens

    for name in ("llama", "chatty"):
        assert count_tokens(bases[name]) == len(AutoTokenizer.from_pretrained(bases[name]))
    assert read_json(bases["llama"] / "tokenizer.json")


@pytest.mark.parametrize(
    "config",
    [
        {"layers_pattern": 7},
        {"layers_pattern": [7]},
        {"layers_to_transform": "0"},
        {"modules_to_save": ["(?i)x"]},
        {"target_modules": "a{99999999999}"},
        {"target_modules": "(" * 2000 + ")" * 2000},
    ],
)
def test_a_configuration_that_makes_no_sense_is_a_misfit(
    bases: dict[str, Path], config: dict[str, Any]
) -> None:
    weight = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    config = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"], **config}
    found = compare(AdapterHead(config, {weight: (4, 16)}), base_head(bases["llama"]))
    assert "its adapter_config.json cannot be used" in found.misfits[0]


@pytest.mark.parametrize(
    ("tokenizer", "count"),
    [
        ({"model": {"vocab": True}, "added_tokens": 3}, 0),
        ({"model": {"vocab": ["a", ["b", 1], []]}, "added_tokens": [None, {"content": "c"}]}, 4),
        ({"model": 0.5}, 0),
    ],
)
def test_a_tokenizer_that_makes_no_sense_has_what_it_has(
    tokenizer: dict[str, Any], count: int
) -> None:
    assert tokens_of(tokenizer, {}) == count
