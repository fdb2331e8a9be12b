"""What a version is on disk."""

from __future__ import annotations

import getpass
import json
import re
import resource
import stat
from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.errors import RegistryError, TrainingError
from adapter_hub.loading.saving import base_in_config, environment, sort_sets
from adapter_hub.model import Base, parse_source
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import REPORTS, file_digest

NAMES = ("sums", "conv", "talk")


def files(folder: Path, name: str) -> dict[str, Path]:
    return {path.name: path for path in (folder / f"adapters/{name}/1").iterdir()}


def record(folder: Path, name: str) -> Any:
    return json.loads(files(folder, name)["adapter_hub.json"].read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_a_version_is_what_peft_saves_and_how_it_came_to_be(trained: Path, name: str) -> None:
    assert sorted(files(trained, name)) == [
        "README.md", "adapter_config.json", "adapter_hub.json", "adapter_model.safetensors", "loss.png",
        "report.html", "training.png",
    ]  # fmt: skip
    assert "PEFT" in files(trained, name)["README.md"].read_text()
    assert files(trained, name)["loss.png"].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_recorded(trained: Path, name: str) -> None:
    version = Registry.open(trained).adapter(name).versions[1]
    assert dict(version.files) == {
        each: file_digest(path)
        for each, path in files(trained, name).items()
        if each not in REPORTS
    }
    assert version.metrics == record(trained, name)["metrics"]
    assert set(version.metrics) == {"train_loss", "eval_loss", "base_eval_loss", "perplexity"}


def test_nothing_names_this_machine_or_its_user(trained: Path) -> None:
    home = str(Path.home()).encode()
    user = re.compile(rb"\b" + getpass.getuser().encode() + rb"\b")
    for path in (trained / "adapters").rglob("*"):
        if path.is_file() and path.parent.name == "1":
            content = path.read_bytes()
            assert str(trained).encode() not in content, path
            assert home not in content, path
            assert path.suffix == ".png" or not user.search(content), path


def test_an_absolute_path_of_the_data_stays_here(shop: Path) -> None:
    rows = workshop.write_rows(shop / "far.jsonl", [{"text": "the cat sat"}] * 30)
    workshop.run_training(shop, data=str(rows), eval_data=str(rows), steps=1)
    assert Registry.open(shop).adapter("sums").recipe.data == str(rows)
    for path in files(shop, "sums").values():
        assert str(shop).encode() not in path.read_bytes(), path
    assert record(shop, "sums")["recipe"]["data"] == "far.jsonl"


def test_the_config_names_the_base_as_the_registry_does(trained: Path) -> None:
    config = json.loads(files(trained, "conv")["adapter_config.json"].read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("bases/gpt2", None)
    assert config["fan_in_fan_out"] is True
    assert config["target_modules"] == sorted(config["target_modules"])


@pytest.mark.parametrize(
    ("source", "revision", "named"),
    [
        ("hf:me/base", "0" * 40, ("me/base", "0" * 40)),
        ("path:bases/llama", "sha256:1", ("bases/llama", None)),
        ("plugin:tiny", "sha256:1", ("plugin:tiny", None)),
    ],
)
def test_how_a_base_is_named(source: str, revision: str, named: Any) -> None:
    assert base_in_config(Base("mine", parse_source(source), revision)) == named


def test_sets_are_sorted(tmp_path: Path) -> None:
    class Config:
        target_modules = frozenset()

        def __init__(self) -> None:
            self.target_modules, self.r, self.names = {"v", "k", "q"}, 4, ["z", "a"]

    path = tmp_path / "config.json"
    path.write_text(json.dumps({"target_modules": ["v", "k", "q"], "r": 4, "names": ["z", "a"]}))
    sort_sets(path, Config())
    assert json.loads(path.read_text())["target_modules"] == ["k", "q", "v"]
    assert json.loads(path.read_text())["names"] == ["z", "a"]


@pytest.mark.parametrize("name", NAMES)
def test_the_record_tells_the_whole_story(trained: Path, name: str) -> None:
    told = record(trained, name)
    assert told["format"] == 1
    assert told["adapter"] == name
    assert told["recipe_digest"] == Registry.open(trained).adapter(name).versions[1].recipe
    assert set(told["base"]["identity"]) >= {"config", "weights", "tokenizer"}
    assert told["method"] == {
        "name": "lora", "peft_type": "LORA", "distribution": "built in", "version": told["method"]["version"],
    }  # fmt: skip
    assert told["data"]["rows"] == 40
    assert told["eval_data"] == {"held_out": 2}
    assert told["style"] == ("chat" if name == "talk" else "plain")
    assert told["steps"] == len(told["losses"]) == 6
    assert [each["step"] for each in told["evaluations"]] == [0, 2, 4, 6]
    assert told["best_step"] in (2, 4, 6)
    assert "samples" not in told  # rows of the data stay here
    assert told["trainable_parameters"] < told["total_parameters"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["created"])
    assert told["environment"]["packages"]["peft"]


def test_the_environment_names_no_machine() -> None:
    assert set(environment()) == {"python", "platform", "machine", "packages"}


def test_modes_are_the_user_s_own(trained: Path) -> None:
    for path in files(trained, "sums").values():
        assert stat.S_IMODE(path.stat().st_mode) == 0o644, path
    assert stat.S_IMODE((trained / "adapters/sums/1").stat().st_mode) == 0o755


# --- a full disk ---------------------------------------------------------------------------------


class Room:
    """No file may grow beyond ``size`` bytes, as on a disk that is nearly full."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __enter__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, self._before[1]))

    def __exit__(self, *error: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


HOW: dict[str, Any] = {"options": {"r": 1}, "steps": 3}


def test_a_full_disk_during_the_save_loses_nothing(shop: Path) -> None:
    before = (shop / "registry.toml").read_bytes()
    with Room(20_000), pytest.raises(RegistryError, match="the version cannot be saved in") as told:
        workshop.run_training(shop, **HOW)  # the picture is larger
    assert str(told.value).endswith("; the registry is as it was.")
    assert "--resume" in str(told.value.hint)
    assert (shop / "registry.toml").read_bytes() == before
    assert not (shop / "adapters/sums").exists()
    assert (shop / "adapters/.runs/sums/checkpoint.safetensors").is_file()
    steps: list[int] = []
    resumed = workshop.run_training(
        shop, **HOW, resume=True, on_step=lambda progress, _: steps.append(progress.step)
    )
    assert steps == [], "all steps had been made"
    assert (resumed.version, resumed.steps) == (1, 3)
    whole = workshop.run_training(shop, "whole", **HOW)
    assert (resumed.train_loss, resumed.eval_loss) == (whole.train_loss, whole.eval_loss)
    assert (shop / "adapters/sums/1/adapter_model.safetensors").read_bytes() == (
        shop / "adapters/whole/1/adapter_model.safetensors"
    ).read_bytes()


def test_a_full_disk_during_a_checkpoint_is_named(shop: Path) -> None:
    with Room(12_000), pytest.raises(TrainingError, match="the checkpoint of step 3 cannot be"):
        workshop.run_training(shop, **{**HOW, "options": {"r": 8}})
    assert not Registry.open(shop).has_adapter("sums")


@pytest.mark.parametrize("when", ["weights", "picture"])
def test_what_cannot_be_written_is_named(
    shop: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The error that a full disk gives to safetensors, and to Python."""
    from safetensors import SafetensorError

    def full(*arguments: Any, **more: Any) -> None:
        if when == "weights":
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        raise OSError(28, "No space left on device")

    target = "peft.peft_model.safe_save_file" if when == "weights" else "pathlib.Path.write_bytes"
    monkeypatch.setattr(target, full)
    with pytest.raises(RegistryError, match=r"cannot be saved in .*: .*No space left on device"):
        workshop.run_training(shop, **HOW)
    assert not (shop / "adapters/sums").exists()
