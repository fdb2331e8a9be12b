"""A run's numbers in trackers, TensorBoard for real."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
import workshop
from tensorboardX.proto.event_pb2 import Event

from adapter_hub.errors import Interrupted, UsageError
from adapter_hub.training.run_options import RunOptions
from adapter_hub.training.tracking import Trackers, check_trackers


def written(folder: Path) -> dict[str, dict[int, float]]:
    """The scalars of all event files below a folder, by tag and step, from their TFRecords."""
    found: dict[str, dict[int, float]] = {}
    for path in folder.rglob("events.out.tfevents.*"):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (size,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + size])
            place += 12 + size + 4
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def tracked(shop: Path, **how: Any) -> tuple[Any, list[str]]:
    said: list[str] = []
    options = RunOptions(samples=0, track=("tensorboard",))
    return workshop.run_training(shop, run_options=options, say=said.append, **how), said


def test_a_run_in_tensorboard(shop: Path) -> None:
    losses: list[float] = []
    tracked(shop, steps=4, eval_every=2, on_step=lambda p, _: losses.append(p.history.loss[-1]))
    (run,) = (shop / "adapters/.tracking/tensorboard").iterdir()
    assert run.name.startswith("sums-")
    found = written(run)
    assert found["loss"] == pytest.approx(dict(enumerate(losses, 1)), rel=1e-6)
    assert sorted(found["eval_loss"]) == [0, 2, 4]
    assert sorted(found["learning_rate"]) == sorted(found["tokens_per_second"]) == [1, 2, 3, 4]
    assert all(each > 0 for each in found["tokens_per_second"].values())


def test_what_cannot_be_written_is_said_and_the_run_goes_on(shop: Path) -> None:
    (shop / "adapters").mkdir(exist_ok=True)
    (shop / "adapters/.tracking").write_text("a file where a folder should be")
    result, said = tracked(shop)
    assert result.version == 1
    told = [line for line in said if line.startswith("tensorboard is told no more of this run: ")]
    assert len(told) == 1
    assert "Error" in told[0]


def test_an_interrupted_run_is_ended_there_too(shop: Path) -> None:
    def stop(progress: Any, _steps: int) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises((Interrupted, KeyboardInterrupt)):
        tracked(shop, on_step=stop)
    assert written(shop / "adapters/.tracking")["loss"].keys() == {1}


def test_what_a_tracker_prints_is_talk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Trackers(["tensorboard"], "p", "r", tmp_path, {"a": None, "b": [1]}, print) as trackers:
        trackers.log({"x": 1.0}, 1)
        trackers._started["tensorboard"].log = lambda *_all, **_named: print("hello")
        trackers.log({"x": 2.0}, 2)
    out, err = capfd.readouterr()
    assert out == ""
    assert "hello" in err


def test_unknown_and_missing_trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    check_trackers(["tensorboard", "tensorboard"])
    with pytest.raises(UsageError, match="there is no tracker 'pencil'; there are tensorboard, "):
        check_trackers(["tensorboard", "pencil"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="wandb is not installed") as caught:
        check_trackers(["wandb"])
    assert caught.value.hint == "pip install wandb"
