"""Fixtures: small real models, a registry on them, and a guard against the network."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Before anything imports the libraries that read them.
os.environ.update(
    {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "ADAPTER_HUB_PLUGINS": "",
        # Two threads of a busy machine wait for each other far longer than these models compute.
        "OMP_NUM_THREADS": "1",
    }
)
sys.path.insert(0, str(Path(__file__).parent / "tests"))

import fakes
import workshop

from adapter_hub.testing.models import save_llama

pytest_plugins = ["adapter_hub.testing"]

# A busy machine misses any deadline; what CI finds, it finds again.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")

LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that leaves the machine fails, whatever it would have found there."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(
            LOOPBACK
        ):
            raise AssertionError(f"a test tried to connect to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ADAPTER_HUB_REGISTRY", "ADAPTER_HUB_DEBUG", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory, tiny_bases: dict[str, Path]) -> dict[str, Path]:
    """The kit's, and more random models: ``other`` (Llama's shape) and ``short`` (one layer)."""
    folder = tmp_path_factory.mktemp("bases")
    return {
        **tiny_bases,
        "other": save_llama(folder / "other", seed=1),
        "short": save_llama(folder / "short", layers=1),
    }


@pytest.fixture
def project(tmp_path: Path, bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a registry that knows the random bases, and some data."""
    text = "schema = 1\n"
    for name, folder in sorted(bases.items()):
        text += f'\n[bases.{name}]\nsource = "path:{folder}"\n'
    (tmp_path / "registry.toml").write_text(text, encoding="utf-8")
    rows = [
        f'{{"prompt": "Q: {number} plus one?\\nA:", "completion": " {number + 1}"}}'
        for number in range(40)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fakes.Site]:
    """A folder on the path, for fake plugins; their modules are forgotten afterwards."""
    yield fakes.Site(tmp_path / "site", monkeypatch)
    for name in [each for each in sys.modules if each.startswith("fake_")]:
        del sys.modules[name]


@pytest.fixture
def shop(tmp_path: Path, bases: dict[str, Path]) -> Path:
    """An untrained workshop of one's own."""
    return workshop.make_workshop(tmp_path, bases)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, bases: dict[str, Path]) -> Path:
    """``sums`` on Llama, ``conv`` on GPT-2 and ``talk`` on the chat model. To look at only."""
    folder = workshop.make_workshop(tmp_path_factory.mktemp("trained"), bases)
    workshop.run_training(folder, "sums")
    workshop.run_training(folder, "conv", base="gpt2")
    workshop.run_training(folder, "talk", base="chatty", data="chats.jsonl")
    return folder


@pytest.fixture
def own(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained workshop, to break."""
    return Path(shutil.copytree(trained, tmp_path / "own"))


class Result:
    """What a command did: exit code, standard output, standard error."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        import json

        return json.loads(self.out)


@pytest.fixture
def hub(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command of adapter-hub in this process, as the console script would."""
    from adapter_hub.cli.main import group

    def run(*arguments: str) -> Result:
        capfd.readouterr()
        try:
            group.main(list(arguments), prog_name="adapter-hub")
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run
