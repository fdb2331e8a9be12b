"""Whether a version is what its recipe would make now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import workshop

from adapter_hub.loading.imports import import_adapter
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.training.status import adapter_status


def state(folder: Path, name: str = "sums") -> tuple[str, str]:
    registry = Registry.open(folder)
    told = adapter_status(registry, registry.adapter(name))
    assert told["name"] == name
    return told["state"], told["why"]


@pytest.mark.parametrize("name", ["sums", "conv", "talk"])
def test_a_fresh_version_is_current(trained: Path, name: str) -> None:
    assert state(trained, name) == ("current", "")


def test_a_recipe_without_a_version(shop: Path) -> None:
    workshop.add_to_registry(shop, '\n[adapters.sums]\nbase = "llama"\ndata = "rows.jsonl"\n')
    assert state(shop) == ("never trained", "")
    registry = Registry.open(shop)
    assert adapter_status(registry, registry.adapter("sums"))["version"] is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('base = "lama"\n', "base 'lama' is not in the registry"),
        ("", "its recipe names no base"),
    ],
)
def test_a_recipe_that_cannot_be_trained_says_why(shop: Path, line: str, why: str) -> None:
    workshop.add_to_registry(shop, f'\n[adapters.sums]\n{line}data = "rows.jsonl"\n')
    assert state(shop) == ("never trained", why)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("steps = 6", "steps = 7"),
        ('data = "rows.jsonl"', 'data = "shakespeare"'),
        ('source = "path:bases/llama"', 'source = "path:bases/gpt2"'),
        ('source = "path:bases/llama"', 'source = "path:bases/llama"\nrevision = "sha256:1"'),
    ],
)
def test_a_changed_recipe_or_base_is_stale(own: Path, old: str, new: str) -> None:
    path = own / "registry.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert state(own) == ("stale", "the recipe or its base changed after version 1")


def test_another_way_to_write_the_same_is_current(own: Path) -> None:
    path = own / "registry.toml"
    text = path.read_text()
    path.write_text(text.replace("learning_rate = 0.05", "learning_rate = 5e-2"))
    assert path.read_text() != text
    assert state(own) == ("current", "")


def test_a_base_that_is_gone_is_stale(own: Path) -> None:
    path = own / "registry.toml"
    path.write_text(path.read_text().replace("[bases.gpt2]", "[bases.gpt3]"))
    assert state(own, "conv") == ("stale", "base 'gpt2' is not in the registry")


def test_files_that_were_touched_are_modified(own: Path) -> None:
    workshop.flip_byte(own / "adapters/sums/1/adapter_model.safetensors")
    assert state(own) == ("modified", "version 1: adapter_model.safetensors was changed")
    (own / "adapters/sums/1/loss.png").unlink()
    assert "loss.png is missing" in state(own)[1]
    shutil.rmtree(own / "adapters/sums")
    assert state(own)[0] == "modified"


def test_an_import_has_no_recipe(own: Path) -> None:
    source = own / "adapters/sums/1"
    import_adapter(Registry.open(own), load_catalog(), source, "taken", None)
    assert state(own, "taken") == ("current", "imported; it has no recipe")
