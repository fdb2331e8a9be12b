"""The same run in one process and in two, started by torchrun and talking over gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import workshop
from safetensors.torch import load_file

from adapter_hub.registry.store import Registry

FLAGS = [
    *("--base", "llama", "--data", "rows.jsonl", "--dtype", "float32", "--max-length", "64"),
    *("--steps", "4", "--batch-size", "2", "--learning-rate", "0.01"),
]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
}
LAST_LAYER = "target_modules=['q_proj', 'lm_head']"
"""The head lies in the group of shards that a forward pass leaves together."""


def weights(shop: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(shop / f"adapters/{name}/1/adapter_model.safetensors")


def assert_same_weights(shop: Path, name: str, other: str) -> None:
    one, two = weights(shop, name), weights(shop, other)
    assert one.keys() == two.keys()
    for key, each in one.items():
        torch.testing.assert_close(two[key], each, rtol=1e-4, atol=1e-6)


def launched(shop: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``launched.py`` in two processes."""
    return subprocess.run(
        [*TORCHRUN, str(Path(__file__).with_name("launched.py")), *arguments],
        cwd=shop,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environment},
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
    )


def test_a_launched_process_leaves_with_all_that_was_said_and_without_finalisation() -> None:
    code = """
import atexit, sys
from adapter_hub.training.processes import leave
class Kept:
    def __del__(self): print("finalised", flush=True)
kept = Kept()
atexit.register(print, "at exit")
sys.stdout.write("said. ")
leave(3)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (3, "said. at exit\n")


@pytest.mark.slow
def test_two_processes_train_what_one_does(shop: Path) -> None:
    alone = [*workshop.ADAPTER_HUB, "train", "alone", *FLAGS, "--grad-accum", "2"]
    subprocess.run(alone, cwd=shop, check=True, timeout=300)
    both = [*TORCHRUN, "-m", "adapter_hub", "train", "both", *FLAGS, "--json"]
    done = subprocess.run(
        both, cwd=shop, check=True, stdout=subprocess.PIPE, text=True, timeout=300
    )

    assert json.loads(done.stdout)["version"] == 1  # one document: the first process's
    assert_same_weights(shop, "alone", "both")
    records = [
        json.loads((shop / f"adapters/{name}/1/adapter_hub.json").read_text())
        for name in ("alone", "both")
    ]
    for key in ("losses", "tokens", "loss_tokens"):
        assert records[1][key] == pytest.approx(records[0][key], rel=1e-4)
    assert records[1]["metrics"]["eval_loss"] == pytest.approx(
        records[0]["metrics"]["eval_loss"], rel=1e-4
    )
    assert set(Registry.open(shop).adapter("both").versions) == {1}
    assert [path.name for path in (shop / "adapters/.runs/both").iterdir()] == ["lock"]


@pytest.mark.slow
def test_a_sharded_model_trains_to_what_one_process_does(shop: Path) -> None:
    alone = [*workshop.ADAPTER_HUB, "train", "alone", *FLAGS, "--grad-accum", "2", "-o", LAST_LAYER]
    subprocess.run(alone, cwd=shop, check=True, timeout=300)
    done = launched(shop, "shards", LAST_LAYER, **FSDP)
    assert done.returncode == 0, done.stderr
    assert_same_weights(shop, "alone", "shards")
    assert any(each.abs().sum() for key, each in weights(shop, "shards").items() if "head" in key)


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, FSDP], ids=["replicas", "shards"])
def test_an_interrupted_run_goes_on(shop: Path, environment: dict[str, str]) -> None:
    assert launched(shop, "whole", LAST_LAYER, **environment).returncode == 0
    stopped = launched(shop, "parts", "stop", LAST_LAYER, **environment)
    assert "Interrupted: stopped after step 2 of 4" in stopped.stderr
    assert "parts" not in Registry.open(shop).adapter_names()
    done = launched(shop, "parts", "resume", LAST_LAYER, **environment)
    assert done.returncode == 0, done.stderr
    assert_same_weights(shop, "whole", "parts")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "option", "words"),
    [
        ({**FSDP, "FSDP_VERSION": "1"}, "r=8", "the first version of FSDP flattens"),
        (FSDP, "trainable_token_indices=[1]", "accelerate cannot share this model out as FSDP"),
    ],
)
def test_what_cannot_be_sharded_is_said(
    shop: Path, environment: dict[str, str], option: str, words: str
) -> None:
    done = launched(shop, "sums", option, **environment)
    assert done.returncode
    assert words in done.stderr
    assert not Registry.open(shop).adapter_names()
