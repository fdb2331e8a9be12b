"""The kit as an author meets it: a test module in a folder of its own, no conftest of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapter_hub.testing import HubBox

MODULE = """\
import urllib.request
from pathlib import Path
from adapter_hub import Registry
from adapter_hub.testing import check_plugin, run_training, write_rows

pytest_plugins = ["adapter_hub.testing"]

def test_registry(tiny_registry):
    assert isinstance(tiny_registry, Registry)
    assert tiny_registry.base_names() == ["chatty", "gpt2", "llama"]
    assert Path.cwd() == tiny_registry.folder
    assert (tiny_registry.folder / "rows.jsonl").read_text().count("\\n") == 40

def test_training(tiny_registry):
    rows = write_rows(tiny_registry.folder / "mine.jsonl", [{"text": "the cat sat"}] * 12)
    result = run_training(tiny_registry.folder, "mine", data="mine.jsonl", steps=2)
    assert (result.version, result.steps) == (1, 2)

def test_hub(loopback_hub):
    with urllib.request.urlopen(loopback_hub.endpoint) as page:
        assert page.status == 200
    assert loopback_hub.token

def test_bases(tiny_bases):
    assert all((folder / "model.safetensors").exists() for folder in tiny_bases.values())
"""
# As in the project's own: PEFT asks transformers for an old name.
SETTINGS = """\
[pytest]
filterwarnings =
    error
    ignore:.is_gradient_checkpointing. is:FutureWarning
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["module", "conftest"])
def test_an_author_uses_them(tmp_path: Path, place: str) -> None:
    code = MODULE
    if place == "conftest":
        line = 'pytest_plugins = ["adapter_hub.testing"]\n'
        (tmp_path / "conftest.py").write_text(f"from adapter_hub.testing import HubBox\n{line}")
        code = code.replace(line, "")
    (tmp_path / "test_mine.py").write_text(code)
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    offline = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=offline,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_a_box_tells_what_a_process_must_know(loopback_hub: HubBox, tmp_path: Path) -> None:
    told = loopback_hub.environment(tmp_path)
    assert told["HF_ENDPOINT"] == loopback_hub.endpoint
    assert told["HF_TOKEN"] == loopback_hub.token
