"""diff: what differs of recipe, options, data, metrics and provenance, from files of all kinds."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workshop import edit_json, run_training

from adapter_hub.errors import BaseModelError, UsageError
from adapter_hub.loading.diff import diff
from adapter_hub.loading.folders import CONFIG, RECORD, WEIGHTS
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import version_digest


@pytest.fixture(scope="session")
def pair(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workshop in which ``sums`` was trained twice, by two recipes. To look at only."""
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("pair") / "shop"))
    options = {"r": 3, "use_rslora": True}
    run_training(folder, "sums", options=options, steps=8, eval_fraction=0.2)
    return folder


def told(folder: Path, one: str, other: str) -> dict[str, Any]:
    return diff(one, other, registry=Registry.open(folder))


def section(found: dict[str, Any], name: str) -> dict[str, tuple[Any, Any]]:
    return {each["key"]: (each["a"], each["b"]) for each in found[name]}


def test_two_versions_of_one_adapter(pair: Path) -> None:
    found = told(pair, "sums@1", "sums")
    versions = Registry.open(pair).adapter("sums").versions
    for side, number in (("a", 1), ("b", 2)):
        head = found[side]
        assert (head["name"], head["version"]) == ("sums", number)
        assert head["reference"] == f"sums@{number}"
        assert head["digest"] == version_digest(versions[number].files)
        assert head["recorded"] is True
    assert section(found, "recipe")["training.steps"] == (6, 8)
    assert section(found, "options") == {"r": (8, 3), "use_rslora": (False, True)}
    metrics = section(found, "metrics")
    assert metrics["train_loss"] == tuple(versions[n].metrics["train_loss"] for n in (1, 2))
    provenance = section(found, "provenance")
    assert provenance["steps"] == (6, 8)
    assert not [key for key in provenance if key.startswith(("base", "packages"))]
    weights = found["weights"]
    assert weights["same_file"] is False
    assert {(each["rank_a"], each["rank_b"]) for each in weights["modules"]} == {(8, 3)}
    assert weights["total"]["delta"]["distance"] > 0


def test_another_base_data_and_environment(pair: Path, tmp_path: Path) -> None:
    here = Path(shutil.copytree(pair, tmp_path / "here"))
    record = here / "adapters/sums/2" / RECORD
    content = json.loads(record.read_text())
    content["data"]["fingerprint"] = "sha256:other"
    content["environment"]["packages"]["peft"] = "0.0"
    content["plugins"] = {"a-plugin": "1"}
    record.write_text(json.dumps(content))
    found = told(here, "conv", "sums@2")
    provenance = section(found, "provenance")
    assert provenance["base.source"] == ("path:bases/gpt2", "path:bases/llama")
    assert provenance["base.identity.weights"][0] != provenance["base.identity.weights"][1]
    assert provenance["packages.peft"][1] == "0.0"
    assert provenance["plugins.a-plugin"] == (None, "1")
    assert section(found, "data")["data.fingerprint"][1] == "sha256:other"
    assert found["weights"]["modules"] == []
    assert len(found["weights"]["only_in_a"]) == 2


def test_a_plain_peft_folder_tells_what_its_files_tell(pair: Path, tmp_path: Path) -> None:
    plain = Path(shutil.copytree(pair / "adapters/sums/1", tmp_path / "plain"))
    (plain / RECORD).unlink()
    found = told(pair, str(plain), "sums@2")
    assert found["a"]["recorded"] is False
    assert (found["a"]["name"], found["a"]["version"], found["a"]["digest"]) == (None, None, None)
    assert section(found, "options")["r"] == (8, 3)
    assert section(found, "recipe")["training.steps"] == (None, 8)
    assert "base.source" not in section(found, "provenance")
    assert "packages.peft" not in section(found, "provenance")
    assert found["weights"]["modules"]


def test_the_same_is_the_same(pair: Path) -> None:
    found = told(pair, "sums@1", str(pair / "adapters/sums/1"))
    names = ("recipe", "options", "data", "metrics", "provenance")
    assert [found[name] for name in names] == [[]] * 5
    assert found["weights"]["same_file"] is True
    assert {each["distance"] for each in found["weights"]["modules"]} == {0}


def test_the_order_of_target_modules_is_no_difference(pair: Path, tmp_path: Path) -> None:
    plain = Path(shutil.copytree(pair / "adapters/sums/1", tmp_path / "plain"))
    config = json.loads((plain / CONFIG).read_text())
    edit_json(plain / CONFIG, target_modules=config["target_modules"][::-1])
    assert told(pair, "sums@1", str(plain))["options"] == []


def test_a_base_is_no_adapter(pair: Path) -> None:
    with pytest.raises(UsageError, match="base:llama is a base"):
        told(pair, "sums", "base:llama")


def test_a_version_whose_files_are_not_here(pair: Path, tmp_path: Path) -> None:
    here = Path(shutil.copytree(pair, tmp_path / "here"))
    shutil.rmtree(here / "adapters/sums/1")
    with pytest.raises(UsageError, match="sums@1 cannot be compared") as caught:
        told(here, "sums@1", "sums@2")
    assert caught.value.hint == "adapter-hub verify sums@1"


def test_a_record_of_strange_values(pair: Path, tmp_path: Path) -> None:
    plain = Path(shutil.copytree(pair / "adapters/sums/1", tmp_path / "plain"))
    (plain / RECORD).write_text('{"recipe": [1], "base": 3, "environment": "x", "metrics": [2]}')
    found = told(pair, str(plain), "sums@1")
    assert found["a"]["recorded"] is False
    assert section(found, "metrics")["train_loss"][0] is None


@pytest.mark.parametrize("content", ["[]", "{"])
def test_a_record_that_is_none(pair: Path, tmp_path: Path, content: str) -> None:
    plain = Path(shutil.copytree(pair / "adapters/sums/1", tmp_path / "plain"))
    (plain / RECORD).write_text(content)
    with pytest.raises(BaseModelError, match=RECORD):
        told(pair, str(plain), "sums@1")


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:4],
        lambda whole: whole[:100],
        lambda whole: whole[:-1],
        lambda whole: struct.pack("<Q", 1 << 60) + whole[8:],
        lambda whole: whole[:8] + b"{" * (len(whole) - 8),
    ],
)
def test_damaged_weights_are_a_sentence(
    pair: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    plain = Path(shutil.copytree(pair / "adapters/sums/1", tmp_path / "plain"))
    (plain / WEIGHTS).write_bytes(damage((plain / WEIGHTS).read_bytes()))
    with pytest.raises(BaseModelError, match=WEIGHTS):
        told(pair, str(plain), "sums@1")


def test_torch_is_not_loaded(pair: Path) -> None:
    probe = (
        "import sys; from adapter_hub.cli.main import group\n"
        "try: group.main(['diff', 'sums@1', 'sums@2'], prog_name='adapter-hub')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'numpy' in sys.modules\n"
        "print({'torch', 'transformers', 'peft', 'safetensors', 'ml_dtypes'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=pair, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_command(
    hub: Callable[..., Any], pair: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(pair)
    shown = hub("diff", "sums@1", "sums@2", "--top", "1")
    assert shown.code == 0
    lines = [line.split() for line in shown.out.splitlines()]
    assert lines[0] == ["A:", "sums@1", "B:", "sums@2"]
    assert ["options", "r", "8", "3"] in lines
    assert ["recipe", "training.steps", "6", "8"] in lines
    assert sum(line[:1] == ["all"] for line in lines) == 1
    assert sum("_proj" in line[0] for line in lines if line) == 1
    assert "and 3 more: --top 4" in shown.err
    told = hub("diff", "sums@1", "sums@2", "--json").json
    assert len(told["weights"]["modules"]) == 4
    assert (
        len(hub("diff", "sums@1", "sums@2", "--json", "--top", "2").json["weights"]["modules"]) == 2
    )
    same = hub("diff", "sums@1", "./adapters/sums/1")
    assert "byte for byte" in same.out
    assert hub("diff", "conv", "sums@2").out.count("only in") == 2


def test_the_command_without_a_registry(
    hub: Callable[..., Any], pair: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = Path(shutil.copytree(pair / "adapters/sums/1", tmp_path / "plain"))
    (plain / RECORD).unlink()
    edit_json(plain / CONFIG, **{"task\x1b[2J": "\x1b[31mred"})
    monkeypatch.chdir(tmp_path)
    shown = hub("diff", "./plain", str(pair / "adapters/sums/2"))
    assert shown.code == 0
    assert "\x1b" not in shown.out
    assert "./plain has no record of how it was made" in shown.err
    assert hub("diff", "sums", "./plain").code == 1
    assert hub("diff", "./nope", "./plain").code == 2
