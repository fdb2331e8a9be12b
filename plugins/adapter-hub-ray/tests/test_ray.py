"""``--on ray``: a real cluster of separate processes, of which some are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from adapter_hub.errors import UsageError
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digest
from adapter_hub.testing import make_workshop, run_training
from adapter_hub.testing.models import save_llama

ray = pytest.importorskip("ray")
if "adapter-hub-ray" not in {each.metadata["Name"] for each in metadata.distributions()}:
    pytest.skip("adapter-hub-ray is not installed", allow_module_level=True)

from adapter_hub_ray.cluster import Cluster  # noqa: E402

HUB = [sys.executable, "-m", "adapter_hub"]
WEIGHTS = "adapter_model.safetensors"
FLAGS = (
    *("--base", "llama", "--data", "rows.jsonl", "--max-length", "64", "--dtype", "float32"),
    *("--learning-rate", "0.01", "--samples", "0"),
)
ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled"}
"""Ray of today asks for a token where it was started by hand, and its own drivers send none."""
pytestmark = pytest.mark.slow


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    base = save_llama(tmp_path / "base")
    return make_workshop(tmp_path, {"llama": base}, "llama")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two processors, started as a person does."""
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--num-cpus", "2"]
    port = "26379"
    subprocess.run(
        [
            *(*start, "--port", port, "--node-ip-address", "127.0.0.1"),
            *("--include-dashboard", "false", "--disable-usage-stats"),
        ],
        check=True,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"127.0.0.1:{port}"
    stop = [sys.executable, "-m", "ray.scripts.scripts", "stop", "--force"]
    subprocess.run(stop, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*HUB, *arguments],
        cwd=folder,
        env={**ENVIRONMENT, "ADAPTER_HUB_PLUGINS": "ray"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    child = start(folder, *arguments)
    out, err = child.communicate(timeout=300)
    return child.returncode, out, err


def on(address: str) -> tuple[str, ...]:
    return ("--on", "ray", "--on-option", f"address={address}")


def workers() -> list[int]:
    """The processes that make a run now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::make_run"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def wait_for(what: Any, seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


def test_a_sweep_on_this_machine_is_what_it_is_in_one_process(shop: Path) -> None:
    given = ("-o", "r=2,4", *FLAGS, "--steps", "3")
    code, out, err = run(shop, "sweep", "far", *given, "--on", "ray", "--json")
    assert code == 0, err
    assert "Traceback" not in err
    tried = json.loads(out)["tried"]
    assert [each["outcome"] for each in tried] == ["trained", "trained"]
    near = run_training(shop, "near", options={"r": 4}, steps=3, learning_rate=0.01)
    (version,) = [each["version"] for each in tried if each["varied"]["options.r"] == 4]
    ours, theirs = (
        json.loads((shop / place / "adapter_hub.json").read_text())["losses"]
        for place in (f"adapters/far/{version}", "adapters/near/1")
    )
    assert ours == pytest.approx(
        theirs, rel=1e-4
    )  # one thread each, and sums are shared by threads
    assert near.steps == 3
    wait_for(lambda: not workers(), 30)


def test_a_killed_worker_is_made_up_for(shop: Path, cluster: str) -> None:
    """The state is saved every 20 steps; the run goes on from there in another process."""
    given = (*FLAGS, "--steps", "400", "--save-every", "20")
    child = start(shop, "train", "killed", "whole", *given, *on(cluster), "--json")
    state = shop / "adapters/.runs/killed/checkpoint.safetensors"
    wait_for(state.is_file)
    (victim,) = {pid for pid in workers() if holds(pid, shop / "adapters/.runs/killed/lock")}
    os.kill(victim, signal.SIGKILL)
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    assert {each["name"]: each["outcome"] for each in json.loads(out)} == {
        "killed": "trained", "whole": "trained",
    }  # fmt: skip
    one, two = (file_digest(shop / f"adapters/{name}/1" / WEIGHTS) for name in ("killed", "whole"))
    assert one == two


def holds(pid: int, path: Path) -> bool:
    """Whether the process has the file open."""
    try:
        return any(
            os.path.realpath(each) == str(path.resolve())
            for each in Path(f"/proc/{pid}/fd").iterdir()
        )
    except OSError:
        return False


def test_nothing_is_lost_when_the_driver_dies(shop: Path, cluster: str) -> None:
    names = ("one", "two", "three")
    for name in names:
        with (shop / "registry.toml").open("a", encoding="utf-8") as file:
            file.write(
                f'\n[adapters.{name}]\nbase = "llama"\ndata = "rows.jsonl"\n'
                f"training = {{ steps = {150 if name == 'one' else 600}, max_length = 64 }}\n"
            )
    child = start(shop, "train", "--stale", *on(cluster))
    wait_for(
        lambda: (shop / "adapters/one/1").is_dir() and Registry.open(shop).adapter("one").versions
    )
    child.kill()
    child.communicate()
    wait_for(lambda: not workers(), 60)
    done = file_digest(shop / "adapters/one/1" / WEIGHTS)
    code, out, err = run(shop, "train", "--stale", *on(cluster), "--json")
    assert code == 0, err
    assert "one" not in {each["name"] for each in json.loads(out)}
    registry = Registry.open(shop)
    assert [list(registry.adapter(name).versions) for name in names] == [[1], [1], [1]]
    assert file_digest(shop / "adapters/one/1" / WEIGHTS) == done


def test_ctrl_c_saves_what_runs(shop: Path, cluster: str) -> None:
    child = start(
        shop, "train", "long", *FLAGS, "--steps", "20000", "--save-every", "5", *on(cluster)
    )
    wait_for((shop / "adapters/.runs/long/checkpoint.safetensors").is_file)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=120)
    assert child.returncode != 0
    assert "to go on: adapter-hub train long" in err
    assert "Traceback" not in err
    assert not workers()
    assert "long" not in Registry.open(shop).adapter_names()


def test_an_address_where_nobody_is(shop: Path) -> None:
    code, out, err = run(shop, "train", "sums", *FLAGS, *on("127.0.0.1:1"))
    assert (code, out.strip().splitlines()[:1]) == (1, [])
    assert "there is no Ray cluster at 127.0.0.1:1" in err
    assert "Traceback" not in err


def test_more_than_there_is(shop: Path, cluster: str) -> None:
    code, _, err = run(shop, "train", "sums", *FLAGS, *on(cluster), "--on-option", "cpus=64")
    assert code == 2
    assert "ask for less" in err


@pytest.mark.parametrize("options", [{"cpus": 0.0}, {"gpus": -1.0}, {"retries": -1}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be more than 0"):
        Cluster(**options)
