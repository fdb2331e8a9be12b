"""The loop: what a step is, where it stops, and how it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import workshop
from safetensors.torch import load_file, save_file

from adapter_hub.errors import Interrupted, OutOfMemoryError, TrainingError
from adapter_hub.registry.store import Registry
from adapter_hub.training.checkpoint import peek
from adapter_hub.training.run_options import RunOptions

CHECKPOINT = "adapters/.runs/sums/checkpoint.safetensors"


def weights(folder: Path, version: int = 1, name: str = "sums") -> dict[str, torch.Tensor]:
    return load_file(folder / f"adapters/{name}/{version}/adapter_model.safetensors")


def saved(folder: Path, version: int = 1) -> dict[str, bytes]:
    names = ("adapter_model.safetensors", "adapter_config.json")
    return {name: (folder / f"adapters/sums/{version}" / name).read_bytes() for name in names}


def test_memory_that_runs_out_is_said(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    too_much = lambda *_arguments, **_named: torch.empty(2**60)  # noqa: E731
    monkeypatch.setattr("adapter_hub.training.loss.summed_cross_entropy", too_much)
    with pytest.raises(OutOfMemoryError, match="not enough memory for a batch of") as caught:
        workshop.run_training(shop)
    assert "--batch-size" in str(caught.value.hint)
    assert not Registry.open(shop).adapter_names()


def poison(shop: Path) -> None:
    path = shop / "bases/llama/model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})


# --- a step --------------------------------------------------------------------------------------


def test_accumulated_batches_are_one_batch(shop: Path) -> None:
    rows = [{"prompt": f"Q: {n}", "completion": " the cat" * (n + 1)} for n in range(8)]
    workshop.write_rows(shop / "eight.jsonl", rows)
    how = {"data": "eight.jsonl", "steps": 4, "learning_rate": 0.01, "max_length": 128}
    whole = workshop.run_training(shop, "whole", batch_size=8, **how)
    parts = workshop.run_training(shop, "parts", batch_size=2, grad_accum=4, **how)
    assert parts.tokens == whole.tokens
    assert parts.loss_tokens == whole.loss_tokens
    assert parts.train_loss == pytest.approx(whole.train_loss, rel=1e-5)
    for name, each in weights(shop, 1, "whole").items():
        assert torch.allclose(each, weights(shop, 1, "parts")[name], atol=1e-4), name


def test_each_step_is_told(shop: Path) -> None:
    told: list[tuple[int, int, int]] = []
    result = workshop.run_training(
        shop,
        steps=3,
        on_step=lambda progress, steps: told.append((progress.step, steps, progress.tokens)),
    )
    assert [each[:2] for each in told] == [(1, 3), (2, 3), (3, 3)]
    assert told[-1][2] == result.tokens
    assert told[0][2] < told[1][2] < told[2][2]


def test_a_clipped_gradient_is_another_run(shop: Path) -> None:
    workshop.run_training(shop, steps=2, max_grad_norm=0.0, schedule="constant", weight_decay=0.5)
    workshop.run_training(shop, steps=2, max_grad_norm=1e-9, schedule="constant", weight_decay=0.5)
    first, second = weights(shop, 1), weights(shop, 2)
    assert any(not torch.equal(first[name], second[name]) for name in first)


# --- a loss that is no number --------------------------------------------------------------------


def test_the_first_loss_that_is_no_number_stops_the_run(shop: Path) -> None:
    before = (shop / "registry.toml").read_bytes()
    how: dict[str, Any] = {"options": {"target_modules": "all-linear"}, "batch_size": 2}
    with pytest.raises(TrainingError) as caught:
        workshop.run_training(shop, steps=6, learning_rate=1e30, **how)
    words = str(caught.value)
    assert words.startswith("the loss became nan at step ")
    assert "with method 'lora', on rows.jsonl:" in words
    assert words.count("rows.jsonl:") == 2
    assert "lower --learning-rate" in str(caught.value.hint)
    assert (shop / "registry.toml").read_bytes() == before
    assert not list((shop / "adapters/sums").glob("*"))


def test_a_base_that_computes_no_number_stops_the_run(shop: Path) -> None:
    poison(shop)
    with pytest.raises(TrainingError, match="the loss became nan at step 1 with method 'lora', on"):
        workshop.run_training(shop, eval_fraction=0.0)
    with pytest.raises(TrainingError, match="the held-out loss is nan with method 'lora'"):
        workshop.run_training(shop)


def test_a_run_that_diverges_at_its_last_step_is_not_saved(shop: Path) -> None:
    with pytest.raises(TrainingError, match="became infinite or no number by step 1"):
        workshop.run_training(shop, steps=1, learning_rate=1e30, weight_decay=1e10)
    assert not Registry.open(shop).has_adapter("sums")


# --- stopping and going on -----------------------------------------------------------------------


def interrupt_at(step: int, times: int = 1) -> Any:
    def on_step(progress: Any, steps: int) -> None:
        if progress.step == step:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    return on_step


def test_a_stopped_run_goes_on_as_if_nothing_had_been(shop: Path) -> None:
    how: dict[str, Any] = {"options": {"lora_dropout": 0.2}, "steps": 5, "seed": 2**40 + 1}
    whole = workshop.run_training(shop, **how)
    before = (shop / "registry.toml").read_bytes()
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="stopped after step 2 of 5; the registry is") as caught:
        workshop.run_training(shop, **how, on_step=interrupt_at(2))
    assert caught.value.exit_code == 130
    assert caught.value.hint == "adapter-hub train sums --resume, with the same flags"
    assert signal.getsignal(signal.SIGINT) == handler
    assert (shop / "registry.toml").read_bytes() == before
    assert sorted(path.name for path in (shop / "adapters/sums").iterdir()) == ["1"]
    said: list[str] = []
    resumed = workshop.run_training(shop, **how, resume=True, say=said.append)
    assert "going on after step 2" in said
    assert saved(shop, 2) == saved(shop, 1)
    for field in ("steps", "tokens", "loss_tokens", "train_loss", "eval_loss", "base_eval_loss"):
        assert getattr(resumed, field) == getattr(whole, field), field
    assert not (shop / CHECKPOINT).exists()


def test_the_state_is_saved_as_often_as_it_was_asked(shop: Path) -> None:
    found: list[tuple[int, int]] = []

    def on_step(progress: Any, _steps: int) -> None:
        kept = peek(shop / CHECKPOINT)
        found.append((progress.step, kept[1].step if kept else 0))

    workshop.run_training(shop, steps=5, on_step=on_step, run_options=RunOptions(save_every=2))
    assert found == [(1, 0), (2, 0), (3, 2), (4, 2), (5, 4)]


def test_a_second_ctrl_c_stops_at_once(shop: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        workshop.run_training(shop, on_step=interrupt_at(2, times=2))
    assert not Registry.open(shop).has_adapter("sums")


def test_a_second_ctrl_c_tells_of_the_checkpoint_that_there_is(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapter_hub.training.loop.CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(Interrupted, match=r"^interrupted; the registry is as it was\.$") as told:
        workshop.run_training(shop, on_step=interrupt_at(2, times=2))
    assert told.value.hint == "adapter-hub train sums --resume, with the same flags"


def test_a_run_that_was_started_to_ignore_ctrl_c_goes_on(shop: Path) -> None:
    """As by nohup, or in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert workshop.run_training(shop, steps=3, on_step=interrupt_at(2, times=2)).version == 1
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_at_the_last_step_is_too_late(shop: Path) -> None:
    assert workshop.run_training(shop, steps=2, on_step=interrupt_at(2)).version == 1


def test_a_run_in_a_thread_leaves_signals_alone(shop: Path) -> None:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(workshop.run_training(shop, steps=1)))
    thread.start()
    thread.join()
    assert results[0].version == 1


# --- whole processes -----------------------------------------------------------------------------

STEPS = "60"
TRAIN = (
    "--base",
    "llama",
    "--data",
    "rows.jsonl",
    "--steps",
    STEPS,
    "--batch-size",
    "4",
    "--seed",
    "7",
    "-q",
)
OFTEN = """
import time
from adapter_hub.cli.main import main
from adapter_hub.training import loop
loop.CHECKPOINT_SECONDS = 0.0
step = loop._step
def slow(*arguments):
    step(*arguments)
    time.sleep(0.05)
loop._step = slow
main()
"""


def command(
    shop: Path, *flags: str, program: list[str] | None = None, hash_seed: str = "0"
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*(program or workshop.ADAPTER_HUB), "train", "sums", *TRAIN, *flags],
        cwd=shop,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return err


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, bases: dict[str, Path]
) -> dict[str, bytes]:
    shop = workshop.make_workshop(tmp_path_factory.mktemp("undisturbed"), bases, "llama")
    finished(command(shop, hash_seed="1"))
    return saved(shop)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX knows them")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_a_process_that_is_stopped_can_be_taken_up(
    shop: Path, undisturbed: dict[str, bytes], number: signal.Signals, code: int
) -> None:
    before = (shop / "registry.toml").read_bytes()
    process = command(shop, program=[sys.executable, "-c", OFTEN], hash_seed="2")
    deadline = time.monotonic() + 60
    while not (shop / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    if code == 130:
        assert f"of {STEPS}; the registry is as it was." in err
        assert not list((shop / "adapters/.runs/sums/scratch").glob("*"))
    assert (shop / "registry.toml").read_bytes() == before
    assert (shop / CHECKPOINT).is_file()
    finished(command(shop, "--resume", hash_seed="3"))
    assert saved(shop) == undisturbed
    assert Registry.open(shop).adapter("sums").newest is not None
