"""``reproduce``: the same weights bit for bit, or which inputs are not the same and how far it is."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
import workshop
from safetensors.torch import load_file, save_file

from adapter_hub.errors import (
    ConflictError,
    Interrupted,
    UnknownOfferError,
    UsageError,
    VerificationError,
)
from adapter_hub.loading.folders import CONFIG, RECORD, WEIGHTS
from adapter_hub.loading.imports import import_adapter
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digest
from adapter_hub.training.reproduce import Reproduction, reproduce


def again(folder: Path, reference: str = "sums@1", **how: Any) -> Reproduction:
    before = (folder / "registry.toml").read_bytes(), sorted((folder / "adapters").rglob("*"))
    try:
        return reproduce(reference, registry=Registry.open(folder), **how)
    finally:
        after = (folder / "registry.toml").read_bytes(), sorted((folder / "adapters").rglob("*"))
        assert before == after


def rewrite(folder: Path, file: Path, change: Any) -> None:
    """Change a file of a version, and its digest in the registry with it."""
    before = file_digest(file)
    change(file)
    registry = folder / "registry.toml"
    registry.write_text(registry.read_text().replace(before, file_digest(file)))


def remember(folder: Path, **parts: Any) -> None:
    record = folder / "adapters/sums/1" / RECORD
    rewrite(folder, record, lambda file: workshop.edit_json(file, **parts))


def record(folder: Path) -> Any:
    return json.loads((folder / "adapters/sums/1" / RECORD).read_text())


@pytest.mark.parametrize("name", ["sums", "conv", "talk"])
def test_the_same_inputs_make_the_same_weights(trained: Path, name: str) -> None:
    found = again(trained, name)
    assert (found.verdict, found.inputs, found.unknown) == ("identical", [], [])
    assert found.weights is not None
    assert found.weights["total"]["delta"]["distance"] == 0.0
    assert found.eval_loss == found.recorded_eval_loss is not None


def test_an_old_version_is_made_from_its_own_recipe(own: Path) -> None:
    workshop.run_training(own, "sums", steps=2, options={"r": 4}, seed=3)
    assert again(own, "sums@1").verdict == "identical"
    assert again(own, "sums@2").verdict == "identical"


def test_an_absolute_path_is_found_by_the_recipe(own: Path) -> None:
    workshop.run_training(own, "sums", data=str(own / "rows.jsonl"), steps=1)
    assert again(own, "sums@2").verdict == "identical"


def test_changed_rows_are_named_with_the_distance(own: Path) -> None:
    path = own / "rows.jsonl"
    path.write_text(path.read_text().replace("plus one", "plus two"))
    found = again(own)
    assert found.verdict == "other inputs"
    assert [each.name for each in found.inputs] == ["data fingerprint"]
    assert found.weights is not None
    assert 0 < found.weights["total"]["delta"]["relative"] < 2
    assert found.eval_loss != found.recorded_eval_loss


def test_a_base_of_other_weights_is_named(own: Path) -> None:
    file = own / "bases/llama/model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"] *= 1.5
    save_file(tensors, file, metadata={"format": "pt"})
    found = again(own)
    assert found.verdict == "other inputs"
    assert [each.name for each in found.inputs] == ["base weights"]


def test_other_libraries_and_hardware_are_named(own: Path) -> None:
    told = record(own)
    packages = told["environment"]["packages"]
    remember(
        own,
        environment={**told["environment"], "python": "3.9.1", "packages": {**packages, "peft": "0.1"}},
        hardware={**told["hardware"], "cpu_capability": "AVX9", "threads": 4096},
    )  # fmt: skip
    found = again(own)
    assert found.verdict == "identical"
    assert {each.name: each.recorded for each in found.inputs} == {
        "peft": "0.1", "cpu_capability": "AVX9", "threads": 4096, "python": "3.9.1",
    }  # fmt: skip


def test_threads_are_as_they_were_and_are_given_back(own: Path) -> None:
    remember(own, hardware={**record(own)["hardware"], "threads": 1})
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert [each.name for each in again(own).inputs] == []
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def scale(file: Path) -> None:
    save_file({name: each * 1.01 for name, each in load_file(file).items()}, file)


def test_other_weights_from_the_same_inputs(own: Path, hub: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(own)
    rewrite(own, own / "adapters/sums/1" / WEIGHTS, scale)
    done = hub("reproduce", "sums", "--json")
    assert done.code == 3
    assert done.json["verdict"] == "different"
    # Both factors are 1 % larger, so their product is by 2.01 %.
    relative = done.json["weights"]["total"]["delta"]["relative"]
    assert relative == pytest.approx(1 - 1.01**-2, rel=1e-3)
    assert "came out differently" in done.err


def test_what_was_not_recorded_is_not_the_same(own: Path) -> None:
    rewrite(own, own / "adapters/sums/1" / WEIGHTS, scale)
    remember(own, hardware=None)
    found = again(own)
    assert found.verdict == "other inputs"
    assert {"threads", "device", "cpu_capability"} <= set(found.unknown)


def test_data_that_is_gone(own: Path, hub: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(own)
    (own / "rows.jsonl").unlink()
    done = hub("reproduce", "sums")
    assert done.code == 1
    assert "verdict  impossible" in done.out
    assert "data file rows.jsonl is gone" in done.err


def test_what_cannot_be_reproduced(own: Path) -> None:
    import_adapter(Registry.open(own), load_catalog(), own / "adapters/sums/1", "taken", None)
    assert again(own, "taken").verdict == "identical"  # its record came along
    (own / "plain").mkdir()
    for name in (CONFIG, WEIGHTS):
        (own / "plain" / name).write_bytes((own / "adapters/sums/1" / name).read_bytes())
    import_adapter(Registry.open(own), load_catalog(), own / "plain", "bare", "llama")
    with pytest.raises(UsageError, match="bare@1 has no record of how it was trained"):
        again(own, "bare")
    with pytest.raises(UsageError, match="is no version of the registry"):
        again(own, "./adapters/sums/1")
    workshop.flip_byte(own / "adapters/sums/1" / WEIGHTS)
    with pytest.raises(VerificationError, match="is not what was recorded"):
        again(own)


def test_a_plugin_that_is_gone_is_named(own: Path) -> None:
    recipe = record(own)["recipe"]
    remember(own, recipe={**recipe, "data": "words"}, plugins={"dist-words": "1"})
    with pytest.raises(UnknownOfferError) as caught:
        again(own)
    assert caught.value.hint == "pip install dist-words"


def test_an_interrupted_one_leaves_nothing(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(own / "tmp"))

    def stop(progress: Any, _steps: int) -> None:
        if progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="nothing is left"):
        again(own, on_step=stop, keep=own / "kept")
    assert not list((own / "tmp").iterdir())
    assert not (own / "kept").exists()


def test_what_is_kept_is_the_adapter(own: Path) -> None:
    found = again(own, keep=own / "kept")
    assert found.kept == str(own / "kept")
    for name in (CONFIG, WEIGHTS):
        assert file_digest(own / "kept" / name) == file_digest(own / "adapters/sums/1" / name)
    with pytest.raises(ConflictError, match="is already there"):
        again(own, keep=own / "kept")


def test_the_command(own: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own)
    done = hub("reproduce", "sums@1")
    assert done.code == 0
    assert "the same, bit for bit" in done.out
    assert hub("reproduce", "sums@7").code == 2
