"""The plugin's life in an environment of its own: installed, used, gone, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from fresh import ROOT, Fresh
from hubbox import HubBox

ASK = ("run", "biases", "My lord,", "--greedy", "--max-new-tokens", "8")


@pytest.mark.slow
def test_installed_used_gone_and_back(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fresh = Fresh(tmp_path_factory.mktemp("fresh") / "venv")

    def run(*command: str, code: int = 0, **variables: str) -> tuple[str, str]:
        done = fresh.run(*command, cwd=tmp_path, **variables)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr

    install = ("pip", "install", "--no-deps", str(ROOT / "plugins/adapter-hub-bitfit"))
    run(*install)
    assert "adapter-hub-bitfit" in run("adapter-hub", "plugins", "--check")[0]
    run("adapter-hub", "init")
    train = ("train", "biases", "--base", "tiny", "--data", "shakespeare", "--method", "bitfit")
    run("adapter-hub", *train, "--steps", "3", "--max-length", "64", "--eval-fraction", "0")
    answer, _ = run("adapter-hub", *ASK)
    with HubBox(tmp_path / "hub") as box:
        there = {"HF_ENDPOINT": box.endpoint, "HF_TOKEN": box.token, "HF_HUB_OFFLINE": "0"}
        sent, _ = run("adapter-hub", "push", "biases", "local/biases", **there)
        assert "biases@1 is local/biases at " in sent
    run("pip", "uninstall", "--yes", "adapter-hub-bitfit")
    assert "biases" in run("adapter-hub", "list")[0]
    _, told = run("adapter-hub", *ASK, code=5)
    assert "was made with the method BITFIT, which nothing here offers" in told
    assert "pip install adapter-hub-bitfit" in told
    assert "Traceback" not in told
    run(*install)
    assert run("adapter-hub", *ASK)[0] == answer
