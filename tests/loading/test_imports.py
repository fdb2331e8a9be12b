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
from adapter_hub.loading.recorded import base_of
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
    told = [(each["event"], each["adapter"]) for each in workshop.journal(own)]
    assert told[0] == ("train", "sums")
    assert told[-3:] == [("import", "taken"), ("import", "taken"), ("import", "sums")]


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
    (source / "adapter_hub.json").unlink()
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
        "adapter_hub.json",
        "adapter_model.safetensors",
        "loss.png",
    }


# --- the base that was said ----------------------------------------------------------------------


def from_elsewhere(own: Path, record: dict[str, Any] | None = None) -> Path:
    """The sums adapter as a folder whose config names a base that is nowhere here."""
    source = own / "loose"
    shutil.copytree(own / "adapters/sums/1", source)
    (source / "adapter_hub.json").unlink()
    if record is not None:
        (source / "adapter_hub.json").write_text(json.dumps(record))
    workshop.edit_json(
        source / "adapter_config.json", base_model_name_or_path="some/elsewhere-base"
    )
    return source


def record_of(own: Path, name: str = "taken") -> Any:
    return json.loads((own / "adapters" / name / "1/adapter_hub.json").read_text())


def opened(own: Path, reference: str = "taken") -> Any:
    return open_reference(parse_reference(reference), Registry.open(own), load_catalog())


def test_the_base_that_was_said_is_the_one_it_runs_on(own: Path) -> None:
    take(own, from_elsewhere(own), base="llama")
    found = opened(own)
    assert (found.base.name, str(found.base.source)) == ("llama", "path:bases/llama")
    load(found, torch.float32)
    record = record_of(own)
    assert record["imported"] is True
    told = record_of(own, "sums")["base"]
    assert {**record["base"], "revision": told["revision"]} == told
    assert str(own) not in (own / "adapters/taken/1/adapter_hub.json").read_text()


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (None, "lora"),
        ({"name": "mine", "peft_type": "LORA"}, "mine"),
        ({"name": "mine", "peft_type": "IA3"}, "lora"),
        ("?", "lora"),
    ],
)
def test_the_method_is_written_down(own: Path, told: Any, name: str) -> None:
    take(own, from_elsewhere(own, {} if told is None else {"method": told}), base="llama")
    method = record_of(own)["method"]
    assert (method["name"], method["peft_type"]) == (name, "LORA")


def test_an_imported_version_refuses_another_base(own: Path, bases: dict[str, Path]) -> None:
    take(own, from_elsewhere(own), base="llama")
    shutil.rmtree(own / "bases/llama")
    shutil.copytree(bases["other"], own / "bases/llama")
    with pytest.raises(IncompatibleError, match="was trained on another base than 'llama' is now"):
        opened(own)


def test_a_record_that_says_the_same_stays_as_it_is(own: Path) -> None:
    source = own / "adapters/sums/1"
    take(own, source, base="llama")
    assert (own / "adapters/taken/1/adapter_hub.json").read_bytes() == (
        source / "adapter_hub.json"
    ).read_bytes()


def test_a_record_of_the_same_base_elsewhere_keeps_the_rest(own: Path) -> None:
    record = record_of(own, "sums")
    record["base"]["source"], record["base"]["name"] = "path:/home/somebody/llama", "theirs"
    take(own, from_elsewhere(own, record), base="llama")
    found = record_of(own)
    assert (found["base"]["name"], found["base"]["source"]) == ("llama", "path:bases/llama")
    assert found["losses"] == record["losses"]
    assert opened(own).base.name == "llama"


def test_a_hub_base_that_is_not_here_can_be_said_without_fetching_it(own: Path) -> None:
    with (own / "registry.toml").open("a") as file:
        file.write(f'\n[bases.far]\nsource = "hf:some/far-base"\nrevision = "{"a" * 40}"\n')
    take(own, from_elsewhere(own), base="far")
    told = record_of(own)["base"]
    assert (told["source"], told["revision"]) == ("hf:some/far-base", "a" * 40)
    assert told["identity"] == {}


def test_a_commit_that_the_config_names_is_kept(own: Path) -> None:
    with (own / "registry.toml").open("a") as file:
        file.write(f'\n[bases.far]\nsource = "hf:some/elsewhere-base"\nrevision = "{"a" * 40}"\n')
    source = from_elsewhere(own)
    workshop.edit_json(source / "adapter_config.json", revision="b" * 40)
    assert take(own, source, "one", base="far")["base"] == "far"
    assert take(own, source, "two")["base"] == "far"
    for name in ("one", "two"):
        assert record_of(own, name)["base"]["revision"] == "b" * 40


def test_of_two_pins_of_one_source_the_said_one_is_taken(own: Path) -> None:
    with (own / "registry.toml").open("a") as file:
        for name, digit in (("far", "a"), ("farther", "b")):
            source = 'source = "hf:some/elsewhere-base"'
            file.write(f'\n[bases.{name}]\n{source}\nrevision = "{digit * 40}"\n')
    source = from_elsewhere(own)
    for name in ("far", "farther"):
        take(own, source, f"on-{name}", base=name)
        assert record_of(own, f"on-{name}")["base"]["name"] == name
        found = base_of({}, record_of(own, f"on-{name}"), source, Registry.open(own))
        assert found == Registry.open(own).base(name)


def test_a_recorded_name_that_means_another_base_here_does_not_count(own: Path) -> None:
    told = {"name": "llama", "source": "hf:some/elsewhere-base", "revision": "b" * 40}
    words = "names the base 'hf:some/elsewhere-base', which is not in the registry"
    refused(own, UnknownNameError, words, from_elsewhere(own, {"base": told}))


def test_a_base_that_is_said_needs_no_other_word(own: Path) -> None:
    source = from_elsewhere(own, {"base": {"source": "nonsense"}})
    workshop.edit_json(source / "adapter_config.json", base_model_name_or_path=None)
    take(own, source, base="llama")
    assert opened(own).base.name == "llama"


# --- links ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["README.md", "adapter_config.json", "adapter_hub.json"])
def test_a_link_out_of_the_folder_is_refused(own: Path, name: str) -> None:
    source = own / "loose"
    shutil.copytree(own / "adapters/sums/1", source)
    (source / name).rename(own / "secret")
    (source / name).symlink_to(own / "secret")
    words = rf"{name} is a link to a file outside the folder"
    refused(own, UsageError, words, source)
    refused(own, UsageError, words, Path(source.rename(own / ("a" * 40))))


def test_links_inside_the_folder_and_to_it_are_followed(own: Path) -> None:
    shutil.copytree(own / "adapters/sums/1", own / "loose")
    (own / "loose/README.md").rename(own / "loose/about.md")
    (own / "loose/README.md").symlink_to("about.md")
    (own / "link").symlink_to("loose")
    assert "README.md" in take(own, own / "link")["files"]


def cached(own: Path, repo: str) -> Path:
    """The sums adapter as the Hugging Face cache keeps it: links into the repository's blobs."""
    snapshot = own / "hub" / repo / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (own / "hub" / repo / "blobs").mkdir()
    for path in (own / "adapters/sums/1").iterdir():
        shutil.copy(path, own / "hub" / repo / "blobs" / path.name)
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    return snapshot


def test_a_snapshot_of_the_cache_may_link_into_its_own_blobs(own: Path) -> None:
    snapshot = cached(own, "models--me--sums")
    cached(own, "models--me--other")
    assert len(take(own, snapshot)["files"]) == 5
    assert not (own / "adapters/taken/1/README.md").is_symlink()
    (snapshot / "README.md").unlink()
    (snapshot / "README.md").symlink_to("../../../models--me--other/blobs/README.md")
    with pytest.raises(UsageError, match=r"README\.md is a link to a file outside"):
        take(own, snapshot)
