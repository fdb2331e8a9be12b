"""A run's numbers in trackers, TensorBoard for real."""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import workshop
from accelerate import PartialState
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


def test_a_disk_that_fills_up_on_the_way_ends_the_tracker_alone(tmp_path: Path) -> None:
    said: list[str] = []
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Trackers(["tensorboard"], "p", "r", tmp_path, {}, said.append) as trackers:
        trackers.log({"loss": 2.0}, 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
        try:
            for step in range(2, 200):
                trackers.log({"loss": 2.0}, step)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [line.split(": ")[0] for line in said] == [
        "tensorboard",
        "tensorboard is told no more of this run",
    ]


def test_an_interrupted_run_is_ended_there_too(shop: Path) -> None:
    def stop(progress: Any, _steps: int) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises((Interrupted, KeyboardInterrupt)):
        tracked(shop, on_step=stop)
    assert written(shop / "adapters/.tracking")["loss"].keys() == {1}


def test_what_a_tracker_prints_is_talk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Trackers(["tensorboard"], "p", "r", tmp_path, {"a": None, "b": [1]}, str) as trackers:
        trackers.log({"x": 1.0}, 1)
        trackers._started["tensorboard"].log = lambda *_all, **_named: print("hello")
        trackers.log({"x": 2.0}, 2)
    out, err = capfd.readouterr()
    assert out == ""
    assert "hello" in err


def test_it_is_said_how_to_look_at_it(tmp_path: Path) -> None:
    said: list[str] = []
    with Trackers(["tensorboard"], "p", "r", tmp_path / "a b", {}, said.append):
        pass
    assert said == [f"tensorboard: tensorboard --logdir '{tmp_path.resolve()}/a b/tensorboard'"]


# --- trackers that are too large to install for the tests ----------------------------------------

WANDB = """
import json, os, pathlib, sys
class config:
    update = staticmethod(lambda values, **how: None)
class Run:
    log = finish = lambda self, *values, **how: None
def init(**how):
    if "WANDB_API_KEY" in os.environ:
        pathlib.Path(os.environ["SEEN"]).write_text(json.dumps(how))
        return Run()
    raise RuntimeError("a question" if sys.stdin.isatty() else "no key")
"""
MLFLOW = """
import os
address = os.environ.get("MLFLOW_TRACKING_URI")
def is_tracking_uri_set():
    return address is not None
def set_tracking_uri(uri):
    global address
    address = uri
def search_experiments(**how):
    raise RuntimeError(address)
"""
TRACKIO = """
import os
config, current = {}, None
class Run:
    def finish(self):
        print("finished")
def init(**how):
    global current
    current = Run()
    return current
def finish():
    global current
    current = current.finish()
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the real ones were seen to do where it concerns us: wandb 0.31, mlflow 3.17, trackio 0.43."""
    for name, source in (("wandb", WANDB), ("mlflow", MLFLOW), ("trackio", TRACKIO)):
        (tmp_path / f"{name}.py").write_text(source)
        # What is imported here must be gone with the test.
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)
    for name in ("WANDB_DIR", "WANDB_CONSOLE", "WANDB_API_KEY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRACKIO_DIR", "")
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.json"))
    monkeypatch.syspath_prepend(tmp_path)
    PartialState()
    return tmp_path


def told(name: str, folder: Path) -> list[str]:
    said: list[str] = []
    with Trackers([name], "p", "r", folder, {}, said.append):
        pass
    return said


def test_none_of_them_asks_at_the_terminal(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with open(theirs) as terminal, open(ours):
        monkeypatch.setattr("sys.stdin", terminal)
        assert told("wandb", packages) == [
            "wandb is told no more of this run: RuntimeError: no key"
        ]
        assert sys.stdin is terminal


def test_what_wandb_is_given(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert told("wandb", packages / "here") == []
    seen = json.loads((packages / "seen.json").read_text())
    ours = {"dir": str(packages.resolve() / "here"), "settings": {"console": "off"}}
    assert seen == {"project": "p", "name": "r", **ours}
    monkeypatch.setenv("WANDB_DIR", "elsewhere")
    monkeypatch.setenv("WANDB_CONSOLE", "wrap")
    told("wandb", packages / "here")
    assert json.loads((packages / "seen.json").read_text()) == {"project": "p", "name": "r"}


def test_mlflow_writes_below_the_registry(packages: Path) -> None:
    address = f"sqlite:///{packages.resolve() / 'mlflow.db'}"
    assert told("mlflow", packages) == [
        f"mlflow is told no more of this run: RuntimeError: {address}"
    ]


def test_mlflow_writes_where_the_user_says(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    (line,) = told("mlflow", packages)
    assert line.endswith("RuntimeError: http://127.0.0.1:1")


def test_trackio_has_a_folder_there_and_ends_once(
    packages: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = str(packages.resolve() / "trackio")
    assert told("trackio", packages) == [f"trackio: TRACKIO_DIR={place} trackio show --project p"]
    assert os.environ["TRACKIO_DIR"] == place
    assert sys.modules["trackio"].current is None
    out, err = capfd.readouterr()
    assert (out, err.count("finished")) == ("", 1)


def test_unknown_and_missing_trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    check_trackers(["tensorboard", "tensorboard"])
    with pytest.raises(UsageError, match="there is no tracker 'pencil'; there are tensorboard, "):
        check_trackers(["tensorboard", "pencil"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="wandb is not installed") as caught:
        check_trackers(["wandb"])
    assert caught.value.hint == "pip install wandb"
