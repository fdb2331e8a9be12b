"""compare_weights on what PEFT saves: its own deltas, other methods, modules of one side only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from adapter_hub.errors import BaseModelError
from adapter_hub.loading.compared import AdapterWeights, compare_weights
from adapter_hub.loading.folders import CONFIG, WEIGHTS
from adapter_hub.loading.weights import Weights

# PEFT warns of embeddings that are tied to a head, and of GPT-2's transposed weights.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")

MIXED = ["q_proj", "v_proj", "down_proj", "embed_tokens"]


def save(folder: Path, base: Path, config: Any, seed: int = 0, dtype: Any = None) -> PeftModel:
    """A random adapter on ``base``, saved by PEFT; the model with it."""
    torch.manual_seed(seed)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    if dtype:
        model = model.to(dtype)
    model.save_pretrained(folder, save_embedding_layers=False)
    return model


def lora(**options: Any) -> LoraConfig:
    wanted = {"r": 4, "target_modules": MIXED, "init_lora_weights": False, **options}
    return LoraConfig(task_type="CAUSAL_LM", **wanted)


def opened(folder: Path) -> AdapterWeights:
    return AdapterWeights(Weights(folder / WEIGHTS), json.loads((folder / CONFIG).read_text()))


def compared(one: Path, other: Path) -> dict[str, Any]:
    return compare_weights(opened(one), opened(other))


def deltas(model: PeftModel) -> dict[str, Any]:
    """PEFT's own update of every module, as it would merge it, in float64."""
    found = {}
    for name, module in model.base_model.model.named_modules():
        if hasattr(module, "get_delta_weight"):
            found[name] = module.get_delta_weight("default").detach().to(torch.float64).numpy()
    return found


@pytest.mark.parametrize("base", ["llama", "gpt2"])
def test_the_deltas_are_those_that_peft_merges(
    tmp_path: Path, bases: dict[str, Path], base: str
) -> None:
    targets, patterns = {
        "llama": (
            MIXED,
            {"rank_pattern": {r"layers\.0\..*": 7}, "alpha_pattern": {"v_proj": 5}},
        ),
        "gpt2": (
            ["c_attn", "c_fc", "wte"],
            {"rank_pattern": {"c_attn": 3}, "alpha_pattern": {r"h\.1\.mlp\.c_fc": 11}},
        ),
    }[base]
    one = deltas(
        save(tmp_path / "1", bases[base], lora(target_modules=targets, lora_alpha=16, **patterns))
    )
    other = deltas(
        save(
            tmp_path / "2",
            bases[base],
            lora(target_modules=targets, r=9, lora_alpha=4, use_rslora=True),
            seed=1,
        )
    )
    found = compared(tmp_path / "1", tmp_path / "2")
    assert {each["name"] for each in found["modules"]} == set(one) == set(other)
    for each in found["modules"]:
        a, b = one[each["name"]], other[each["name"]]
        norm_a, norm_b = np.linalg.norm(a), np.linalg.norm(b)
        assert each["kind"] == "delta"
        assert each["norm_a"] == pytest.approx(norm_a, rel=1e-5)
        assert each["norm_b"] == pytest.approx(norm_b, rel=1e-5)
        assert each["distance"] == pytest.approx(np.linalg.norm(a - b), rel=1e-5)
        assert each["relative"] == pytest.approx(np.linalg.norm(a - b) / norm_a, rel=1e-5)
        cosine = np.vdot(a, b) / norm_a / norm_b
        assert each["cosine"] == pytest.approx(cosine, rel=1e-4, abs=1e-6)
    distances = [each["distance"] for each in found["modules"]]
    assert distances == sorted(distances, reverse=True)
    total = found["total"]["delta"]
    assert total["distance"] == pytest.approx(np.linalg.norm(distances))
    assert found["total"]["tensor"] is None
    layers = {each["layer"]: each["distance"] for each in found["layers"]}
    first = "model.layers.0" if base == "llama" else "transformer.h.0"
    inside = [each["distance"] for each in found["modules"] if each["name"].startswith(first)]
    assert layers[first] == pytest.approx(np.linalg.norm(inside))
    assert len(layers) == 2


def test_a_convolution_s_update_is_a_product_too(tmp_path: Path) -> None:
    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 5, 3)

    for seed in (0, 1):
        torch.manual_seed(seed)
        config = LoraConfig(r=2 + seed, target_modules=["conv"], init_lora_weights=False)
        model = get_peft_model(Small(), config)
        model.save_pretrained(tmp_path / str(seed))
        delta = model.base_model.model.conv.get_delta_weight("default")
        (found,) = compared(tmp_path / str(seed), tmp_path / "0")["modules"]
        assert found["kind"] == "delta"
        assert found["norm_a"] == pytest.approx(delta.norm().item(), rel=1e-5)


def test_bfloat16_is_read(tmp_path: Path, bases: dict[str, Path]) -> None:
    save(tmp_path / "32", bases["llama"], lora())
    save(tmp_path / "16", bases["llama"], lora(), dtype=torch.bfloat16)
    assert next(iter(load_file(tmp_path / "16" / WEIGHTS).values())).dtype == torch.bfloat16
    total = compared(tmp_path / "32", tmp_path / "16")["total"]["delta"]
    assert 0 < total["relative"] < 0.01
    assert total["cosine"] == pytest.approx(1, abs=1e-4)


def test_a_fresh_adapter_is_zero(tmp_path: Path, bases: dict[str, Path]) -> None:
    save(tmp_path / "fresh", bases["llama"], lora(init_lora_weights=True, r=2))
    save(tmp_path / "1", bases["llama"], lora())
    found = compared(tmp_path / "fresh", tmp_path / "1")
    for each in (found["total"]["delta"], *found["modules"]):
        assert (each["norm_a"], each["relative"], each["cosine"]) == (0, None, None)
        assert each["distance"] == pytest.approx(each["norm_b"])
    again = compared(tmp_path / "fresh", tmp_path / "fresh")["total"]["delta"]
    assert (again["distance"], again["cosine"]) == (0, None)


def test_modules_of_one_side_are_listed_and_count_as_zeros(
    tmp_path: Path, bases: dict[str, Path]
) -> None:
    save(tmp_path / "1", bases["llama"], lora(target_modules=["q_proj", "v_proj"]))
    save(tmp_path / "2", bases["llama"], lora(target_modules=["q_proj", "o_proj"]), seed=1)
    found = compared(tmp_path / "1", tmp_path / "2")
    names = {key: [each["name"] for each in found[key]] for key in ("only_in_a", "only_in_b")}
    layers = [f"model.layers.{number}.self_attn." for number in (0, 1)]
    assert names["only_in_a"] == [f"{layer}v_proj" for layer in layers]
    assert names["only_in_b"] == [f"{layer}o_proj" for layer in layers]
    alone = [each["norm"] for each in found["only_in_a"] + found["only_in_b"]]
    both = [each["distance"] for each in found["modules"]]
    assert all(alone)
    assert found["total"]["delta"]["distance"] == pytest.approx(np.linalg.norm(alone + both))


def test_other_shapes_are_listed(tmp_path: Path, bases: dict[str, Path]) -> None:
    save(tmp_path / "1", bases["llama"], lora(target_modules=["q_proj"]))
    save(tmp_path / "2", bases["llama"], lora(target_modules=["q_proj"]))
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    tensors = load_file(tmp_path / "2" / WEIGHTS)
    tensors[name] = tensors[name][:, :20].contiguous()
    save_file(tensors, tmp_path / "2" / WEIGHTS)
    found = compared(tmp_path / "1", tmp_path / "2")
    assert found["different_shapes"] == [
        {
            "name": "model.layers.0.self_attn.q_proj",
            "kind": "delta",
            "shape_a": [32, 32],
            "shape_b": [32, 20],
        }
    ]
    assert [each["name"] for each in found["modules"]] == ["model.layers.1.self_attn.q_proj"]


def test_dora_s_magnitudes_and_saved_modules_are_tensors(
    tmp_path: Path, bases: dict[str, Path]
) -> None:
    config = {"use_dora": True, "target_modules": ["q_proj"], "modules_to_save": ["norm"]}
    for seed in (1, 2):
        save(tmp_path / str(seed), bases["llama"], lora(**config), seed=seed)
    found = compared(tmp_path / "1", tmp_path / "2")
    kinds = {each["name"]: each["kind"] for each in found["modules"]}
    assert kinds["model.layers.0.self_attn.q_proj"] == "delta"
    assert kinds["model.layers.0.self_attn.q_proj.lora_magnitude_vector"] == "tensor"
    assert kinds["model.norm.weight"] == "tensor"
    norm = next(each for each in found["modules"] if each["name"] == "model.norm.weight")
    assert (norm["distance"], norm["cosine"]) == (0, pytest.approx(1))
    assert any("use_dora" in note for note in found["notes"])


def test_another_method_is_compared_tensor_by_tensor(
    tmp_path: Path, bases: dict[str, Path]
) -> None:
    config = IA3Config(task_type="CAUSAL_LM", init_ia3_weights=False)
    for seed in (1, 2):
        save(tmp_path / str(seed), bases["llama"], config, seed=seed)
    save(tmp_path / "lora", bases["llama"], lora(target_modules=["k_proj"]))
    one, other = (load_file(tmp_path / str(seed) / WEIGHTS) for seed in (1, 2))
    found = compared(tmp_path / "1", tmp_path / "2")
    assert len(found["modules"]) == len(one)
    for each in found["modules"]:
        a, b = (side[f"base_model.model.{each['name']}"].double() for side in (one, other))
        assert each["kind"] == "tensor"
        assert each["distance"] == pytest.approx((a - b).norm().item())
    mixed = compared(tmp_path / "1", tmp_path / "lora")
    assert mixed["modules"] == []
    assert {each["kind"] for each in mixed["only_in_a"]} == {"tensor"}
    assert {each["kind"] for each in mixed["only_in_b"]} == {"delta"}
    assert mixed["total"]["tensor"] is None


def test_a_variant_that_is_no_product_is_compared_tensor_by_tensor(
    tmp_path: Path, bases: dict[str, Path]
) -> None:
    save(tmp_path / "1", bases["llama"], lora(target_modules=["q_proj"]))
    path = tmp_path / "1" / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), "use_bdlora": {"nblocks": 2}}))
    found = compared(tmp_path / "1", tmp_path / "1")
    assert {each["kind"] for each in found["modules"]} == {"tensor"}
    assert found["notes"][0] == "A: with use_bdlora it is compared tensor by tensor"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"r": "four"}, "rank is 'four'"),
        ({"r": 0}, "rank is 0"),
        ({"r": True}, "rank is True"),
        ({"lora_alpha": None}, "lora_alpha is None"),
        ({"lora_alpha": 10**400}, "cannot be used"),
        ({"rank_pattern": []}, None),
        ({"rank_pattern": [1]}, "rank_pattern is not a table"),
        ({"alpha_pattern": {"(": 3}}, "is not a pattern"),
        ({"target_modules": 3}, "not a list of names"),
    ],
)
def test_a_configuration_that_makes_no_sense(
    tmp_path: Path, bases: dict[str, Path], changes: dict[str, Any], words: str | None
) -> None:
    save(tmp_path / "1", bases["llama"], lora(target_modules=["q_proj"]))
    path = tmp_path / "1" / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    if words is None:
        opened(tmp_path / "1")
        return
    with pytest.raises(BaseModelError, match="cannot be used") as caught:
        opened(tmp_path / "1")
    assert words in caught.value.message


def test_a_rank_that_the_weights_do_not_have_makes_tensors(
    tmp_path: Path, bases: dict[str, Path]
) -> None:
    save(tmp_path / "1", bases["llama"], lora(target_modules=["q_proj"]))
    path = tmp_path / "1" / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), "r": 5}))
    assert {each["kind"] for each in compared(tmp_path / "1", tmp_path / "1")["modules"]} == {
        "tensor"
    }


def test_a_diverged_module_comes_first(tmp_path: Path, bases: dict[str, Path]) -> None:
    save(tmp_path / "1", bases["llama"], lora(target_modules=["q_proj"]))
    name = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"
    tensors = load_file(tmp_path / "1" / WEIGHTS)
    tensors[name][0, 0] = float("nan")
    save(tmp_path / "2", bases["llama"], lora(target_modules=["q_proj"]), seed=1)
    save_file(tensors, tmp_path / "1" / WEIGHTS)
    first, second = compared(tmp_path / "1", tmp_path / "2")["modules"]
    assert (first["name"], first["distance"]) == ("model.layers.1.self_attn.q_proj", None)
    assert second["distance"] > 0
