"""``adapter-hub gc`` as a user types it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "registry.toml").write_text("schema = 1\n")
    for name in ("adapters/old/1", "adapters/mine"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "adapters/old/1/adapter_config.json").write_bytes(b"x" * 1234)
    (tmp_path / "adapters/mine/notes").write_text("keep")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_dry_run_then_really(folder: Path, hub: Callable[..., object]) -> None:
    told = hub("gc", "--dry-run")
    assert told.code == 0
    assert told.out.splitlines() == [
        "path            what                                 bytes",
        "adapters/old/1  version that is not in the registry  1,234",
    ]
    assert "kept adapters/mine/notes: no folder of a version" in told.err
    assert "1,234 bytes would be free" in told.err
    assert (folder / "adapters/old/1").is_dir()
    refused = hub("gc")
    assert refused.code == 2
    assert "remove 1 file or folder, 1,234 bytes" in refused.err
    assert "adapter-hub gc --yes" in refused.err
    done = hub("gc", "--yes")
    assert done.code == 0
    assert "1,234 bytes are free" in done.err
    assert os.listdir(folder / "adapters") == ["mine"]
    assert hub("-q", "gc", "--yes").out == ""


def test_json(folder: Path, hub: Callable[..., object]) -> None:
    expected = {
        "removed": [{"path": "adapters/old/1", "kind": "version", "bytes": 1234}],
        "kept": [{"path": "adapters/mine/notes", "reason": "no folder of a version"}],
        "bytes": 1234,
    }
    assert hub("gc", "--dry-run", "--json").json == {"dry_run": True, **expected}
    assert hub("gc", "--yes", "--json").json == {"dry_run": False, **expected}


def test_an_age_that_is_none(folder: Path, hub: Callable[..., object]) -> None:
    told = hub("gc", "--older-than", "soon")
    assert (told.code, "'soon' is no age" in told.err) == (2, True)
    assert hub("gc", "--older-than", "7d", "--dry-run").code == 0
    assert "gc --older-than 7d --yes" in hub("gc", "--older-than", "7d").err
