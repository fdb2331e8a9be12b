"""The command export: what it prints, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Hub = Callable[..., Any]


@pytest.fixture
def home(own: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(own)
    return own


def test_json(hub: Hub, home: Path) -> None:
    told = hub("export", "sums", "out", "--format", "merged", "--json").json
    assert told["reference"] == "sums"
    assert told["version"] == 1
    assert told["digest"].startswith("sha256:")
    assert told["path"] == str(home / "out")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= told["files"].keys()
    assert told["largest_logit_difference"] <= told["logit_tolerance"]


def test_what_to_type_next_is_on_standard_output(hub: Hub, home: Path) -> None:
    done = hub("export", "sums@1", "out", "--format", "vllm")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].startswith("vllm serve ")


def test_exit_codes(hub: Hub, home: Path) -> None:
    assert hub("export", "conv", "out", "--format", "vllm").code == 5
    assert not (home / "out").exists()
    assert hub("export", "sums", "out", "--format", "ollama").code == 2
    assert hub("export", "sums", "out", "--format", "gguf", "--ollama-from", "x").code == 2
    assert hub("export", "sums", "bases", "--format", "gguf").code == 4
    assert hub("export", "sums", "out", "--format", "zip").code == 2
