"""A run that was killed goes on to the very bytes that an undisturbed one makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import workshop

from adapter_hub.training.checkpoint import peek

RUNS = Path(__file__).with_name("runs.py")
METHODS = ("lora", "ia3", "prompt_tuning")
FILES = ("adapter_model.safetensors", "adapter_config.json")


def in_a_process(folder: Path, how: str, hash_seed: str) -> None:
    done = subprocess.run(
        [sys.executable, str(RUNS), str(folder), how],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def saved(folder: Path, method: str) -> dict[str, bytes]:
    version = folder / "adapters" / method.replace("_", "-") / "1"
    return {name: (version / name).read_bytes() for name in FILES}


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX knows them")
def test_killed_and_resumed_byte_for_byte(tmp_path: Path, bases: dict[str, Path]) -> None:
    """Of LoRA with dropout, IA3 and prompt tuning, each process with another order of its sets."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = workshop.make_workshop(tmp_path / "whole", bases, "llama")
    killed = workshop.make_workshop(tmp_path / "killed", bases, "llama")
    in_a_process(whole, "whole", "1")
    in_a_process(killed, "killed", "2")
    for method in METHODS:
        name = method.replace("_", "-")
        found = peek(killed / f"adapters/.runs/{name}/checkpoint.safetensors")
        assert found is not None
        assert found[1].step == 5
        assert not list((killed / "adapters").glob(f"{name}/*"))
    in_a_process(killed, "resumed", "3")
    for method in METHODS:
        assert saved(killed, method) == saved(whole, method), method
