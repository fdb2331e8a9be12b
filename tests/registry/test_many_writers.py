"""Many processes edit one registry at once: nothing is lost, and it can be read at every moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapter_hub.registry.gc import Collection, find_garbage
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import damage

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forked")
WRITERS = Path(__file__).with_name("writers.py")


@pytest.mark.parametrize(
    ("writers", "edits"), [(4, 10), pytest.param(16, 100, marks=pytest.mark.slow)]
)
def test_nothing_is_lost(tmp_path: Path, writers: int, edits: int) -> None:
    path = tmp_path / "registry.toml"
    text = '# ours\nschema = 1\n\n[bases.tiny] # kept\nsource = "plugin:tiny"\n'
    path.write_text(text)
    done = subprocess.run(
        [sys.executable, str(WRITERS), str(path), str(writers), str(edits), "5"],
        stdout=subprocess.PIPE,
        timeout=580,
        check=True,
    )
    told = json.loads(done.stdout)
    accounts = told["accounts"]
    assert sum(sum(each["done"].values()) for each in accounts) == writers * edits
    assert {way for each in accounts for way in each["done"]} >= {"train_shared", "rename_own"}
    assert told["reads"] > 5

    registry = Registry.open(path)
    assert path.read_text().startswith(text)
    expected = {each["name"]: each["own"] for each in accounts if each["own"]}
    shared = {number: files for each in accounts for number, files in each["shared"].items()}
    assert len(shared) == sum(len(each["shared"]) for each in accounts)
    expected["shared"] = shared
    found = {
        adapter.name: {str(n): dict(each.files) for n, each in adapter.versions.items()}
        for adapter in registry.adapters()
        if adapter.versions
    }
    assert found == expected
    aliases = dict(registry.adapter("shared").aliases)
    assert str(aliases.pop("prod", None)) in {*shared, "None"}
    assert aliases == {k: v for each in accounts for k, v in each["aliases"]["shared"].items()}
    for each in accounts:
        if each["own"]:
            assert registry.adapter(each["name"]).aliases == each["aliases"]["own"]
    broken = [
        problem
        for adapter in registry.adapters()
        for number, version in adapter.versions.items()
        for problem in damage(registry.version_folder(adapter.name, number), version)
    ]
    assert broken == []
    assert find_garbage(registry) == Collection()
    slowest = max(each["slowest"] for each in accounts)
    print(f"{writers} x {edits} edits, {told['reads']} reads, slowest edit {slowest:.1f} s")


def test_a_rename_loses_no_version_that_is_published_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "registry.toml"
    path.write_text("schema = 1\n")
    done = subprocess.run(
        [sys.executable, str(WRITERS.with_name("renamers.py")), str(path), "3", "2", "25"],
        stdout=subprocess.PIPE,
        timeout=300,
        check=True,
    )
    published, renames = map(int, done.stdout.split())
    assert renames
    registry = Registry.open(path)
    versions = [
        (adapter.name, version) for adapter in registry.adapters() for version in adapter.versions
    ]
    assert len(versions) == published
    broken = [
        problem
        for adapter in registry.adapters()
        for number, version in adapter.versions.items()
        for problem in damage(registry.version_folder(adapter.name, number), version)
    ]
    assert broken == []
    assert find_garbage(registry) == Collection()
