"""Whatever happens to a version's files, and whatever its records say against each other."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.errors import UnknownNameError, UsageError
from adapter_hub.registry.store import Registry
from adapter_hub.registry.verify import Verified, verify
from adapter_hub.registry.versions import REPORTS, file_digests

WEIGHTS = "adapter_model.safetensors"


def told(folder: Path, *references: str, every: bool = False) -> list[Verified]:
    return verify(references, registry=Registry.open(folder), every=every)


def of_sums(folder: Path) -> list[str]:
    [found] = told(folder, "sums")
    return found.problems


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_what_training_makes_is_whole(trained: Path) -> None:
    found = told(trained)
    assert [(each.name, each.version) for each in found] == [("conv", 1), ("sums", 1), ("talk", 1)]
    assert [each.problems for each in found] == [[], [], []]
    paths = (trained / "adapters/sums/1").iterdir()
    sizes = [path.stat().st_size for path in paths if path.name not in REPORTS]
    assert (trained / "adapters/sums/1/report.html").is_file()
    assert (found[1].files, found[1].bytes) == (len(sizes), sum(sizes))


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda path: workshop.flip_byte(path, 0), f"{WEIGHTS} was changed"),
        (workshop.flip_byte, f"{WEIGHTS} was changed"),
        (cut, f"{WEIGHTS} was changed"),
        (lambda path: path.write_bytes(b""), f"{WEIGHTS} was changed"),
        (Path.unlink, f"{WEIGHTS} is missing"),
        (lambda path: path.with_name("more.bin").touch(), "more.bin does not belong to it"),
    ],
    ids=["first byte", "byte", "truncated", "empty", "missing", "extra"],
)
def test_every_harm_to_a_file_is_found(own: Path, harm: Any, problem: str) -> None:
    harm(own / "adapters/sums/1" / WEIGHTS)
    assert of_sums(own) == [problem]


def test_a_folder_that_is_gone(own: Path) -> None:
    shutil.rmtree(own / "adapters/sums/1")
    assert of_sums(own) == [f"{own / 'adapters/sums/1'} is missing"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_does_not_end_it(own: Path) -> None:
    (own / "adapters/sums/1" / WEIGHTS).chmod(0)
    found = {each.name: each.problems for each in told(own)}
    assert "cannot be read" in found["sums"][0]
    assert found["conv"] == []


def test_a_file_that_cannot_be_read_hides_no_other(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk with a bad block."""
    opened = Path.open

    def refuse(path: Path, *how: Any, **more: Any) -> Any:
        if path.name == WEIGHTS:
            raise OSError(5, "Input/output error", str(path))
        return opened(path, *how, **more)

    monkeypatch.setattr(Path, "open", refuse)
    (own / "adapters/sums/1/adapter_config.json").unlink()
    assert of_sums(own) == [
        "adapter_config.json is missing",
        f"{WEIGHTS} cannot be read: Input/output error",
    ]


def rewrite(folder: Path, name: str, **values: Any) -> None:
    """Change a JSON file of sums@1, and its digest with it, as somebody who means it would."""
    version = folder / "adapters/sums/1"
    before = file_digests(version)[name]
    if values:
        workshop.edit_json(version / name, **values)
    else:
        (version / name).write_text("[]")
    registry = folder / "registry.toml"
    after = file_digests(version)[name]
    registry.write_text(registry.read_text().replace(before, after))


@pytest.mark.parametrize(
    ("name", "values", "problem"),
    [
        ("adapter_config.json", {}, "adapter_config.json is no JSON object"),
        ("adapter_hub.json", {}, "adapter_hub.json is no JSON object"),
        ("adapter_config.json", {"peft_type": "IA3"}, "the method IA3, and adapter_hub.json LORA"),
        ("adapter_config.json", {"base_model_name_or_path": "a/b"}, "tells the base a/b, and"),
        ("adapter_config.json", {"revision": "0" * 40}, f"at {'0' * 40}, and adapter_hub.json"),
        ("adapter_hub.json", {"recipe_digest": "sha256:0"}, "another recipe than registry.toml"),
        ("adapter_hub.json", {"metrics": {"train_loss": 0.5}}, "tells train_loss 0.5, and reg"),
    ],
)
def test_records_that_contradict_each_other(
    own: Path, name: str, values: dict[str, Any], problem: str
) -> None:
    rewrite(own, name, **values)
    assert problem in " ".join(of_sums(own))


def test_metrics_of_later_and_imports_are_no_contradiction(own: Path) -> None:
    rewrite(own, "adapter_hub.json", metrics={"later": 1.5}, imported=True)
    rewrite(own, "adapter_config.json", base_model_name_or_path="/somebody/elses")
    assert of_sums(own) == []


def test_which_versions(own: Path) -> None:
    workshop.run_training(own, "sums", seed=5)

    def chosen(*references: str, every: bool = False) -> list[str]:
        return [f"{each.name}@{each.version}" for each in told(own, *references, every=every)]

    assert chosen() == ["conv@1", "sums@1", "sums@2", "talk@1"]
    assert chosen("sums") == ["sums@2"]
    assert chosen("sums", "sums@1", "sums@2") == ["sums@2", "sums@1"]
    assert chosen("sums", every=True) == ["sums@1", "sums@2"]
    assert chosen("sums@1", every=True) == ["sums@1"]
    with pytest.raises(UsageError, match="nothing was recorded of it"):
        chosen("./rows.jsonl")
    with pytest.raises(UnknownNameError):
        chosen("summs")


def test_the_command(own: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own)
    done = hub("verify")
    assert done.code == 0
    assert [line.partition(":")[0] for line in done.out.splitlines()] == [
        "conv@1",
        "sums@1",
        "talk@1",
    ]
    assert "3 of 3 versions are whole" in done.err
    (own / "adapters/sums/1/more.txt").touch()
    workshop.flip_byte(own / "adapters/sums/1" / WEIGHTS)
    done = hub("verify")
    assert done.code == 3
    assert f"sums@1: {WEIGHTS} was changed\nsums@1: more.txt does not belong" in done.out
    assert "Error: sums@1 is not what was recorded." in done.err
    done = hub("verify", "sums", "--json")
    assert done.code == 3
    assert done.json[0]["problems"] == [f"{WEIGHTS} was changed", "more.txt does not belong to it"]
    assert hub("verify", "conv").code == 0


def test_hundreds_of_whole_versions_are_one_line(
    own: Path, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own)
    document = (own / "registry.toml").read_text()
    start = document.index("[adapters.sums.versions.1]")
    table = document[start:].partition("\n\n")[0].rstrip()
    copies = [table.replace("versions.1]", f"versions.{number}]") for number in range(2, 202)]
    whole = document[:start] + "\n\n".join([table, *copies]) + document[start + len(table) :]
    (own / "registry.toml").write_text(whole)
    for number in range(2, 202):
        shutil.copytree(own / "adapters/sums/1", own / f"adapters/sums/{number}")
    done = hub("verify")
    assert (done.code, done.out) == (0, ""), done.err
    assert "203 of 203 versions are whole" in done.err
    for number in range(2, 32):
        cut(own / f"adapters/sums/{number}" / WEIGHTS)
    done = hub("verify")
    assert done.code == 3
    assert len(done.out.splitlines()) == 30
    assert "and others are not what was recorded" in done.err
    assert json.loads(hub("verify", "--json").out)[5]["version"] == 5
