"""Code that comes with a base: run where the registry trusts it, as it was pinned, and no other."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import workshop

from adapter_hub.errors import AdapterHubError, BaseModelError, IncompatibleError, RegistryError
from adapter_hub.loading.adapters import load, open_reference
from adapter_hub.loading.bases import base_folder
from adapter_hub.loading.code import check_trusted_code, code_digest
from adapter_hub.loading.recorded import at_recorded_commit, base_of
from adapter_hub.model import Base, parse_reference, parse_source
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry

MODEL = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from .names import KIND

with Path({proof!r}).open("a") as file:
    file.write("it ran\\n")

class OwnConfig(LlamaConfig):
    model_type = KIND

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig

class OwnTokenizer(PreTrainedTokenizerFast):
    pass
"""
ONE, OTHER = "1" * 40, "2" * 40


@pytest.fixture
def shop_of_code(shop: Path) -> Path:
    """A registry folder whose base ``bases/llama`` is of a kind that only its own code knows."""
    folder = shop / "bases/llama"
    (folder / "own.py").write_text(MODEL.format(proof=str(shop / "it-ran")))
    (folder / "names.py").write_text('KIND = "unheard_of"\n')
    workshop.edit_json(
        folder / "config.json",
        model_type="unheard_of",
        architectures=["OwnModel"],
        auto_map={"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"},
    )
    workshop.edit_json(
        folder / "tokenizer_config.json",
        tokenizer_class="OwnTokenizer",
        auto_map={"AutoTokenizer": [None, "own.OwnTokenizer"]},
    )
    return shop


def tool(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A real command, with a yes on its standard input: transformers would ask there."""
    return subprocess.run(
        [*workshop.ADAPTER_HUB, *arguments],
        cwd=folder,
        input="y\n" * 5,
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
    )


def trusted(folder: Path) -> Registry:
    """The registry with ``bases/llama`` as the base ``own``, its code trusted."""
    done = tool(folder, "base", "add", "own", "path:bases/llama", "--trust-remote-code")
    assert done.returncode == 0, done.stderr
    return Registry.open(folder)


def test_a_base_with_code_of_its_own_from_add_to_run(shop_of_code: Path) -> None:
    shop, proof = shop_of_code, shop_of_code / "it-ran"
    train = ("train", "sums", "--data", "rows.jsonl", "--steps", "2", "--dtype", "float32")
    trusted(shop)
    assert not proof.exists(), "code ran before anybody trained"
    entry = json.loads(tool(shop, "base", "show", "own", "--json").stdout)
    assert entry["trust_remote_code"] is True
    assert entry["code"] == code_digest(shop / "bases/llama")
    done = tool(shop, *train, "--base", "own", "-o", "target_modules=all-linear")
    assert done.returncode == 0, done.stderr
    assert proof.exists()
    record = json.loads((shop / "adapters/sums/1/adapter_hub.json").read_text())
    assert record["base"]["trust_remote_code"] is True
    assert record["base"]["code"] == entry["code"]
    told = tool(shop, "run", "sums", "Q: 2 plus one?", "--greedy", "--max-new-tokens", "3")
    assert told.returncode == 0, told.stderr


def test_other_code_than_was_trusted_never_runs(shop_of_code: Path) -> None:
    """Also where only a file changed that the named one imports."""
    registry = trusted(shop_of_code)
    folder = shop_of_code / "bases/llama"
    assert base_folder(registry.base("own"), load_catalog(), shop_of_code) == folder
    (folder / "names.py").write_text('KIND = "unheard_of"\nprint("mine now")\n')
    with pytest.raises(IncompatibleError, match="is not the code that was trusted"):
        base_folder(registry.base("own"), load_catalog(), shop_of_code)


def test_a_new_file_of_code_is_other_code(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("")
    first = code_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("no code")
    assert code_digest(tmp_path) == first
    (tmp_path / "below").mkdir()
    (tmp_path / "below/more.py").write_text("")
    assert code_digest(tmp_path) != first


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_another_repository_is_pinned_nowhere(shop_of_code: Path, file: str) -> None:
    folder = shop_of_code / "bases/llama"
    workshop.edit_json(folder / file, auto_map={"AutoConfig": "some/body--own.OwnConfig"})
    base = Base("own", parse_source("hf:a/b"), ONE, trust_remote_code=True)
    with pytest.raises(BaseModelError, match=r"names code of another repository \(some/body--own"):
        check_trusted_code(base, folder)
    done = tool(shop_of_code, "base", "add", "own", "path:bases/llama", "--trust-remote-code")
    assert done.returncode == 1
    assert "some/body--own.OwnConfig" in done.stderr
    assert "own" not in Registry.open(shop_of_code).base_names()


def test_trust_without_a_pin_is_a_broken_registry(shop: Path) -> None:
    text = (shop / "registry.toml").read_text()
    (shop / "registry.toml").write_text(
        text.replace("[bases.llama]\n", "[bases.llama]\ntrust_remote_code = true\n")
    )
    with pytest.raises(RegistryError, match="needs `code`, the digest of the code in path:bases/"):
        Registry.open(shop).base("llama")
    (shop / "registry.toml").write_text(
        text.replace("[bases.llama]\n", "[bases.llama]\ntrust_remote_code = 1\n")
    )
    with pytest.raises(RegistryError, match="trust_remote_code: must be true or false, not 1"):
        Registry.open(shop).base("llama")


def hub_registry(folder: Path) -> Registry:
    (folder / "registry.toml").write_text(
        "schema = 1\n\n[bases.own]\n"
        f'source = "hf:a/b"\nrevision = "{ONE}"\ntrust_remote_code = true\n'
    )
    return Registry.open(folder)


@pytest.mark.parametrize(("commit", "trust"), [(ONE, True), (OTHER, False)])
def test_only_the_pinned_commit_is_trusted(tmp_path: Path, commit: str, trust: bool) -> None:
    """An adapter trained at another commit has that one's code, which nobody has read here."""
    registry = hub_registry(tmp_path)
    record = {"base": {"name": "own", "source": "hf:a/b", "revision": commit}}
    found = base_of({}, record, tmp_path, registry)
    assert (found.name, found.revision, found.trust_remote_code) == ("own", commit, trust)
    moved = at_recorded_commit(registry.base("own"), {}, record)
    assert (moved.revision, moved.trust_remote_code) == (commit, trust)


def test_a_record_cannot_ask_for_trust(tmp_path: Path) -> None:
    table = {"name": "x", "source": "hf:c/d", "revision": ONE, "trust_remote_code": True}
    found = base_of({}, {"base": table}, tmp_path, hub_registry(tmp_path))
    assert found.trust_remote_code is False


def refusal(own: Path, reference: str) -> AdapterHubError:
    import torch

    registry = Registry.open(own)
    with pytest.raises(AdapterHubError) as caught:
        load(open_reference(parse_reference(reference), registry, load_catalog()), torch.float32)
    return caught.value


def test_trust_in_a_base_is_none_in_an_adapter_on_it(own: Path) -> None:
    """PEFT loads the tokenizer beside an adapter with the trust that the base was given."""
    trusted(own)
    adapter = own / "loose"
    (own / "adapters/sums/1").rename(adapter)
    (adapter / "adapter_hub.json").unlink()
    workshop.edit_json(adapter / "adapter_config.json", base_model_name_or_path="bases/llama")
    proof = own / "it-ran"
    (adapter / "own.py").write_text(f"open({str(proof)!r}, 'w')")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (adapter / name).write_bytes((own / "bases/llama" / name).read_bytes())
    workshop.edit_json(
        adapter / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "own.Mine"]}
    )
    text = (own / "registry.toml").read_text()
    (own / "registry.toml").write_text(
        text.replace('[bases.llama]\nsource = "path:bases/llama"', "")
    )
    told = refusal(own, str(adapter))
    assert "brings a tokenizer with code of its own (own.Mine)" in str(told)
    assert not proof.exists()
