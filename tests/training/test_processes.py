"""The same run in one process and in two, started by torchrun and talking over gloo."""

from __future__ import annotations

import json
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


def weights(shop: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(shop / f"adapters/{name}/1/adapter_model.safetensors")


@pytest.mark.slow
def test_two_processes_train_what_one_does(shop: Path) -> None:
    alone = [*workshop.ADAPTER_HUB, "train", "alone", *FLAGS, "--grad-accum", "2"]
    subprocess.run(alone, cwd=shop, check=True, timeout=300)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    both = [*launch, "--standalone", "-m", "adapter_hub", "train", "both", *FLAGS, "--json"]
    done = subprocess.run(
        both, cwd=shop, check=True, stdout=subprocess.PIPE, text=True, timeout=300
    )

    assert json.loads(done.stdout)["version"] == 1  # one document: the first process's
    one, two = weights(shop, "alone"), weights(shop, "both")
    for name, each in one.items():
        torch.testing.assert_close(two[name], each, rtol=1e-4, atol=1e-6)
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
