"""Adapters that something else saved, taken over."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import workshop

from adapter_hub.errors import IncompatibleError, UnknownNameError, UsageError
from adapter_hub.loading.adapters import load, open_reference
from adapter_hub.loading.imports import import_adapter
from adapter_hub.model import parse_reference
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry

PLAIN_SCRIPT = """
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
torch.manual_seed(0)
for base in ("llama", "gpt2"):
    model = AutoModelForCausalLM.from_pretrained(f"./bases/{base}")
    config = LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False)
    model = get_peft_model(model, config)
    model.save_pretrained(f"from-{base}")
    AutoTokenizer.from_pretrained(f"bases/{base}").save_pretrained(f"from-{base}")
    torch.save({"optimizer": 1}, f"from-{base}/optimizer.pt")
    with torch.no_grad():
        torch.save(model.eval()(input_ids=torch.tensor([[5, 9, 40]])).logits, f"{base}.pt")
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, bases: dict[str, Path]) -> Path:
    """A workshop where a plain PEFT script has saved adapters of two bases."""
    shop = workshop.make_workshop(tmp_path_factory.mktemp("plain"), bases, "llama", "gpt2")
    command = [sys.executable, "-c", PLAIN_SCRIPT]
    subprocess.run(command, cwd=shop, check=True, capture_output=True)
    return shop


def take(folder: Path, source: Path, name: str = "taken", base: str | None = None) -> Any:
    return import_adapter(Registry.open(folder), load_catalog(), source, name, base)


@pytest.mark.parametrize("base", ["llama", "gpt2"])
def test_what_a_plain_script_saved_runs(plain: Path, base: str, monkeypatch: Any) -> None:
    shop, name = plain, f"taken-{base}"
    monkeypatch.chdir(shop)
    told = take(shop, shop / f"from-{base}", name)
    assert (told["name"], told["version"], told["base"]) == (name, 1, base)
    registry = Registry.open(shop)
    adapter = registry.adapter(name)
    assert (adapter.recipe.base, adapter.recipe.method) == (base, "lora")
    assert dict(adapter.versions[1].files) == told["files"]
    assert "optimizer.pt" not in told["files"]
    assert told["path"] == str(shop / "adapters" / name / "1")
    opened = open_reference(parse_reference(name), registry, load_catalog())
    model, _ = load(opened, torch.float32)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[5, 9, 40]])).logits
    assert torch.allclose(logits, torch.load(shop / f"{base}.pt"), atol=1e-5)


def test_a_second_import_is_a_second_version(own: Path) -> None:
    source = own / "adapters/sums/1"
    assert take(own, source)["version"] == 1
    assert take(own, source)["version"] == 2
    assert take(own, source, "sums")["version"] == 2
    registry = Registry.open(own)
    assert registry.adapter("sums").recipe.data == "rows.jsonl"
    assert registry.adapter("taken").recipe.data is None


def test_its_record_and_its_metrics_come_along(own: Path) -> None:
    source = own / "adapters/sums/1"
    take(own, source)
    metrics = Registry.open(own).adapter("taken").versions[1].metrics
    assert metrics == json.loads((source / "adapter_hub.json").read_text())["metrics"]
    assert metrics


def test_metrics_that_are_no_numbers_stay_behind(own: Path) -> None:
    source = own / "loose"
    shutil.copytree(own / "adapters/sums/1", source)
    workshop.edit_json(
        source / "adapter_hub.json", metrics={"a": 1, "b": "x", "c": None, "d": float("nan")}
    )
    take(own, source)
    assert Registry.open(own).adapter("taken").versions[1].metrics == {"a": 1.0}


def refused(own: Path, error: type[Exception], words: str, source: Path, **how: Any) -> None:
    before = (own / "registry.toml").read_bytes()
    with pytest.raises(error, match=words):
        take(own, source, **how)
    assert (own / "registry.toml").read_bytes() == before
    assert not list((own / "adapters/taken").glob("*")), "nothing may be left behind"


def test_a_pickle_is_refused(own: Path) -> None:
    source = own / "loose"
    shutil.copytree(own / "adapters/sums/1", source)
    (source / "adapter_model.safetensors").rename(source / "adapter_model.bin")
    refused(own, UsageError, r"has only adapter_model\.bin, a pickle that can run code", source)


def test_what_is_no_adapter_is_refused(own: Path) -> None:
    refused(own, UsageError, "there is no folder", own / "gone")
    refused(own, UsageError, r"has no adapter_config\.json", own / "bases/llama")


def test_a_bad_name_is_refused(own: Path) -> None:
    refused(own, UsageError, "cannot name an adapter", own / "adapters/sums/1", name="a/b")


def test_a_base_that_the_registry_does_not_know_is_refused(own: Path) -> None:
    source = own / "loose"
    shutil.copytree(own / "adapters/sums/1", source)
    workshop.edit_json(source / "adapter_config.json", base_model_name_or_path="meta/llama")
    words = "names the base 'meta/llama', which is not in the registry"
    refused(own, UnknownNameError, words, source)
    assert take(own, source, base="llama")["base"] == "llama"


def test_another_base_than_it_was_trained_on_is_refused(own: Path) -> None:
    words = "was trained on another base than 'gpt2': the configuration and the weights differ"
    refused(own, IncompatibleError, words, own / "adapters/sums/1", base="gpt2")


def test_a_folder_that_is_not_whole_leaves_nothing(own: Path) -> None:
    source = own / "loose"
    shutil.copytree(own / "adapters/sums/1", source)
    (source / "adapter_hub.json").unlink()
    (source / "adapter_hub.json").mkdir()
    (source / "README.md").unlink()
    assert set(take(own, source)["files"]) == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "loss.png",
    }
