"""details: the object of ``show --json``."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_hub.errors import RegistryError, UnknownNameError
from adapter_hub.registry.details import details
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import version_digest

TEXT = """\
schema = 1

[adapters.a]
base = "tiny"
options = { r = 8 }
training = { steps = 3 }
description = "about it"
aliases = { prod = 1 }

[adapters.a.versions.1]
created = 2026-01-01T00:00:00Z
files = { "w" = "sha256:aa" }
metrics = { eval_loss = 1.5 }

[adapters.a.versions.2]
created = 2026-01-02T00:00:00Z
files = {}

[adapters.new]
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "registry.toml").write_text(TEXT)
    return Registry.open(tmp_path)


def write_record(registry: Registry, content: str) -> Path:
    folder = registry.version_folder("a", 1)
    folder.mkdir(parents=True)
    (folder / "adapter_hub.json").write_text(content)
    return folder


def test_the_newest_version_and_a_named_one(registry: Registry) -> None:
    assert details(registry, "a", None)["version"] == 2
    for selector in ("1", "prod"):
        told = details(registry, "a", selector)
        assert (told["version"], told["metrics"]) == (1, {"eval_loss": 1.5})
        assert told["files"] == {"w": "sha256:aa"}
        assert told["digest"] == version_digest({"w": "sha256:aa"})
        assert told["path"] == str(registry.folder / "adapters" / "a" / "1")
        assert told["versions"] == [1, 2]
    recipe = details(registry, "a", None)["recipe"]
    assert (recipe["base"], recipe["options"], recipe["data"]) == ("tiny", {"r": 8}, None)
    assert recipe["training"] == {"steps": 3}


def test_never_trained_has_the_same_fields(registry: Registry) -> None:
    told = details(registry, "new", None)
    assert set(told) == set(details(registry, "a", None))
    assert (told["version"], told["files"], told["digest"], told["path"]) == (None, {}, None, None)


def test_the_record_travels_along(registry: Registry) -> None:
    write_record(registry, '{"seed": 7}')
    assert details(registry, "a", "1")["provenance"] == {"seed": 7}
    assert details(registry, "a", "2")["provenance"] == {}


@pytest.mark.parametrize("content", ["{", "", "[1]", '"x"', "\udcff"])
def test_a_broken_record_is_named(registry: Registry, content: str) -> None:
    folder = write_record(registry, "")
    (folder / "adapter_hub.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(RegistryError, match=r"adapter_hub\.json"):
        details(registry, "a", "1")


@pytest.mark.parametrize(("name", "selector"), [("b", None), ("a", "3"), ("new", "1")])
def test_what_is_not_there(registry: Registry, name: str, selector: str | None) -> None:
    with pytest.raises(UnknownNameError):
        details(registry, name, selector)
