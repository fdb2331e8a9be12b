"""copy_adapter: what comes along, what stays behind, and that nothing half is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import workshop

from adapter_hub.errors import ConflictError, UnknownNameError, UsageError, VerificationError
from adapter_hub.registry.aliases import move_alias
from adapter_hub.registry.copies import copy_adapter
from adapter_hub.registry.lineage import lineage
from adapter_hub.registry.store import Registry
from adapter_hub.registry.verify import verify

TEXT = """\
schema = 1

[adapters.sums]
base = "b"
options = { r = 4 }
description = "adds"
tags = ["demo"]
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "registry.toml").write_text(TEXT)
    registry = Registry.open(tmp_path)
    hub = {"repo": "me/sums", "revision": "a" * 40}
    workshop.publish(registry, "sums", "one", metrics={"eval_loss": 1.5}, hub=hub)
    workshop.publish(registry, "sums", "two")
    move_alias(registry, "sums", "prod", 1)
    return registry


def test_the_version_that_is_meant_becomes_version_1(registry: Registry) -> None:
    assert copy_adapter(registry, "sums@prod", "adder") == {
        "name": "adder",
        "version": 1,
        "from": "sums@1",
    }
    copied, source = registry.adapter("adder"), registry.adapter("sums")
    assert (copied.recipe, copied.tags) == (source.recipe, source.tags)
    assert (copied.description, copied.aliases) == ("adds", {})
    version = copied.version(None)
    assert version.metrics == {"eval_loss": 1.5}
    assert version.hub == {}
    weights = registry.version_folder("adder", 1) / "adapter_model.safetensors"
    assert weights.read_text() == "one"
    assert weights.stat().st_nlink == 1
    assert all(not each.problems for each in verify(["adder"], registry=registry))
    assert workshop.journal(registry.folder)[-1] == {
        "event": "copy",
        "adapter": "adder",
        "version": 1,
        "from": "sums@1",
    }


def test_lineage_reads_where_it_is_from(registry: Registry) -> None:
    copy_adapter(registry, "sums", "adder")
    (parent,) = lineage("adder", registry=registry)["versions"][0]["from"]
    assert (parent["kind"], parent["reference"], parent["here"]) == ("copied", "sums@2", True)
    copy_adapter(registry, "adder", "third")
    told = lineage("third", registry=registry)["versions"]
    assert [each["reference"] for each in told] == ["third@1", "adder@1", "sums@2"]


def test_the_recipe_alone(registry: Registry) -> None:
    assert copy_adapter(registry, "sums", "adder", recipe_only=True)["version"] is None
    assert "[adapters.adder.versions" not in registry.path.read_text()
    assert copy_adapter(registry, "adder", "third")["version"] is None
    assert registry.adapter("third").recipe == registry.adapter("sums").recipe
    assert workshop.journal(registry.folder)[-1]["from"] == "adder"
    with pytest.raises(UnknownNameError, match="has no version yet"):
        copy_adapter(registry, "adder@1", "fourth")


def test_what_is_refused_leaves_nothing(registry: Registry) -> None:
    before = registry.path.read_bytes()
    for source, name, error in (
        ("sums", "Sums", ConflictError),
        ("sums", "sums", ConflictError),
        ("sums@9", "adder", UnknownNameError),
        ("./folder", "adder", UsageError),
        ("sums", "a/b", UsageError),
    ):
        with pytest.raises(error):
            copy_adapter(registry, source, name)
    assert registry.path.read_bytes() == before


def test_an_adapter_that_came_in_between_is_not_added_to(registry: Registry) -> None:
    stale = Registry.open(registry.path)
    workshop.publish(registry, "adder", "theirs")
    with pytest.raises(ConflictError, match="there is already adapter 'adder'"):
        copy_adapter(stale, "sums", "adder")
    assert list(Registry.open(registry.path).adapter("adder").versions) == [1]
    folders = [each.name for each in (registry.folder / "adapters/adder").iterdir()]
    assert folders == ["1"]


def test_damaged_files_are_not_copied(registry: Registry) -> None:
    (registry.version_folder("sums", 2) / "adapter_model.safetensors").write_text("tow")
    with pytest.raises(VerificationError, match=r"adapter_model.safetensors was changed"):
        copy_adapter(registry, "sums", "adder")
    assert not registry.has_adapter("adder")
    assert not [*(registry.folder / "adapters").glob("adder/*")]


def test_the_rest_of_a_record_stays(registry: Registry) -> None:
    with_record = json.dumps({"seed": 3, "parents": [{"kind": "continued"}]})
    number = workshop.publish(registry, "sums", "three", record=with_record)
    copy_adapter(registry, f"sums@{number}", "adder")
    record = json.loads((registry.version_folder("adder", 1) / "adapter_hub.json").read_text())
    assert record["seed"] == 3
    assert [each["kind"] for each in record["parents"]] == ["copied"]
