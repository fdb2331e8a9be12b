"""Fixtures of pytest: tiny bases, a registry on them, and a Hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter_hub.registry.store import Registry
from adapter_hub.testing.hub import HubBox
from adapter_hub.testing.models import save_gpt2, save_llama
from adapter_hub.testing.workshop import make_workshop


@pytest.fixture(scope="session")
def tiny_bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of random models 32 wide: ``llama``, ``gpt2`` (Conv1D) and ``chatty``, a Llama that
    has a chat template. To look at only."""
    folder = tmp_path_factory.mktemp("tiny-bases")
    return {
        "llama": save_llama(folder / "llama"),
        "gpt2": save_gpt2(folder / "gpt2"),
        "chatty": save_llama(folder / "chatty", chat=True),
    }


@pytest.fixture
def tiny_registry(
    tmp_path: Path, tiny_bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> Registry:
    """A registry that knows copies of the tiny bases, with ``rows.jsonl`` and ``chats.jsonl``
    beside it. Its folder is the working directory: plain PEFT finds the bases from there."""
    folder = make_workshop(tmp_path, tiny_bases)
    monkeypatch.chdir(folder)
    return Registry.open(folder)


@pytest.fixture(scope="session")
def loopback_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubBox]:
    """A running Hub of the session's own, with a user ``local`` who may write."""
    with HubBox(tmp_path_factory.mktemp("loopback-hub") / "box") as running:
        yield running
