"""A lock that has no effect, as on some network file systems: nothing is lost without it either."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapter_hub.registry.gc import find_garbage, remove_garbage
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import damage

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forked")
UNLOCKED = Path(__file__).with_name("unlocked.py")


@pytest.mark.parametrize(
    ("writers", "edits"), [(4, 15), pytest.param(8, 50, marks=pytest.mark.slow)]
)
def test_a_lock_that_everybody_gets(tmp_path: Path, writers: int, edits: int) -> None:
    path = tmp_path / "registry.toml"
    path.write_text('schema = 1\n\n[adapters.sums]\nbase = "tiny"\noptions = { r = 0 }\n')
    done = subprocess.run(
        [sys.executable, str(UNLOCKED), str(path), str(writers), str(edits), "1"],
        stdout=subprocess.PIPE,
        timeout=580,
        check=True,
    )
    told = json.loads(done.stdout)
    print(told)
    registry = Registry.open(path)
    adapter = registry.adapter("sums")
    assert adapter.recipe.options["r"] == told["counted"] == writers * edits
    assert told["conflicts"] > 0
    assert len(adapter.versions) == told["trained"] > writers * edits / 2
    for each in registry.adapters():
        for number, version in each.versions.items():
            assert damage(registry.version_folder(each.name, number), version) == []
    registry.edit_adapter("sums", lambda entry: entry.update(description="locked"))
    remove_garbage(registry, find_garbage(registry))
    kept = {"registry.toml", "registry.journal", ".registry.toml.lock", "adapters", "stop"}
    assert {each.name for each in tmp_path.iterdir() if each.suffix != ".json"} <= kept
