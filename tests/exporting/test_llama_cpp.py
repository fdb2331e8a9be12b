"""llama.cpp itself loads what is exported, and says what PEFT says. With xllamacpp only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from adapter_hub.exporting.export import export
from adapter_hub.exporting.gguf import ARCHITECTURES, interleave
from adapter_hub.registry.store import Registry
from adapter_hub.testing.models import save_tokenizer

IDS = [5, 9, 40, 41, 7, 30, 12, 99, 17]
TOP = 8

# In a process of its own: the library's server ends with it.
ASK = """
import json, sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.warmup = sys.argv[1], 128, 1, False
params.cpuparams.n_threads = 1
if len(sys.argv) > 4:
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(sys.argv[4], 1.0)]
server = xllamacpp.Server(params)
asked = {"prompt": json.loads(sys.argv[3]), "n_predict": 1, "temperature": 0, "n_probs": 8}
answer = server.handle_completions(asked)
answer = answer[0] if isinstance(answer, list) else answer
with open(sys.argv[2], "w") as file:
    json.dump(answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"], file)
"""
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
}


def make_base(kind: str, folder: Path) -> Path:
    rows = save_tokenizer(folder)
    sizes = {**SIZES, "vocab_size": rows, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
    if kind == "gpt2":
        sizes = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128, **sizes}
        for key in SIZES:
            sizes.pop(key)
    if kind == "phi3":
        sizes["original_max_position_embeddings"] = 128
    if kind.startswith("gemma"):
        sizes.update(
            sliding_window=128, query_pre_attn_scalar=16, hidden_activation="gelu_pytorch_tanh"
        )
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    return folder


def write_base(kind: str, folder: Path, path: Path) -> None:
    """The base in GGUF, float32, with tokens that have only numbers."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config, arch = model.config, getattr(gguf.MODEL_ARCH, ARCHITECTURES[kind])
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_feed_forward_length(256 if kind == "gpt2" else 96)
    writer.add_head_count(4)
    if kind == "gpt2":
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_head_count_kv(2)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_dimension_count(16)
        writer.add_key_length(16)
        writer.add_value_length(16)
        rope = config.rope_parameters
        writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
    if kind in ("gemma2", "gemma3_text", "phi3"):
        writer.add_sliding_window(0 if kind == "phi3" else 128)
    if kind == "phi3":
        writer.add_rope_scaling_orig_ctx_len(128)
    if kind == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    # Whole characters: llama.cpp says nothing of a token that ends inside one.
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"t{number}" for number in range(config.vocab_size)])
    writer.add_token_types([1] * config.vocab_size)
    writer.add_token_merges(["t 0"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    names = gguf.get_tensor_name_map(arch, 2)
    for name, tensor in model.state_dict().items():
        values = tensor.numpy()
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if kind == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            values = values.T
        if kind in ("llama", "mistral") and name.endswith(("q_proj.weight", "k_proj.weight")):
            values = interleave(values, 4 if "q_proj" in name else 2)
        if kind.startswith("gemma") and name.endswith("norm.weight"):
            values = values + 1
        placed = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert placed is not None, name
        writer.add_tensor(placed, np.ascontiguousarray(values, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def ask(tmp_path: Path, *adapter: Path) -> dict[int, float]:
    """The logarithms of the probabilities of the likeliest next tokens, by id."""
    paths = [str(tmp_path / "base.gguf"), str(tmp_path / "answer.json"), json.dumps(IDS)]
    subprocess.run([sys.executable, "-c", ASK, *paths, *map(str, adapter)], check=True, timeout=60)
    told = json.loads((tmp_path / "answer.json").read_text())
    return {each["id"]: each["logprob"] for each in told}


def difference(told: dict[int, float], model: Any) -> float:
    with torch.no_grad():
        wanted = model(input_ids=torch.tensor([IDS])).logits[0, -1].log_softmax(-1)
    assert len(told) == TOP
    return max(abs(float(wanted[token]) - value) for token, value in told.items())


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")
@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_llama_cpp_says_what_peft_says(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("xllamacpp")
    base = make_base(kind, tmp_path / "base")
    write_base(kind, base, tmp_path / "base.gguf")
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    assert difference(ask(tmp_path), plain) < 0.01
    config = LoraConfig(
        task_type="CAUSAL_LM",
        target_modules="all-linear",
        init_lora_weights=False,
        rank_pattern={".*0.*": 4},
        lora_alpha=8,
        use_rslora=True,
    )
    torch.manual_seed(1)
    adapted = get_peft_model(plain, config).eval()
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    (tmp_path / "registry.toml").write_text("schema = 1\n")
    registry = Registry.open(tmp_path)
    export(str(tmp_path / "adapter"), tmp_path / "out", "gguf", registry=registry)
    told = ask(tmp_path, tmp_path / "out/adapter.gguf")
    assert difference(told, adapted) < 0.01
    assert difference(ask(tmp_path), adapted) > 0.1
