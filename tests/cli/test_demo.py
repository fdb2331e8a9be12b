"""The demo stops where a command fails, keeps to its own registry and Hub, and ends what it starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tomli

from adapter_hub.cli import demo

SHORT = (("", ("train", "gpt-lora", "--steps", "1", "--dtype", "float32", "--max-length", "32")),)
SECONDS = 60.0


def is_served(folder: Path) -> bool:
    """Whether a Hub runs that was started in ``folder``."""
    return any(_serves_in(each, folder) for each in Path("/proc").glob("[0-9]*"))


def _serves_in(process: Path, folder: Path) -> bool:
    try:
        arguments = (process / "cmdline").read_text().split("\0")
        return "serve" in arguments and os.readlink(process / "cwd") == str(folder)
    except OSError:
        return False


def test_a_folder_that_has_a_registry_ends_it(project: Path, hub: Any) -> None:
    before = (project / "registry.toml").read_bytes()
    result = hub("demo", ".")
    assert result.code == 4
    assert "registry.toml is already there" in result.err
    assert "$ adapter-hub train" not in result.err
    assert (project / "registry.toml").read_bytes() == before


def test_another_registry_in_the_environment_is_left_alone(
    project: Path, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes as far as the first push, of what was never trained."""
    monkeypatch.setenv("ADAPTER_HUB_REGISTRY", str(project / "registry.toml"))
    before = (project / "registry.toml").read_bytes()
    monkeypatch.setattr(demo, "STORY", (("", ("list",)),))
    result = hub("demo", "own")
    assert result.code == 2
    assert "gpt-lora" in result.out
    assert "adapter 'gpt-lora' has no version yet" in result.err
    assert "$ adapter-hub pull" not in result.err
    assert (project / "registry.toml").read_bytes() == before
    assert not is_served(project / "own")


def test_it_shares_through_a_hub_of_its_own(
    project: Path, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the user's environment says of Hubs, it is not asked, told, or changed."""
    home = project / "users-home"
    home.mkdir()
    secret = "hf_users_own_token"
    for name, value in {
        "HF_HOME": str(home),
        "HF_TOKEN": secret,
        "HF_HUB_OFFLINE": "1",
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(demo, "STORY", SHORT)
    result = hub("demo", "own")
    assert result.code == 0, result.err
    shown = [line for line in result.err.splitlines() if line.startswith("$ ")]
    assert [line.split()[2] for line in shown if line.startswith("$ adapter-hub ")] == [
        *("init", "train", "hub", "push", "pull", "verify", "run")
    ]
    assert re.search(r"HF_ENDPOINT=http://127.0.0.1:\d+ HF_TOKEN=\$\(cat hub/token\)", result.err)
    token = (project / "own/hub/token").read_text().strip()
    assert token not in result.out + result.err
    assert "bard@1 is local/gpt-lora at " in result.out
    assert "2 of 2 versions are whole" in result.err
    versions = tomli.loads((project / "own/registry.toml").read_text())["adapters"]
    hubs = [versions[name]["versions"]["1"]["hub"] for name in ("bard", "gpt-lora")]
    assert hubs[0] == hubs[1]
    log = (project / "own/hub.log").read_text()
    assert "POST /api/models/local/gpt-lora/commit/main 200" in log
    assert not list(home.iterdir())
    assert os.environ["HF_TOKEN"] == secret
    everything = [path for path in (project / "own").rglob("*") if path.is_file()]
    assert not [path for path in everything if secret.encode() in path.read_bytes()]
    assert not is_served(project / "own")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_the_hub_ends_with_it(tmp_path: Path, number: signal.Signals) -> None:
    """Interrupted while another command runs beside the Hub."""
    code = (
        "import sys; from adapter_hub.cli import demo; demo.STORY = (('', ('list',)),)\n"
        "demo.SHARING = (('', ('hub', 'serve', 'second', '--port', '0')),)\n"
        "from adapter_hub.cli.main import main; sys.argv = ['adapter-hub', 'demo', 'own']; main()"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert started.stdout
    until = time.monotonic() + SECONDS
    while "HF_ENDPOINT" not in started.stdout.readline():
        assert time.monotonic() < until
    assert is_served(tmp_path / "own")
    started.send_signal(number)
    started.communicate(timeout=SECONDS)
    assert started.returncode == (130 if number == signal.SIGINT else 143)
    assert not is_served(tmp_path / "own")


def test_a_hub_that_does_not_start(
    project: Path, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "STORY", ())
    (project / "own").mkdir()
    (project / "own/hub").write_text("a file")
    result = hub("demo", "own")
    assert result.code == 1
    assert "the Hub did not start: " in result.err
