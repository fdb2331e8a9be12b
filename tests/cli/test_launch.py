"""``train NAME --launch``: the same run in two processes, by accelerate's own launcher."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import workshop
from safetensors.torch import load_file

from adapter_hub.cli.launch import _processes, _without_flag, launch_flags
from adapter_hub.errors import UsageError
from adapter_hub.registry.store import Registry

TWO = "--num_processes 2"
FLAGS = (
    *("--base", "llama", "--data", "rows.jsonl", "--dtype", "float32", "--max-length", "64"),
    *("--steps", "4", "--batch-size", "2", "--learning-rate", "0.01"),
)


def run(shop: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*workshop.ADAPTER_HUB, "train", *arguments]
    return subprocess.run(command, cwd=shop, capture_output=True, text=True, timeout=300)


def weights(shop: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(shop / f"adapters/{name}/1/adapter_model.safetensors")


def test_two_processes_train_what_one_does(shop: Path) -> None:
    """The same global batch: two rows in each of two processes, or twice two in one."""
    done = run(shop, "both", *FLAGS, "--launch", TWO, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == 1  # one document: the first process's
    assert "were not passed" not in done.stderr
    workshop.run_training(shop, "alone", steps=4, batch_size=2, grad_accum=2, learning_rate=0.01)
    one, two = weights(shop, "alone"), weights(shop, "both")
    assert one.keys() == two.keys()
    for key, each in one.items():
        torch.testing.assert_close(two[key], each, rtol=1e-4, atol=1e-6)
    records = [
        json.loads((shop / f"adapters/{name}/1/adapter_hub.json").read_text())
        for name in ("alone", "both")
    ]
    assert [each["hardware"]["processes"] for each in records] == [1, 2]
    assert records[1]["losses"] == pytest.approx(records[0]["losses"], rel=1e-4)
    assert list(Registry.open(shop).adapter("both").versions) == [1]
    assert [path.name for path in (shop / "adapters/.runs/both").iterdir()] == ["lock"]


@pytest.mark.slow
def test_what_goes_wrong_there_is_said_in_a_sentence(shop: Path) -> None:
    done = run(shop, "sums", *FLAGS, "-o", "target_modules=nothing", "--launch", TWO)
    assert done.returncode == 2
    assert "Target modules nothing not found" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_signal_reaches_them(shop: Path) -> None:
    command = [*workshop.ADAPTER_HUB, "train", "long", *FLAGS, "--steps", "4000", "--launch", TWO]
    child = subprocess.Popen(command, cwd=shop, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("step "):
            break
    child.send_signal(signal.SIGTERM)
    said = child.stderr.read()
    child.stderr.close()
    assert child.wait(timeout=120) != 0
    assert "stopped after step" in said
    assert "Traceback" not in said
    assert (shop / "adapters/.runs/long/checkpoint.safetensors").is_file()
    time.sleep(0.1)
    assert not _alive(child.pid)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--launch", '"x'), "cannot be taken apart"),
        (("--launch", TWO, "--learning-rate", "0"), "learning_rate must be more than 0"),
        (("--launch", TWO, "other"), "--launch takes one NAME"),
        (("--launch", TWO, "--stale"), "--stale trains recipes as they are"),
    ],
)
def test_mistakes_are_told_before_anything_starts(
    shop: Path, hub: Any, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(shop)
    done = hub("train", "sums", *FLAGS, *arguments)
    assert done.code == 2
    assert said in done.err


def test_a_launched_process_launches_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="was launched already"):
        launch_flags(TWO)


def test_how_many_and_what_is_passed_on() -> None:
    assert _processes(launch_flags(TWO)) == 2
    assert _processes(["--num-processes=3"]) == 3
    assert _processes(["--num_processes"]) == _processes(["--cpu"]) == 0
    arguments = ["--registry", "x", "train", "a", "--launch", TWO, "-o", "r=4", f"--launch={TWO}"]
    assert _without_flag(arguments) == ["--registry", "x", "train", "a", "-o", "r=4"]
