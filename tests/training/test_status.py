"""Whether a version is what its recipe would make now."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import fakes
import pytest
import workshop

from adapter_hub.loading.folders import RECORD
from adapter_hub.loading.imports import import_adapter
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digest
from adapter_hub.training.status import adapter_status


def state(folder: Path, name: str = "sums") -> tuple[str, str]:
    registry = Registry.open(folder)
    told = adapter_status(registry, registry.adapter(name))
    assert told.name == name
    return told.state, told.why


def replace_in_registry(folder: Path, old: str, new: str) -> None:
    path = folder / "registry.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def forget(folder: Path, part: str) -> None:
    """Take a part out of the record of sums@1, as a person who means it would."""
    remember(folder, **{part: None})


def remember(folder: Path, **parts: Any) -> None:
    version = folder / "adapters/sums/1"
    before = file_digest(version / RECORD)
    workshop.edit_json(version / RECORD, **parts)
    registry = folder / "registry.toml"
    registry.write_text(registry.read_text().replace(before, file_digest(version / RECORD)))


@pytest.mark.parametrize("name", ["sums", "conv", "talk"])
def test_a_fresh_version_is_current(trained: Path, name: str) -> None:
    assert state(trained, name) == ("current", "")


def test_a_recipe_without_a_version(shop: Path) -> None:
    workshop.add_to_registry(shop, '\n[adapters.sums]\nbase = "llama"\ndata = "rows.jsonl"\n')
    assert state(shop) == ("never trained", "")
    registry = Registry.open(shop)
    assert adapter_status(registry, registry.adapter("sums")).version is None


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
    ("old", "new", "why"),
    [
        ("steps = 6", "steps = 7", "training.steps 6 → 7"),
        ('data = "rows.jsonl"', 'data = "shakespeare"', "data rows.jsonl → shakespeare"),
        ("steps = 6,", "", "training.steps 6 → unset"),
        (
            'method = "lora"',
            'method = "lora"\noptions = { r = 4 }',
            "options.r unset → 4",
        ),
        (
            'source = "path:bases/llama"',
            'source = "path:bases/gpt2"',
            "base.source path:bases/llama → path:bases/gpt2",
        ),
        (
            'source = "path:bases/llama"',
            'source = "path:bases/llama"\nrevision = "sha256:1"',
            "base.revision unset → sha256:1",
        ),
    ],
)
def test_a_changed_recipe_or_base_is_stale(own: Path, old: str, new: str, why: str) -> None:
    replace_in_registry(own, old, new)
    assert state(own) == ("stale", why)


def test_without_a_record_it_says_less(own: Path) -> None:
    """Such versions come from elsewhere, or from before there were records."""
    forget(own, "recipe")
    replace_in_registry(own, "steps = 6", "steps = 7")
    assert state(own) == ("stale", "the recipe or its base changed after version 1")


def test_data_with_other_content_is_stale(own: Path) -> None:
    path = own / "rows.jsonl"
    content = path.read_text()
    path.write_text(content.replace("Q: 7", "Q: 8"))
    assert state(own) == ("stale", "rows.jsonl has other content")
    registry = Registry.open(own)
    (change,) = adapter_status(registry, registry.adapter("sums")).changes
    assert (change.what, change.key, change.new) == ("data", "data", file_digest(path))
    path.write_text(content)
    assert state(own) == ("current", "")


def test_held_out_data_with_other_content_is_stale(own: Path) -> None:
    shutil.copy(own / "rows.jsonl", own / "more.jsonl")
    workshop.run_training(own, "sums", eval_data="more.jsonl", steps=1)
    assert state(own) == ("current", "")
    workshop.flip_byte(own / "more.jsonl")
    assert state(own) == ("stale", "more.jsonl has other content")


def test_what_cannot_be_told_is_not_stale(own: Path) -> None:
    (own / "rows.jsonl").rename(own / "away.jsonl")
    assert state(own) == ("current", "rows.jsonl is not here, so it may have changed")
    (own / "away.jsonl").rename(own / "rows.jsonl")
    forget(own, "data")
    assert state(own) == ("current", "rows.jsonl may have changed: its digest was not recorded")


def test_a_base_of_other_weights_is_stale(own: Path) -> None:
    workshop.flip_byte(own / "bases/llama/model.safetensors")
    assert state(own) == ("stale", "the weights of base llama changed")
    assert state(own, "conv")[0] == "current"
    shutil.rmtree(own / "bases/llama")
    assert state(own)[0] == "stale"
    assert "base llama cannot be read" in state(own)[1]


def test_another_version_of_a_plugin_is_stale(own: Path, site: fakes.Site) -> None:
    remember(own, plugins={"dist-words": "1.2"})
    assert state(own) == ("current", "dist-words 1.2 is not installed")
    site.install("words", "raise RuntimeError('status must not import it')")
    assert state(own) == ("current", "")
    remember(own, plugins={"dist-words": "1.1"})
    assert state(own) == ("stale", "dist-words 1.1 → 1.2")


def test_names_in_any_order_and_the_exit_code(
    own: Path, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own)
    assert hub("status", "--exit-code").code == 0
    replace_in_registry(own, "steps = 6", "steps = 7")
    done = hub("status", "talk", "sums", "talk", "--exit-code", "--json")
    assert (done.code, [each["name"] for each in done.json]) == (1, ["talk", "sums"])
    assert done.json[1]["changes"][0] == {
        "what": "recipe", "key": "training.steps", "old": 6, "new": 7, "text": "training.steps 6 → 7",
    }  # fmt: skip
    assert hub("status").code == 0


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
    assert state(own, "taken") == ("current", "imported or merged; it has no recipe")
