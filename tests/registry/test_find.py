"""find_adapters: filters, conditions, sorting."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from adapter_hub.errors import UnknownNameError, UsageError
from adapter_hub.registry.find import find_adapters
from adapter_hub.registry.store import Registry

TEXT = """\
schema = 1

[adapters.b]
base = "tiny"
method = "ia3"
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
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "registry.toml").write_text(TEXT)
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
    ],
)
def test_found(registry: Registry, how: dict[str, Any], names: str) -> None:
    assert [each["name"] for each in find_adapters(registry, **how)] == names.split()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"sort": "eval_los"}, r"the column 'eval_los' \(did you mean 'eval_loss'\?\)"),
        ({"sort": "versoin"}, r"the column 'versoin' \(did you mean 'version'\?\)"),
        ({"conditions": ["eval_loss>0", "steps>0"]}, "no adapter has the metric 'steps'"),
        ({"conditions": ["version>0"]}, "no adapter has the metric 'version'"),
    ],
)
def test_a_metric_that_nothing_has(registry: Registry, how: dict[str, Any], words: str) -> None:
    with pytest.raises(UnknownNameError, match=words):
        find_adapters(registry, **how)


def test_before_the_first_training_every_metric_is_to_come(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text('schema = 1\n[adapters.a]\nbase = "tiny"\n')
    found = find_adapters(Registry.open(tmp_path), conditions=["eval_loss<1"], sort="eval_loss")
    assert found == []


@pytest.mark.parametrize("text", ["eval_loss", "eval_loss<", "<1", "eval_loss<x", "a<1<2", ""])
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
