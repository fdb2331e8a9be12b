"""A real Hub on loopback, and commands as processes of their own that know no other."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import workshop
from hubbox import HubBox
from huggingface_hub import HfApi, constants


@pytest.fixture(scope="session")
def box(loopback_hub: HubBox) -> HubBox:
    return loopback_hub


@dataclass
class User:
    """Somebody with a registry in ``folder``, and a token for the Hub."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, *arguments: str, typed: str | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of adapter-hub; ``more`` is of its environment."""
        return subprocess.run(
            [*workshop.ADAPTER_HUB, *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment, **more},
            input=typed,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def json(self, *arguments: str) -> Any:
        """What a command that succeeds prints as JSON."""
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def make_user(folder: Path, box: HubBox, registry: str = "") -> User:
    folder.mkdir(parents=True, exist_ok=True)
    if registry:
        (folder / "registry.toml").write_text(registry, encoding="utf-8")
    return User(folder, box.environment(folder / "hf-home"))


@pytest.fixture
def ann(trained: Path, tmp_path: Path, box: HubBox) -> User:
    """Has a trained adapter ``sums`` on a base that is a folder of hers."""
    import shutil

    shutil.copytree(trained, tmp_path / "ann")
    return make_user(tmp_path / "ann", box)


@pytest.fixture
def ben(tmp_path: Path, box: HubBox) -> User:
    """Has an empty registry."""
    return make_user(tmp_path / "ben", box, "schema = 1\n")


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE was read before it could be unset; tests elsewhere must not ask any Hub."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture(scope="session")
def api(box: HubBox) -> HfApi:
    """The stock client, to look at what arrived."""
    return HfApi(endpoint=box.endpoint, token=box.token)


@pytest.fixture(scope="session")
def base_repo(api: HfApi, bases: dict[str, Path]) -> str:
    """The base of ``sums``, on the Hub."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        api.create_repo("local/llama", exist_ok=True)
        api.upload_folder(repo_id="local/llama", folder_path=bases["llama"])
    return "local/llama"
