"""find_adapters: filters, conditions, sorting."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from adapter_hub.errors import RegistryError, UnknownNameError, UsageError
from adapter_hub.registry.find import find_adapters
from adapter_hub.registry.store import Registry

TEXT = """\
schema = 1

[adapters.b]
base = "tiny"
method = "ia3"
options = { r = 16 }
data = "shakespeare"
tags = ["demo", "x"]

[adapters.b.versions.2]
created = 2026-01-02T00:00:00Z
files = {}
metrics = { eval_loss = 1.5, steps = 10 }

[adapters.b.versions.10]
created = 2026-01-01T00:00:00Z
files = {}
metrics = { eval_loss = 1.9 }
hub = { repo = "o/r", revision = "1" }

[adapters.C]
base = "tiny"
tags = ["demo"]
aliases = { prod = 1 }

[adapters.C.versions.1]
created = 2026-01-03T00:00:00
files = {}
metrics = { eval_loss = 1 }

[adapters.a]
options = { r = 16 }
data = "sql"
description = "Of kings and queens"
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "registry.toml").write_text(TEXT)
    (tmp_path / "adapters/b/10").mkdir(parents=True)
    # What was trained, when the recipe has moved on.
    (tmp_path / "adapters/b/10/adapter_config.json").write_text('{"r": 8}')
    return Registry.open(tmp_path)


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ({}, "a b C"),
        ({"base": "tiny"}, "b C"),
        ({"base": "Tiny"}, ""),
        ({"method": "lora"}, "a C"),
        ({"tags": ["demo"]}, "b C"),
        ({"tags": ["demo", "x"]}, "b"),
        ({"conditions": ["eval_loss<1.9"]}, "C"),
        ({"conditions": ["eval_loss <= 1.9"]}, "b C"),
        ({"conditions": ["eval_loss=1.9"]}, "b"),
        ({"conditions": ["eval_loss==1"]}, "C"),
        ({"conditions": ["eval_loss!=1"]}, "b"),
        ({"conditions": ["eval_loss>1", "eval_loss<1.95"]}, "b"),
        ({"conditions": ["eval_loss>=1e0"]}, "b C"),
        ({"sort": "eval_loss"}, "C b a"),
        ({"sort": "created"}, "b C a"),
        ({"sort": "version"}, "C b a"),
        ({"sort": "base"}, "b C a"),
        ({"sort": "method"}, "b a C"),
        ({"sort": "-eval_loss"}, "b C a"),
        ({"sort": "eval_loss", "reverse": True}, "b C a"),
        ({"sort": "-eval_loss", "reverse": True}, "C b a"),
        ({"sort": "-name"}, "C b a"),
        ({"sort": "-base"}, "b C a"),
        ({"sort": "age"}, "C b a"),
        ({"sort": "versions", "limit": 2}, "a C"),
        ({"sort": "-rank"}, "a b C"),
        ({"sort": "tags"}, "a C b"),
        ({"limit": 2}, "a b"),
        ({"tags": ["x,y"]}, "b"),
        ({"tags": ["x, demo"]}, "b C"),
        ({"tags": ["demo", "x,y"]}, "b"),
        ({"tags": ["y,z"]}, ""),
        ({"conditions": ["version>1"]}, "b"),
        ({"conditions": ["versions=0"]}, "a"),
        ({"conditions": ["versions>=1", "eval_loss<1.5"]}, "C"),
        ({"conditions": ["created>2026-01-02"]}, "C"),
        ({"conditions": ["age>1h"]}, "b C"),
        ({"conditions": ["rank>=16"]}, "a"),
        ({"conditions": ["rank<16"]}, "b"),
        ({"conditions": ["dataset=shakespeare"]}, "b"),
        ({"conditions": ["dataset!=shakespeare"]}, "a"),
        ({"conditions": ["description~kings"]}, "a"),
        ({"conditions": ["hub=o/r"]}, "b"),
        ({"conditions": ["aliases=prod"]}, "C"),
        ({"conditions": ["base!=other", "method=lora"]}, "C"),
        ({"text": "tiny DEMO"}, "b C"),
        ({"text": "kings"}, "a"),
        ({"text": "shake"}, "b"),
        ({"text": "kings demo"}, ""),
        ({"text": "kings", "conditions": ["rank=16"], "sort": "-rank"}, "a"),
    ],
)
def test_found(registry: Registry, how: dict[str, Any], names: str) -> None:
    assert [each["name"] for each in find_adapters(registry, **how)] == names.split()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"sort": "eval_los"}, r"the column 'eval_los' \(did you mean 'eval_loss'\?\)"),
        ({"sort": "versoin"}, r"the column 'versoin' \(did you mean 'version'\?\)"),
        ({"conditions": ["eval_loss>0", "steps>0"]}, "no adapter has the column or metric 'steps'"),
        ({"conditions": ["rnak>0"]}, r"'rnak' \(did you mean 'rank'\?\)"),
    ],
)
def test_a_metric_that_nothing_has(registry: Registry, how: dict[str, Any], words: str) -> None:
    with pytest.raises(UnknownNameError, match=words):
        find_adapters(registry, **how)


def test_before_the_first_training_every_metric_is_to_come(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text('schema = 1\n[adapters.a]\nbase = "tiny"\n')
    found = find_adapters(Registry.open(tmp_path), conditions=["eval_loss<1"], sort="eval_loss")
    assert found == []


@pytest.mark.parametrize(
    "text", ["eval_loss", "eval_loss<", "<1", "eval_loss<x", "a<1<2", "", "rank~8"]
)
def test_a_condition_that_cannot_be_read(registry: Registry, text: str) -> None:
    with pytest.raises(UsageError, match="is not a condition"):
        find_adapters(registry, conditions=[text])


def test_what_is_told_of_each(registry: Registry) -> None:
    never_trained, trained, aliased = find_adapters(registry)
    assert trained == {
        "name": "b",
        "base": "tiny",
        "method": "ia3",
        "version": 10,
        "versions": [2, 10],
        "aliases": {},
        "tags": ["demo", "x"],
        "created": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "metrics": {"eval_loss": 1.9},
        "hub": {"repo": "o/r", "revision": "1"},
    }
    assert never_trained == {
        **dict.fromkeys(("base", "version", "created")),
        "name": "a",
        "method": "lora",
        "versions": [],
        "aliases": {},
        "tags": [],
        "metrics": {},
        "hub": {},
    }
    assert aliased["aliases"] == {"prod": 1}
    assert aliased["created"] == datetime(2026, 1, 3, tzinfo=timezone.utc)


def test_a_diverged_run_is_last_as_if_it_had_no_loss(registry: Registry) -> None:
    registry.path.write_text(TEXT.replace("eval_loss = 1 }", "eval_loss = nan }"))
    found = find_adapters(Registry.open(registry.path), sort="eval_loss")
    assert [each["name"] for each in found] == ["b", "a", "C"]
    assert find_adapters(Registry.open(registry.path), conditions=["eval_loss<1"]) == []


@pytest.mark.parametrize("tags", ["", ",", "demo,", ",x"])
def test_tags_that_cannot_be_read(registry: Registry, tags: str) -> None:
    with pytest.raises(UsageError, match="is not a tag"):
        find_adapters(registry, tags=[tags])


@pytest.mark.parametrize("content", ["", "[]", '{"r": "8"}', "[" * 100_000, "\xff"])
def test_a_config_that_makes_no_sense_is_none(registry: Registry, content: str) -> None:
    path = registry.version_folder("b", 10) / "adapter_config.json"
    path.write_text(content, encoding="latin-1")
    (found,) = find_adapters(registry, conditions=["rank>1", "version=10"])
    assert found["rank"] == 16


def test_what_was_asked_for_is_told(registry: Registry) -> None:
    (found,) = find_adapters(registry, conditions=["rank=8", "dataset~shake"])
    assert (found["rank"], found["dataset"]) == (8, "shakespeare")
    assert "rank" not in find_adapters(registry, sort="-version")[0]


def test_a_value_of_the_wrong_type_is_an_error_with_its_line(registry: Registry) -> None:
    registry.path.write_text(TEXT.replace('data = "sql"', "data = 3"))
    again = Registry.open(registry.path)
    assert len(find_adapters(again)) == 3
    with pytest.raises(
        RegistryError, match=r"registry\.toml:\d+: adapters\.a\.data: must be a string"
    ):
        find_adapters(again, conditions=["dataset=x"])
