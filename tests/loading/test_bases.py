"""Bases found, checked and loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import workshop
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, LlamaConfig, PretrainedConfig

from adapter_hub.errors import BaseModelError, IncompatibleError, PluginError, UnknownNameError
from adapter_hub.hookspecs import hookimpl
from adapter_hub.loading.bases import (
    base_folder,
    context_length,
    first_line,
    load_config,
    load_model,
    load_tokenizer,
    pin,
    short,
)
from adapter_hub.loading.identity import base_identity
from adapter_hub.model import Base, parse_source
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digests


@pytest.fixture
def llama(bases: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(bases["llama"], tmp_path / "llama"))


def at(source: str, revision: str | None = None) -> Base:
    return Base("mine", parse_source(source), revision)


def offering(factory: Any) -> Catalog:
    module = ModuleType("a_plugin")

    def register_bases(register: Any) -> None:
        register("made", factory)

    module.register_bases = hookimpl(register_bases)  # type: ignore[attr-defined]
    catalog = load_catalog()
    catalog.add_plugin(module, "a_plugin", "a-plugin", "1")
    return catalog


# --- where it is ---------------------------------------------------------------------------------


def test_a_path_starts_at_the_registry_or_at_the_root(llama: Path) -> None:
    catalog = load_catalog()
    (llama.parent / "x").mkdir()
    assert base_folder(at("path:llama"), catalog, llama.parent) == llama
    assert base_folder(at("path:../llama"), catalog, llama.parent / "x").resolve() == llama
    assert base_folder(at(f"path:{llama}"), catalog, Path("/nowhere")) == llama


def test_a_plugin_makes_a_folder(llama: Path) -> None:
    assert base_folder(at("plugin:made"), offering(lambda: str(llama)), Path()) == llama


def test_a_plugin_that_breaks_is_named() -> None:
    def broken() -> Path:
        raise OSError("no room\nat all")

    with pytest.raises(PluginError, match=r"base 'made' of a-plugin cannot be made: no room$"):
        base_folder(at("plugin:made"), offering(broken), Path())


def test_a_plugin_that_is_not_there() -> None:
    with pytest.raises(UnknownNameError, match="there is no base 'gone'"):
        base_folder(at("plugin:gone"), load_catalog(), Path())


def test_a_hub_base_that_is_not_in_the_cache(tmp_path: Path, monkeypatch: Any) -> None:
    base = at("hf:nobody/nothing", "0" * 40)
    with pytest.raises(BaseModelError, match=r"'mine' \(hf:nobody/nothing\) is not in the cache"):
        base_folder(base, load_catalog(), tmp_path)


# --- what must be in it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gone", "put", "reason"),
    [
        ("*", None, r"there is no folder .*llama"),
        ("config.json", None, "has no config.json, so it is not a model"),
        ("*.safetensors", None, r"has no model\.safetensors"),
        ("*.safetensors", "pytorch_model.bin", r"only pickled weights \(\.bin\), which can run"),
        ("tokenizer*", None, "has no tokenizer"),
    ],
)
def test_a_folder_that_lacks_something(
    llama: Path, gone: str, put: str | None, reason: str
) -> None:
    if gone == "*":
        shutil.rmtree(llama)
    else:
        for path in llama.glob(gone):
            path.unlink()
    if put:
        (llama / put).write_bytes(b"\x80")
    with pytest.raises(BaseModelError, match=reason) as caught:
        base_folder(at("path:llama"), load_catalog(), llama.parent)
    assert str(caught.value).startswith("base 'mine' (path:llama): ")
    assert str(llama) in str(caught.value)


def test_a_base_that_lacks_a_shard_of_its_index(llama: Path) -> None:
    (llama / "model.safetensors").rename(llama / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (llama / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    words = r"has no model-00002-of-00002\.safetensors, which its index names"
    with pytest.raises(BaseModelError, match=words):
        base_folder(at("path:llama"), load_catalog(), llama.parent)


# --- pins ----------------------------------------------------------------------------------------


def test_a_local_base_is_pinned_to_its_weights(llama: Path) -> None:
    pinned = pin(at("path:llama"), load_catalog(), llama.parent).revision
    assert pinned == base_identity(llama).weights
    base_folder(at("path:llama", pinned), load_catalog(), llama.parent)
    workshop.flip_byte(llama / "model.safetensors")
    with pytest.raises(IncompatibleError, match=r"'mine' is pinned to [0-9a-f]{12}, and the wei"):
        base_folder(at("path:llama", pinned), load_catalog(), llama.parent)


def test_a_commit_is_its_own_pin() -> None:
    commit = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
    base = at("hf:nobody/nothing", commit)
    assert pin(base, Catalog(), Path()) == base


@pytest.mark.parametrize("revision", [None, "main", "607a30d"])
def test_a_branch_needs_the_hub(revision: str | None) -> None:
    with pytest.raises(BaseModelError, match="hf:nobody/nothing cannot be resolved to a commit"):
        pin(at("hf:nobody/nothing", revision), Catalog(), Path())


def test_what_is_no_base_is_not_pinned(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="there is no folder"):
        pin(at("path:gone"), load_catalog(), tmp_path)


# --- into memory ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_base_is_loaded_in_the_type_asked_for(
    bases: dict[str, Path], name: str, dtype: torch.dtype
) -> None:
    model = load_model(bases[name], dtype)
    assert {each.dtype for each in model.parameters()} == {dtype}


def test_a_config_that_cannot_be_used(llama: Path) -> None:
    assert load_config(llama).num_hidden_layers == 2
    workshop.edit_json(llama / "config.json", model_type="unheard_of")
    with pytest.raises(BaseModelError, match=r"config\.json cannot be used: .*unheard_of"):
        load_config(llama)
    (llama / "config.json").write_text("{")
    with pytest.raises(BaseModelError, match=r"config\.json cannot be used"):
        load_config(llama)


@pytest.mark.parametrize("damage", ["cut", "header", "config"])
def test_a_model_that_cannot_be_loaded(llama: Path, damage: str) -> None:
    path = llama / "model.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    elif damage == "header":
        workshop.flip_byte(path, 20)
    else:
        workshop.edit_json(llama / "config.json", hidden_size=48)
    with pytest.raises(BaseModelError, match=r"the base in .*llama cannot be loaded: ") as caught:
        load_model(llama, torch.float32)
    assert "\n" not in str(caught.value)


def test_a_model_that_lacks_weights_is_not_filled_with_random_ones(llama: Path) -> None:
    path = llama / "model.safetensors"
    weights = load_file(path)
    del weights["model.layers.1.self_attn.q_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(BaseModelError, match=r"lacks 1 weights, such as .*1\.self_attn\.q_proj"):
        load_model(llama, torch.float32)


def test_a_tokenizer_gets_a_padding_token_if_it_has_none(llama: Path) -> None:
    assert load_tokenizer(llama).pad_token == "<|pad|>"
    workshop.edit_json(llama / "tokenizer_config.json", pad_token=None)
    tokenizer = load_tokenizer(llama)
    assert tokenizer.pad_token == tokenizer.eos_token
    workshop.edit_json(llama / "tokenizer_config.json", eos_token=None, bos_token=None)
    assert load_tokenizer(llama).pad_token_id == 0


def test_a_tokenizer_that_cannot_be_loaded(llama: Path) -> None:
    (llama / "tokenizer.json").write_text("{}")
    with pytest.raises(BaseModelError, match=r"the tokenizer in .*llama cannot be loaded: "):
        load_tokenizer(llama)


OWN_CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
Path({proof!r}).write_text("it ran")
class OwnConfig(LlamaConfig):
    model_type = "unheard_of"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
class OwnTokenizer(PreTrainedTokenizerFast):
    pass
"""
LOAD_IN_A_PROCESS = """
import json, sys, torch
from pathlib import Path
from adapter_hub.errors import BaseModelError
from adapter_hub.loading.adapters import load, open_reference
from adapter_hub.loading.bases import load_config, load_model, load_tokenizer
from adapter_hub.model import parse_reference
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry
folder = Path("bases/llama")
calls = {
    "config": lambda: load_config(folder),
    "model": lambda: load_model(folder, torch.float32),
    "tokenizer": lambda: load_tokenizer(Path("bases/spoken")),
    "adapter": lambda: load(
        open_reference(parse_reference("sums"), Registry.open(), load_catalog()), torch.float32
    ),
}
told = {}
for what, call in calls.items():
    try:
        call()
        told[what] = ""
    except BaseModelError as error:
        told[what] = str(error)
print(json.dumps(told))
"""


@pytest.mark.parametrize("known", [False, True], ids=["unknown type", "known type"])
def test_code_that_comes_with_a_model_never_runs(own: Path, known: bool) -> None:
    """A real process with a yes waiting on its standard input: transformers would ask there."""
    folder, proof = own / "bases/llama", own / "it-ran"
    (folder / "own.py").write_text(OWN_CODE.format(proof=str(proof)))
    names = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    kind = "llama" if known else "unheard_of"
    workshop.edit_json(folder / "config.json", model_type=kind, auto_map=names)
    spoken = Path(shutil.copytree(folder, own / "bases/spoken"))
    workshop.edit_json(
        spoken / "tokenizer_config.json",
        tokenizer_class="OwnTokenizer",
        auto_map={"AutoTokenizer": [None, "own.OwnTokenizer"]},
    )
    (own / "adapters/sums/1/adapter_hub.json").write_text("{}")
    trust_files_of(own, "sums")
    done = subprocess.run(
        [sys.executable, "-c", LOAD_IN_A_PROCESS],
        input="y\n" * 20,
        cwd=own,
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HOME": str(own / "cache")},
    )
    assert not proof.exists(), "code of the model ran"
    assert done.returncode == 0, done.stderr
    refusal = "needs code of its own, and adapter-hub runs none that the registry does not trust."
    for what, told in json.loads(done.stdout.splitlines()[-1]).items():
        assert told.endswith(refusal) if what == "tokenizer" or not known else not told, what


def test_a_config_does_not_hand_on_its_code(llama: Path) -> None:
    workshop.edit_json(llama / "config.json", auto_map={"AutoModelForCausalLM": "own.OwnModel"})
    assert not hasattr(load_config(llama), "auto_map")


def trust_files_of(folder: Path, name: str) -> None:
    """Write the digests of the files as they are now into the registry."""

    def change(document: dict[str, Any]) -> None:
        document["adapters"][name]["versions"]["1"]["files"] = file_digests(
            folder / "adapters" / name / "1"
        )

    Registry.open(folder).edit(change)


def test_the_context_is_read_from_the_configuration() -> None:
    assert context_length(LlamaConfig(max_position_embeddings=77)) == 77
    assert context_length(GPT2Config(n_positions=66)) == 66
    assert context_length(PretrainedConfig()) is None


def test_words_for_messages() -> None:
    assert short("sha256:" + "ab" * 32) == "ab" * 6
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
