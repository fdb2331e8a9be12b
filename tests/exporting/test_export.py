"""Adapters written for other programs, and what cannot be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import workshop
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from adapter_hub.errors import AdapterHubError, ConflictError, IncompatibleError, UsageError
from adapter_hub.exporting import merged as merging
from adapter_hub.exporting.export import Exported, export
from adapter_hub.exporting.gguf import interleave
from adapter_hub.loading.adapters import load, open_reference
from adapter_hub.model import parse_reference
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry

IDS = torch.tensor([[5, 9, 40, 41, 7, 30, 12]])


def run(home: Path, reference: str, format: Any, **how: Any) -> Exported:
    return export(reference, home / "out", format, registry=Registry.open(home), **how)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits  # type: ignore[no-any-return]


def adapted(home: Path, reference: str) -> torch.Tensor:
    registry = Registry.open(home)
    opened = open_reference(parse_reference(reference), registry, load_catalog())
    return logits(load(opened, torch.float32)[0])


def loose(home: Path, name: str = "sums", **config: Any) -> str:
    """A copy of a version without digests or record, its configuration changed."""
    folder = Path(shutil.copytree(home / f"adapters/{name}/1", home / "loose"))
    (folder / "adapter_hub.json").unlink()
    workshop.edit_json(folder / "adapter_config.json", **config)
    return str(folder)


def nothing_left(home: Path) -> bool:
    return not (home / "out").exists() and not list(home.glob(".out*"))


# --- merged --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sums", "conv", "talk"])
def test_merged_says_what_the_adapter_says(own: Path, name: str) -> None:
    done = run(own, name, "merged")
    model = AutoModelForCausalLM.from_pretrained(own / "out", dtype=torch.float32)
    assert torch.allclose(logits(model), adapted(own, name), atol=1e-4)
    assert done.largest_logit_difference is not None
    assert done.largest_logit_difference <= 1e-4
    assert model.config.tie_word_embeddings
    assert "lm_head.weight" not in load_file(own / "out/model.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(own / "out")
    assert bool(tokenizer.chat_template) == (name == "talk")
    for file in done.files:
        assert str(own).encode() not in (own / "out" / file).read_bytes(), file


def test_merged_is_stored_as_the_base_is(own: Path) -> None:
    weights = own / "bases/llama/model.safetensors"
    half = {key: value.bfloat16() for key, value in load_file(weights).items()}
    save_file(half, weights, {"format": "pt"})
    reference = loose(own, base_model_name_or_path=str(own / "bases/llama"))
    said: list[str] = []
    done = run(own, reference, "merged", say=said.append)
    stored = load_file(own / "out/model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    assert json.loads((own / "out/config.json").read_text())["dtype"] == "bfloat16"
    assert 0 < (done.largest_logit_difference or 0) <= (done.logit_tolerance or 0)
    assert "rounding to bfloat16" in said[-1]


@pytest.mark.filterwarnings("ignore:Model has .tie_word_embeddings")
def test_a_tied_head_that_was_adapted_gets_its_own_table(shop: Path) -> None:
    workshop.run_training(shop, "heads", options={"target_modules": ["lm_head", "q_proj"]})
    run(shop, "heads", "merged")
    model = AutoModelForCausalLM.from_pretrained(shop / "out", dtype=torch.float32)
    assert torch.allclose(logits(model), adapted(shop, "heads"), atol=1e-4)
    assert not model.config.tie_word_embeddings


def test_a_wrong_merge_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A weight that gets lost while it is saved, as happened to tied tables."""
    save = merging._save

    def lossy(opened: Any, model: Any, folder: Path) -> None:
        save(opened, model, folder)
        weights = load_file(folder / "model.safetensors")
        name = next(name for name in weights if "q_proj" in name)
        save_file(
            {**weights, name: weights[name] * 1.5}, folder / "model.safetensors", {"format": "pt"}
        )

    monkeypatch.setattr(merging, "_save", lossy)
    with pytest.raises(IncompatibleError, match="says something else"):
        run(own, "sums", "merged")
    assert nothing_left(own)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "PREFIX_TUNING does not work by changing"),
        ({"peft_type": "LILY"}, "LILY does not work by changing"),
        ({"alora_invocation_tokens": [1, 2]}, "aLoRA"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_cannot_be_merged(own: Path, config: dict[str, Any], why: str) -> None:
    with pytest.raises(IncompatibleError, match=why) as caught:
        run(own, loose(own, **config), "merged")
    assert caught.value.hint
    assert nothing_left(own)


def test_a_quantised_base(own: Path) -> None:
    reference = loose(own, base_model_name_or_path=str(own / "bases/llama"))
    workshop.edit_json(own / "bases/llama/config.json", quantization_config={"bits": 4})
    with pytest.raises(IncompatibleError, match="are quantised"):
        run(own, reference, "merged")


def test_training_over_a_quantised_base_is_said(own: Path) -> None:
    folder = Path(loose(own))
    recipe = json.loads((own / "adapters/sums/1/adapter_hub.json").read_text())["recipe"]
    recipe["training"]["quantize"] = "4bit"
    (folder / "adapter_hub.json").write_text(json.dumps({"recipe": recipe}))
    said: list[str] = []
    run(own, str(folder), "merged", say=said.append)
    assert "merged into the full weights" in said[0]


# --- gguf ----------------------------------------------------------------------------------------


def read_back(path: Path) -> tuple[gguf.GGUFReader, dict[str, Any]]:
    reader = gguf.GGUFReader(path)
    return reader, {each.name: np.asarray(each.data) for each in reader.tensors}


def test_gguf_has_the_adapters_matrices(own: Path) -> None:
    run(own, "sums", "gguf")
    reader, found = read_back(own / "out/sums.gguf")
    assert reader.fields["general.type"].contents() == "adapter"
    assert reader.fields["general.architecture"].contents() == "llama"
    assert reader.fields["adapter.type"].contents() == "lora"
    config = json.loads((own / "adapters/sums/1/adapter_config.json").read_text())
    assert reader.fields["adapter.lora.alpha"].contents() == config["lora_alpha"]
    saved = load_file(own / "adapters/sums/1/adapter_model.safetensors")
    assert len(found) == len(saved)
    first = "base_model.model.model.layers.0.self_attn"
    names = {"q": 4, "k": 2}
    for name, tensor in found.items():
        part = name.removeprefix("blk.0.attn_")[0]
        if not name.startswith("blk.0.attn_") or part not in "qv":
            continue
        half = name[-1].upper()
        wanted = saved[f"{first}.{part}_proj.lora_{half}.weight"].numpy()
        if half == "B" and part in names:
            heads = names[part]
            width = len(tensor) // heads
            turned = tensor.reshape(heads, width // 2, 2, -1).swapaxes(1, 2)
            tensor = turned.reshape(tensor.shape)
        assert np.array_equal(tensor, wanted), name


def test_rows_take_turns() -> None:
    rows = np.arange(8).reshape(8, 1)
    assert interleave(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_gguf_of_gpt2_is_for_transposed_matrices(own: Path) -> None:
    run(own, "conv", "gguf")
    _, found = read_back(own / "out/conv.gguf")
    saved = load_file(own / "adapters/conv/1/adapter_model.safetensors")
    name = "base_model.model.transformer.h.0.attn.c_attn.lora_B.weight"
    assert np.array_equal(found["blk.0.attn_qkv.weight.lora_b"], saved[name].numpy())


@pytest.mark.parametrize(
    "options",
    [{"use_rslora": True, "r": 9}, {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"q_proj": 3}}],
    ids=["rslora", "patterns"],
)
def test_gguf_folds_the_scales(shop: Path, options: dict[str, Any]) -> None:
    """llama.cpp counts alpha / rank: B A times that is what PEFT adds."""
    workshop.run_training(shop, "odd", options=options)
    run(shop, "odd", "gguf")
    reader, found = read_back(shop / "out/odd.gguf")
    alpha = reader.fields["adapter.lora.alpha"].contents()
    registry = Registry.open(shop)
    opened = open_reference(parse_reference("odd"), registry, load_catalog())
    layers = load(opened, torch.float32)[0].get_base_model().model.layers[1].self_attn
    for part, module in (("q", layers.q_proj), ("v", layers.v_proj)):
        wanted = module.get_delta_weight("default").cpu().numpy()
        wanted = interleave(wanted, 4) if part == "q" else wanted
        a, b = (found[f"blk.1.attn_{part}.weight.lora_{half}"] for half in "ab")
        assert np.allclose(b @ a * (alpha / len(a)), wanted, rtol=1e-4, atol=1e-7)


REFUSED = [
    ({"use_dora": True}, "DoRA"),
    ({"lora_bias": True}, "lora_bias"),
    ({"bias": "all"}, "biases of the base"),
    ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ({"trainable_token_indices": [1]}, "trainable_token_indices"),
    ({"target_parameters": ["w"]}, "target_parameters"),
    ({"init_lora_weights": "pissa"}, "PEFT changes first"),
    ({"alora_invocation_tokens": [1]}, "aLoRA"),
    ({"peft_type": "IA3"}, "its method is IA3"),
]


@pytest.mark.parametrize("format", ["gguf", "vllm"])
@pytest.mark.parametrize(("config", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_only_plain_lora(own: Path, config: dict[str, Any], why: str, format: str) -> None:
    with pytest.raises(IncompatibleError, match=why) as caught:
        run(own, loose(own, **config), format)
    expected = "adapter-hub run" if why == "aLoRA" else "--format merged"
    assert expected in str(caught.value.hint)
    assert nothing_left(own)


@pytest.mark.filterwarnings("ignore:Model has .tie_word_embeddings")
def test_gguf_of_a_tied_head(shop: Path) -> None:
    workshop.run_training(shop, "heads", options={"target_modules": ["lm_head", "q_proj"]})
    with pytest.raises(IncompatibleError, match="output head"):
        run(shop, "heads", "gguf")
    assert nothing_left(shop)


def test_gguf_of_an_unknown_type(own: Path) -> None:
    reference = loose(own, base_model_name_or_path=str(own / "bases/llama"))
    workshop.edit_json(own / "bases/llama/config.json", model_type="olmo")
    with pytest.raises(IncompatibleError, match="bases of type olmo"):
        run(own, reference, "gguf")


# --- ollama, vllm --------------------------------------------------------------------------------


def test_ollama(own: Path) -> None:
    done = run(own, "sums", "ollama", ollama_from="smollm2:135m")
    text = (own / "out/Modelfile").read_text()
    assert text == "FROM smollm2:135m\nADAPTER ./sums.gguf\n"
    assert gguf.GGUFReader(own / "out/sums.gguf").tensors
    assert done.commands == [f"ollama create sums -f {own}/out/Modelfile", "ollama run sums"]


@pytest.mark.parametrize("name", [None, "", "a\nADAPTER /etc/passwd"])
def test_ollamas_name_of_the_base(own: Path, name: str | None) -> None:
    with pytest.raises(UsageError, match="ollama"):
        run(own, "sums", "ollama", ollama_from=name)


def test_vllm_of_a_plain_adapter_is_the_adapter(own: Path) -> None:
    done = run(own, "sums", "vllm")
    weights = "adapter_model.safetensors"
    assert (own / "out" / weights).read_bytes() == (own / "adapters/sums/1" / weights).read_bytes()
    assert done.lora_module == f"sums={own}/out"
    assert done.commands[0].startswith(f"vllm serve {own}/bases/llama --enable-lora")
    assert done.commands[0].endswith("--max-lora-rank 8")
    assert done.largest_logit_difference is None


def test_vllm_gets_one_rank_and_one_scale(shop: Path) -> None:
    options = {"r": 9, "rank_pattern": {"v_proj": 2}, "alpha_pattern": {"q_proj": 3}}
    workshop.run_training(shop, "odd", options=options)
    done = run(shop, "odd", "vllm")
    config = json.loads((shop / "out/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (9, 9)
    assert config["rank_pattern"] == config["alpha_pattern"] == {}
    assert done.max_lora_rank == 16
    assert done.largest_logit_difference is not None
    saved = load_file(shop / "out/adapter_model.safetensors")
    assert {tensor.shape[0] for name, tensor in saved.items() if "lora_A" in name} == {9}
    config["base_model_name_or_path"] = str(shop / "bases/llama")
    (shop / "out/adapter_config.json").write_text(json.dumps(config))
    assert torch.allclose(adapted(shop, str(shop / "out")), adapted(shop, "odd"), atol=1e-5)


def test_vllm_takes_no_gpt2(own: Path) -> None:
    with pytest.raises(IncompatibleError, match="gpt2"):
        run(own, "conv", "vllm")


def test_vllm_itself_takes_it(own: Path) -> None:
    helper = pytest.importorskip("vllm.lora.peft_helper")
    run(own, "sums", "vllm")
    config = json.loads((own / "out/adapter_config.json").read_text())
    told = helper.PEFTHelper.from_dict(config)
    told.validate_legal(type("Limits", (), {"max_lora_rank": 8}))
    assert told.vllm_lora_scaling_factor == config["lora_alpha"] / config["r"]


# --- the folder ----------------------------------------------------------------------------------


def test_a_folder_with_something_in_it(own: Path) -> None:
    (own / "out").mkdir()
    (own / "out/mine").write_text("mine")
    with pytest.raises(ConflictError, match="not an empty folder"):
        run(own, "sums", "gguf")
    assert [each.name for each in (own / "out").iterdir()] == ["mine"]


def test_an_empty_folder_and_one_below_others(own: Path) -> None:
    (own / "out").mkdir()
    run(own, "sums", "gguf")
    export("sums", own / "a/b/c", "gguf", registry=Registry.open(own))
    assert (own / "a/b/c/sums.gguf").is_file()
    assert (own / "out/sums.gguf").stat().st_mode & 0o444


def test_a_failure_leaves_nothing(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gguf.GGUFWriter, "write_tensors_to_file", full)
    with pytest.raises(AdapterHubError, match="cannot be written: No space left on device"):
        export("sums", own / "new/out", "gguf", registry=Registry.open(own))
    assert not (own / "new").exists()


def test_a_bare_base(own: Path) -> None:
    with pytest.raises(UsageError, match="no adapter"):
        run(own, "base:llama", "merged")


def test_gguf_is_an_extra(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        run(own, "sums", "gguf")
    assert caught.value.hint == "pip install 'adapter-hub[gguf]'"
