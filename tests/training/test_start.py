"""``train NAME --from REF``: on from a version's weights, or a sentence why not."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import workshop
from safetensors.torch import load_file
from workshop import run_training

from adapter_hub.errors import (
    ConflictError,
    IncompatibleError,
    Interrupted,
    UnknownNameError,
    UsageError,
)
from adapter_hub.registry.lineage import lineage
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digest, remove_version
from adapter_hub.training.reproduce import reproduce
from adapter_hub.training.start import find_start

WEIGHTS = "adapter_model.safetensors"


def weights(folder: Path, reference: str) -> dict[str, torch.Tensor]:
    name, _, number = reference.partition("@")
    return load_file(folder / "adapters" / name / number / WEIGHTS)


def losses(folder: Path, reference: str) -> list[float]:
    name, _, number = reference.partition("@")
    told: list[float] = json.loads(
        (folder / "adapters" / name / number / "adapter_hub.json").read_text()
    )["losses"]
    return told


def test_it_goes_on_where_the_version_ended(own: Path) -> None:
    """A learning rate of next to nothing leaves the weights as they were."""
    run_training(own, "sums", start="sums@1", steps=1, learning_rate=1e-30)
    before, after = weights(own, "sums@1"), weights(own, "sums@2")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    run_training(own, "sums", start="sums@1", steps=3, learning_rate=0.01)
    assert losses(own, "sums@3")[0] < losses(own, "sums@1")[0]


def test_lineage_tells_it_and_reproduce_goes_on_from_it(own: Path) -> None:
    run_training(own, "sums", start="sums", steps=2)
    told = lineage("sums@2", registry=Registry.open(own))
    (parent,) = told["versions"][0]["from"]
    assert (parent["kind"], parent["reference"], parent["here"]) == ("continued", "sums@1", True)
    assert reproduce("sums@2", registry=Registry.open(own)).verdict == "identical"


def test_reproduce_needs_the_parent(own: Path) -> None:
    run_training(own, "sums", start="sums@1", steps=1)
    registry = Registry.open(own)
    adapter = registry.adapter("sums")
    remove_version(registry, adapter, adapter.versions[1])
    found = reproduce("sums@2", registry=Registry.open(own))
    assert found.verdict == "impossible"
    assert "sums@1" in found.inputs[0].name


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("lora", {"r": 4, "target_modules": "all-linear", "use_rslora": True}),
        ("lora", {"use_dora": True, "lora_dropout": 0.1}),
        ("lora", {"modules_to_save": ["model.norm"]}),
        ("ia3", {}),
        ("prompt_tuning", {"num_virtual_tokens": 4}),
    ],
)
def test_a_new_name_takes_the_recipe(shop: Path, method: str, options: dict[str, Any]) -> None:
    from offers import catalog

    offers = catalog()
    how: dict[str, Any] = {"method": method, "options": options, "catalog": offers}
    run_training(shop, "old", **how, steps=3, batch_size=4)
    run_training(shop, "new", catalog=offers, base=None, data=None, start="old", steps=2)
    old, new = (Registry.open(shop).adapter(name).recipe for name in ("old", "new"))
    assert (new.base, new.method, new.data) == (old.base, old.method, old.data)
    assert new.training.batch_size == 4
    assert {key: new.options[key] for key in options if key != "target_modules"} == {
        key: value for key, value in options.items() if key != "target_modules"
    }
    assert weights(shop, "new@1").keys() == weights(shop, "old@1").keys()
    assert losses(shop, "new@1")[0] != losses(shop, "old@1")[0]


def test_a_folder_and_a_version_of_another_name(own: Path, tmp_path: Path) -> None:
    run_training(own, "other", start="sums@1", steps=1, learning_rate=1e-30)
    folder = own / "adapters/sums/1"
    run_training(own, "third", start=str(folder), steps=1, learning_rate=1e-30)
    record = (own / "adapters/third/1/adapter_hub.json").read_text()
    assert str(own) not in record  # records travel
    assert lineage("third", registry=Registry.open(own))["versions"][0]["from"][0]["here"]
    assert file_digest(own / "adapters/other/1" / WEIGHTS) == file_digest(
        own / "adapters/third/1" / WEIGHTS
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"options": {"r": 4}}, "has r = 8, and the recipe of 'sums' 4"),
        ({"options": {"lora_alpha": 32}}, "has lora_alpha = 8"),
        ({"options": {"use_rslora": True}}, "has use_rslora = false"),
        ({"options": {"target_modules": "all-linear"}}, "weights are missing|are missing for"),
        ({"base": "gpt2"}, "sits on base 'llama'"),
    ],
)
def test_another_shape_or_base_is_refused(own: Path, changes: dict[str, Any], said: str) -> None:
    before = (own / "registry.toml").read_bytes()
    with pytest.raises(IncompatibleError, match=said) as found:
        run_training(own, "sums", start="sums@1", **changes)
    assert found.value.hint
    assert (own / "registry.toml").read_bytes() == before


def test_another_method_is_refused(own: Path) -> None:
    from offers import catalog

    with pytest.raises(IncompatibleError, match="of the method LORA, and the recipe"):
        run_training(own, "scaled", start="sums@1", method="ia3", options={}, catalog=catalog())


def test_dropout_and_initialisation_may_differ(own: Path) -> None:
    options = {"lora_dropout": 0.3, "init_lora_weights": "gaussian"}
    run_training(own, "sums", start="sums@1", options=options, steps=1)
    assert losses(own, "sums@2")


def test_what_cannot_be_gone_on_from(own: Path) -> None:
    registry = Registry.open(own)
    with pytest.raises(UsageError, match="takes an adapter"):
        find_start("base:llama", registry)
    with pytest.raises(UnknownNameError):
        find_start("sums@9", registry)
    with pytest.raises(UsageError, match="there is no folder"):
        find_start("./nowhere", registry)
    workshop.flip_byte(own / "adapters/sums/1" / WEIGHTS)
    with pytest.raises(IncompatibleError, match="is not what was recorded"):
        find_start("sums@1", registry)


def test_an_interrupted_run_is_gone_on_with_from_the_same_version_only(own: Path) -> None:
    def stop(progress: Any, _steps: int) -> None:
        if progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        run_training(own, "sums", start="sums@1", steps=4, on_step=stop)
    with pytest.raises(ConflictError):
        run_training(own, "sums", start="sums@1", steps=4)
    run_training(own, "sums", start="sums@1", steps=4, resume=True)
    run_training(own, "whole", start="sums@1", steps=4)
    assert file_digest(own / "adapters/sums/2" / WEIGHTS) == file_digest(
        own / "adapters/whole/1" / WEIGHTS
    )
    assert len(losses(own, "sums@2")) == 4


def test_the_command(own: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own)
    done = hub("train", "sums", "--from", "sums@1", "--steps", "1", "--json", "--samples", "0")
    assert done.code == 0, done.err
    assert done.json["version"] == 2
    assert "going on from sums@1" in done.err
    refused = hub("train", "new", "--from", "nothing@1")
    assert (refused.code, refused.out) == (2, "")
    assert "Traceback" not in refused.err
    estimated = hub("train", "new", "--from", "sums@1", "--dry-run", "--json")
    assert estimated.json["recipe"]["options"] == {"target_modules": ["q_proj", "v_proj"]}
