"""References opened, checked against their base, and loaded through PEFT."""

from __future__ import annotations

import json
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

from adapter_hub.errors import (
    AdapterHubError,
    BaseModelError,
    HubError,
    IncompatibleError,
    UnknownNameError,
    UsageError,
)
from adapter_hub.hookspecs import hookimpl
from adapter_hub.loading.adapters import Opened, load, open_reference
from adapter_hub.loading.folders import read_record
from adapter_hub.model import Base, Source, parse_reference
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.store import Registry

IDS = torch.tensor([[5, 9, 40, 41, 7, 30, 12]])


def opened(folder: Path, reference: str = "sums", catalog: Catalog | None = None) -> Opened:
    registry = Registry.open(folder) if (folder / "registry.toml").is_file() else None
    return open_reference(parse_reference(reference), registry, catalog or load_catalog())


def loaded(folder: Path, reference: str = "sums") -> tuple[Any, Any]:
    return load(opened(folder, reference), torch.float32)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits  # type: ignore[no-any-return]


def refusal(folder: Path, reference: str = "sums") -> AdapterHubError:
    """What opening and loading says; it must be one sentence, and exit with 5."""
    with pytest.raises(IncompatibleError) as caught:
        loaded(folder, reference)
    message = str(caught.value)
    assert caught.value.exit_code == 5
    assert "\n" not in message
    assert len(message) < 600
    return caught.value


def loose(own: Path) -> Path:
    """The version's folder as somebody else's: no digests in a registry, and no record."""
    folder = Path(shutil.copytree(own / "adapters/sums/1", own / "loose"))
    (folder / "adapter_hub.json").unlink()
    return folder


# --- what a reference means ----------------------------------------------------------------------


def test_a_version_of_the_registry(trained: Path) -> None:
    found = opened(trained, "sums@1")
    assert (found.base.name, found.version) == ("llama", 1)
    assert found.folder == trained / "adapters/sums/1"
    assert found.digest == opened(trained).digest
    assert found.record["style"] == "plain"
    assert found.config["base_model_name_or_path"] == "bases/llama"


def test_a_folder(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    found = opened(trained, "./adapters/sums/1")
    assert (found.base.name, found.version) == ("llama", None)
    assert found.digest == opened(trained).digest


def test_a_folder_without_a_registry(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    found = open_reference(parse_reference("./adapters/sums/1"), None, load_catalog())
    assert found.base_folder.resolve() == trained / "bases/llama"
    model, _ = load(found, torch.float32)
    assert torch.equal(logits(model), logits(loaded(trained)[0]))


def test_a_bare_base(trained: Path) -> None:
    found = opened(trained, "base:llama")
    assert (found.folder, found.version, found.digest) == (None, None, None)
    model, tokenizer = load(found, torch.float32)
    assert not model.training
    assert tokenizer.pad_token == "<|pad|>"


@pytest.mark.parametrize(
    ("reference", "error", "words"),
    [
        ("summs", UnknownNameError, r"no adapter 'summs' \(did you mean 'sums'\?\)"),
        ("sums@2", UnknownNameError, "has no version or alias '2'; it has 1"),
        ("base:gone", UnknownNameError, "no base 'gone'"),
        ("./gone", UsageError, "there is no folder gone"),
        ("./bases/llama", UsageError, "has no adapter_config.json, so it is not a PEFT adapter"),
        ("hf:nobody/nothing", HubError, "hf:nobody/nothing cannot be fetched: "),
    ],
)
def test_a_reference_to_nothing(
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    reference: str,
    error: type[AdapterHubError],
    words: str,
) -> None:
    monkeypatch.chdir(trained)
    with pytest.raises(error, match=words):
        opened(trained, reference)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["adapter_config.json"], "has no adapter_model.safetensors"),
        (["adapter_config.json", "adapter_model.bin"], "has only adapter_model.bin, a pickle"),
    ],
)
def test_a_folder_without_safetensors(own: Path, files: list[str], words: str) -> None:
    folder = own / "loose"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}")
    with pytest.raises(UsageError, match=words):
        opened(own, str(folder))


def test_a_folder_whose_base_is_not_named(own: Path) -> None:
    folder = loose(own)
    workshop.edit_json(folder / "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(BaseModelError, match="does not name its base"):
        opened(own, str(folder))


def test_a_folder_whose_base_is_nowhere(own: Path) -> None:
    folder = loose(own)
    workshop.edit_json(folder / "adapter_config.json", base_model_name_or_path="./gone")
    with pytest.raises(BaseModelError, match=r"there is no folder .*gone"):
        opened(own, str(folder))
    workshop.edit_json(folder / "adapter_config.json", base_model_name_or_path="nobody/nothing")
    with pytest.raises(BaseModelError, match="is not in the cache"):
        opened(own, str(folder))


def test_the_recipe_may_have_moved_to_another_base(own: Path) -> None:
    before = logits(loaded(own)[0])
    registry = own / "registry.toml"
    text = registry.read_text().replace(
        '[adapters.sums]\nbase = "llama"', '[adapters.sums]\nbase = "gpt2"'
    )
    assert text != registry.read_text()
    registry.write_text(text)
    assert opened(own).base.name == "llama"
    assert torch.equal(logits(loaded(own)[0]), before)


def hub_base(own: Path, revision: str, name: str = "far") -> None:
    with (own / "registry.toml").open("a") as file:
        file.write(f'\n[bases.{name}]\nsource = "hf:some/far"\nrevision = "{revision}"\n')


def test_a_re_pinned_hub_base_is_taken_at_the_recorded_revision(
    own: Path, monkeypatch: Any
) -> None:
    asked: list[Base] = []

    def found(base: Base, catalog: Catalog, root: Path) -> Path:
        asked.append(base)
        return own / "bases/llama"

    monkeypatch.setattr("adapter_hub.loading.adapters.base_folder", found)
    folder = loose(own)
    hub_base(own, "a" * 40)
    hub_base(own, "c" * 40, "farther")
    told = {"name": "old-name", "source": "hf:some/far", "revision": "b" * 40}
    for revision, name in (("b" * 40, "far"), ("c" * 40, "farther")):
        told["revision"] = revision
        (folder / "adapter_hub.json").write_text(json.dumps({"base": told}))
        expected = Base(name, Source("hf", "some/far"), revision)
        assert opened(own, str(folder)).base == expected == asked[-1]


def test_a_name_in_a_record_from_elsewhere_proves_nothing(own: Path) -> None:
    folder = loose(own)
    told = {"name": "llama", "source": "hf:some/far", "revision": "b" * 40}
    (folder / "adapter_hub.json").write_text(json.dumps({"base": told}))
    with pytest.raises(BaseModelError, match=r"\(hf:some/far\) is not in the cache"):
        opened(own, str(folder))


def test_a_local_base_that_moved_is_found_again(own: Path) -> None:
    (own / "bases/llama").rename(own / "bases/moved")
    registry = own / "registry.toml"
    text = registry.read_text().replace('"path:bases/llama"', '"path:bases/moved"')
    registry.write_text(text)
    assert opened(own).base.name == "llama"
    pinned = read_record(own / "adapters/sums/1")["base"]["identity"]["weights"]
    registry.write_text(text.replace("[bases.llama]", f'[bases.renamed]\nrevision = "{pinned}"'))
    assert opened(own).base.name == "renamed"
    assert opened(own).base_folder == own / "bases/moved"


# --- what comes into memory ----------------------------------------------------------------------


PLAIN_SCRIPT = f"""
import sys, torch
from peft import AutoPeftModelForCausalLM
for name in ("sums", "conv", "talk"):
    model = AutoPeftModelForCausalLM.from_pretrained(f"adapters/{{name}}/1", dtype=torch.float32)
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor({IDS.tolist()})).logits
    torch.save(logits, f"{{sys.argv[1]}}/{{name}}.pt")
"""


@pytest.fixture(scope="module")
def plain(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a plain PEFT script in the registry's folder makes of the versions."""
    folder = tmp_path_factory.mktemp("plain")
    command = [sys.executable, "-c", PLAIN_SCRIPT, str(folder)]
    done = subprocess.run(command, cwd=trained, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", ["sums", "conv", "talk"])
def test_it_is_what_plain_peft_loads(trained: Path, plain: Path, name: str) -> None:
    model, _ = loaded(trained, name)
    assert not model.training
    assert torch.equal(torch.load(plain / f"{name}.pt"), logits(model))
    base, _ = loaded(trained, f"base:{opened(trained, name).base.name}")
    assert not torch.allclose(logits(base), logits(model), atol=1e-2)


@pytest.mark.filterwarnings("ignore::UserWarning")  # PEFT tells that it does so, and of tied layers
@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
def test_an_embedding_that_plain_peft_saved_whole(own: Path, target: str) -> None:
    """PEFT saves what it adapts there beside the adapter's weights, as ``base_layer``."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(own / "bases/llama")
    config = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", target])
    get_peft_model(base, config).save_pretrained(own / "whole")
    workshop.edit_json(
        own / "whole/adapter_config.json", base_model_name_or_path=str(own / "bases/llama")
    )
    assert f"{target}.base_layer.weight" in str(
        sorted(load_file(own / "whole/adapter_model.safetensors"))
    )
    model, _ = loaded(own, str(own / "whole"))
    bare, _ = loaded(own, "base:llama")
    torch.testing.assert_close(logits(model), logits(bare))  # untrained, it changes nothing


@pytest.mark.parametrize("reference", ["sums", "base:llama"])
def test_the_model_is_put_where_it_computes(
    trained: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    """The meta device stands for a GPU: it is everywhere."""
    monkeypatch.setattr("adapter_hub.loading.adapters.choose_device", lambda: "meta")
    model, _ = loaded(trained, reference)
    assert model.device.type == "meta"
    assert {each.device.type for each in model.parameters()} == {"meta"}


def test_a_tokenizer_in_the_version_is_used(own: Path) -> None:
    folder = loose(own)
    for path in (own / "bases/llama").glob("tokenizer*"):
        shutil.copy(path, folder)
    workshop.edit_json(folder / "tokenizer_config.json", pad_token="<|im_end|>")
    assert loaded(own, str(folder))[1].pad_token == "<|im_end|>"
    assert loaded(own)[1].pad_token == "<|pad|>"


def test_nothing_is_left_behind_and_nothing_changed(own: Path, monkeypatch: Any) -> None:
    temporary = own / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before = {path: path.read_bytes() for path in (own / "adapters").rglob("*") if path.is_file()}
    loaded(own)
    assert list(temporary.iterdir()) == []
    after = {path: path.read_bytes() for path in (own / "adapters").rglob("*") if path.is_file()}
    assert after == before


# --- another base than it was trained on ---------------------------------------------------------


def replace_base(own: Path, other: Path) -> None:
    shutil.rmtree(own / "bases/llama")
    shutil.copytree(other, own / "bases/llama")


@pytest.mark.parametrize(
    ("other", "differ"),
    [
        ("other", "the weights differ"),
        ("short", "the configuration and the weights differ"),
        ("chatty", "the configuration and the chat template differ"),
    ],
)
def test_another_base_is_refused(
    own: Path, bases: dict[str, Path], other: str, differ: str
) -> None:
    replace_base(own, bases[other])
    if other == "chatty":
        # A template that was not there when it was trained says nothing about the weights.
        differ = "the configuration differ"
    told = refusal(own)
    assert f"sums was trained on another base than 'llama' is now: {differ}" in str(told)
    assert told.hint == "adapter-hub base show llama"


def test_a_folder_with_a_record_refuses_another_base_too(own: Path, bases: dict[str, Path]) -> None:
    replace_base(own, bases["other"])
    told = refusal(own, str(own / "adapters/sums/1"))
    assert "was trained on another base than 'llama' is now: the weights differ" in str(told)


def test_a_flipped_byte_in_the_base_is_refused(own: Path) -> None:
    workshop.flip_byte(own / "bases/llama/model.safetensors")
    assert "the weights differ" in str(refusal(own))


def test_a_changed_template_is_refused(own: Path) -> None:
    template = own / "bases/chatty/chat_template.jinja"
    assert template.is_file()
    template.write_text("{{ messages }}")
    assert "the chat template differ" in str(refusal(own, "talk"))


def test_a_base_with_fewer_layers_is_refused_without_a_record(
    own: Path, bases: dict[str, Path]
) -> None:
    folder = loose(own)
    replace_base(own, bases["short"])
    told = refusal(own, str(folder))
    assert "4 of its weights have no place in base 'llama', such as " in str(told)


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "README.md"])
def test_a_flipped_byte_in_a_version_is_refused(own: Path, name: str) -> None:
    workshop.flip_byte(own / "adapters/sums/1" / name)
    told = refusal(own)
    assert f"sums@1 is not what was recorded: {name} was changed." in str(told)
    assert "adapter-hub train sums" in str(told.hint)


def test_a_missing_or_strange_file_in_a_version_is_refused(own: Path) -> None:
    (own / "adapters/sums/1/loss.png").rename(own / "adapters/sums/1/gain.png")
    assert "loss.png is missing; gain.png does not belong to it" in str(refusal(own))
    shutil.rmtree(own / "adapters/sums/1")
    assert "is missing" in str(refusal(own))


def test_cut_weights_are_refused(own: Path) -> None:
    folder = loose(own)
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "does not fit base 'llama': " in str(refusal(own, str(folder)))


def test_weights_of_other_shapes_are_refused_in_one_sentence(own: Path) -> None:
    folder = loose(own)
    workshop.edit_json(folder / "adapter_config.json", r=4)
    told = str(refusal(own, str(folder)))
    rank = "its configuration says rank 4 and its weights have rank 8, for 4 modules, such as"
    assert f"does not fit base 'llama': {rank} model.layers.0." in told


def test_modules_that_are_not_in_the_base_are_refused(own: Path) -> None:
    folder = loose(own)
    workshop.edit_json(folder / "adapter_config.json", target_modules=["nope"])
    assert "the base has none of its target_modules: nope" in str(refusal(own, str(folder)))


def test_a_module_that_matches_nothing_beside_one_that_does_is_refused(own: Path) -> None:
    folder = loose(own)
    workshop.edit_json(folder / "adapter_config.json", target_modules=["q_proj", "nope"])
    told = str(refusal(own, str(folder)))
    assert "4 of its weights have no place in base 'llama', such as " in told
    assert "v_proj" in told


def test_modules_without_saved_weights_are_refused(own: Path) -> None:
    folder = loose(own)
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    kept = {name: each for name, each in weights.items() if "layers.1" not in name}
    save_file(kept, path, metadata={"format": "pt"})
    told = str(refusal(own, str(folder)))
    assert "4 of its weights are missing for base 'llama', such as " in told


@pytest.mark.parametrize(
    "values", [{"r": "eight"}, {"task_type": None}, {"peft_type": "IA3"}, {"lora_alpha": None}]
)
@pytest.mark.filterwarnings("ignore:Unexpected keyword arguments")
def test_a_config_that_breaks_peft_is_refused(own: Path, values: dict[str, Any]) -> None:
    folder = loose(own)
    workshop.edit_json(folder / "adapter_config.json", **values)
    refusal(own, str(folder))


@pytest.mark.parametrize(
    "record", [{"base": "llama"}, {"base": {"identity": []}}, {"method": 3, "base": None}]
)
def test_a_record_that_makes_no_sense_is_as_good_as_none(own: Path, record: Any) -> None:
    folder = loose(own)
    (folder / "adapter_hub.json").write_text(json.dumps(record))
    assert read_record(folder) == record
    model, _ = loaded(own, str(folder))
    assert torch.equal(logits(model), logits(loaded(own)[0]))


# --- methods -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "hint"),
    [
        (
            {"method": {"distribution": "adapter-hub-marvel"}},
            "pip install adapter-hub-marvel",
        ),
        ({"method": {"distribution": "built in"}}, "adapter-hub methods"),
        ({"method": "?"}, "adapter-hub methods"),
        ({}, "adapter-hub methods"),
    ],
)
def test_a_method_that_nobody_knows_is_refused(own: Path, record: Any, hint: str) -> None:
    folder = loose(own)
    workshop.edit_json(folder / "adapter_config.json", peft_type="MARVEL")
    (folder / "adapter_hub.json").write_text(json.dumps(record))
    told = refusal(own, str(folder))
    assert "was made with the method MARVEL, which nothing here offers." in str(told)
    assert told.hint == hint


def test_a_plugin_s_method_is_made_known_to_peft(own: Path, monkeypatch: Any) -> None:
    """The module that a factory names is what tells PEFT about a new type."""
    (own / "marvel_method.py").write_text("made = []\ndef build():\n    return None\n")
    monkeypatch.syspath_prepend(str(own))
    module = ModuleType("marvel")

    def register_methods(register: Any) -> None:
        register("marvel", "marvel_method:build", peft_type="MARVEL")

    module.register_methods = hookimpl(register_methods)  # type: ignore[attr-defined]
    catalog = load_catalog()
    catalog.add_plugin(module, "marvel", "adapter-hub-marvel", "1")
    folder = loose(own)
    workshop.edit_json(folder / "adapter_config.json", peft_type="MARVEL")
    opened(own, str(folder), catalog)
    assert "marvel_method" in sys.modules
