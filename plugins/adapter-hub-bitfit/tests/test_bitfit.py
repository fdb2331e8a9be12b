"""A method that PEFT does not have: trained, run, imported, merged, and loaded by plain PEFT."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import adapter_hub_bitfit
import pytest
import torch
from adapter_hub_bitfit.tuner import BitFitConfig
from peft import AutoPeftModelForCausalLM, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from adapter_hub.errors import IncompatibleError, OptionError
from adapter_hub.generation.generate import generate
from adapter_hub.loading.imports import import_adapter
from adapter_hub.plugins import Catalog
from adapter_hub.registry.store import Registry
from adapter_hub.testing import (
    assert_method_round_trips,
    catalog_with,
    check_plugin,
    logits_of,
    run_training,
)

pytest_plugins = ["adapter_hub.testing"]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return catalog_with(adapter_hub_bitfit)


@pytest.fixture
def shop(tiny_registry: Registry) -> Path:
    return tiny_registry.folder


def train(shop: Path, catalog: Catalog, **how: Any) -> Any:
    return run_training(shop, "biases", method="bitfit", catalog=catalog, **how)


def test_it_is_a_plugin_as_the_kit_wants_it() -> None:
    check_plugin(adapter_hub_bitfit)


def test_it_round_trips(tiny_bases: dict[str, Path]) -> None:
    for base in (tiny_bases["llama"], tiny_bases["gpt2"]):
        assert_method_round_trips("bitfit", plugin=adapter_hub_bitfit, base=base)


@pytest.mark.parametrize("base", ["llama", "gpt2"])
def test_it_learns_and_only_biases_are_saved(shop: Path, catalog: Catalog, base: str) -> None:
    result = train(shop, catalog, base=base)
    assert result.eval_loss < result.base_eval_loss
    weights = load_file(shop / "adapters/biases/1/adapter_model.safetensors")
    assert all(name.endswith("bitfit_bias") and each.ndim == 1 for name, each in weights.items())
    assert sum(each.numel() for each in weights.values()) == result.trainable_parameters


def test_the_registry_runs_it(shop: Path, catalog: Catalog) -> None:
    train(shop, catalog)
    answers = generate(
        "biases", "Q: 1 plus one?\nA:", registry=Registry.open(shop), catalog=catalog
    )
    assert (answers.version, answers.base) == (1, "llama")


def test_plain_peft_loads_it_once_the_tuner_is_imported(shop: Path, catalog: Catalog) -> None:
    train(shop, catalog)
    code = (
        "import sys\n"
        "from peft import AutoPeftModelForCausalLM\n"
        "if 'with' in sys.argv: import adapter_hub_bitfit.tuner\n"
        "model = AutoPeftModelForCausalLM.from_pretrained('adapters/biases/1')\n"
        "print(sum(each.numel() for name, each in model.named_parameters() if 'bitfit' in name))\n"
    )
    path = str(Path(adapter_hub_bitfit.__file__).parents[1])

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    done = run("with")
    assert int(done.stdout) > 0, done.stderr
    assert "KeyError" in run().stderr


def test_without_the_plugin_its_distribution_is_named(shop: Path, catalog: Catalog) -> None:
    train(shop, catalog)
    code = "from adapter_hub.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "biases", "Q:"], capture_output=True, text=True
    )
    assert done.returncode == 5
    assert "was made with the method BITFIT, which nothing here offers" in done.stderr
    assert "pip install adapter-hub-bitfit" in done.stderr


def test_a_folder_of_plain_peft_is_imported(shop: Path, catalog: Catalog) -> None:
    model = AutoModelForCausalLM.from_pretrained("bases/llama")
    get_peft_model(model, BitFitConfig(task_type="CAUSAL_LM")).save_pretrained("plain")
    registry = Registry.open(shop)
    import_adapter(registry, catalog, shop / "plain", "mine", "llama")
    assert registry.adapter("mine").recipe.method == "bitfit"
    assert generate("mine", "Q:", registry=registry, catalog=catalog).version == 1


def test_it_merges_where_there_are_biases(shop: Path, catalog: Catalog) -> None:
    train(shop, catalog, base="gpt2", options={"exclude_modules": ["lm_head"]})
    model = AutoPeftModelForCausalLM.from_pretrained("adapters/biases/1")
    before = logits_of(model)
    base = logits_of(AutoModelForCausalLM.from_pretrained("bases/gpt2"))
    assert not torch.allclose(before, base)
    with model.disable_adapter():
        torch.testing.assert_close(logits_of(model), base)
    model.merge_adapter()
    torch.testing.assert_close(logits_of(model), before)
    model.unmerge_adapter()
    torch.testing.assert_close(logits_of(model), before)
    merged = model.merge_and_unload()
    torch.testing.assert_close(logits_of(merged), before)


def test_it_says_where_it_cannot_be_merged(shop: Path, catalog: Catalog) -> None:
    train(shop, catalog)
    model = AutoPeftModelForCausalLM.from_pretrained("adapters/biases/1")
    with pytest.raises(ValueError, match="the base has no biases"):
        model.merge_and_unload()


def test_other_layers_are_refused(shop: Path, catalog: Catalog) -> None:
    with pytest.raises(OptionError, match="is a Embedding, not a linear layer"):
        train(shop, catalog, options={"target_modules": ["embed_tokens"]})


def test_options_are_those_of_the_method(catalog: Catalog) -> None:
    names = [each.name for each in catalog.find("method", "bitfit").options()]
    assert names == ["target_modules", "exclude_modules"]


def test_a_damaged_one_is_refused(shop: Path, catalog: Catalog) -> None:
    train(shop, catalog)
    weights = shop / "adapters/biases/1/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(IncompatibleError):
        generate("biases", "Q:", registry=Registry.open(shop), catalog=catalog)
