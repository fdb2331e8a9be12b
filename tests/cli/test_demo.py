"""The demo stops where a command fails, and keeps to its own registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


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
    """It comes as far as the first command on its own registry, which the broken base ends."""
    monkeypatch.setenv("ADAPTER_HUB_REGISTRY", str(project / "registry.toml"))
    before = (project / "registry.toml").read_bytes()
    monkeypatch.setattr("adapter_hub.cli.demo.STORY", (("", ("list",)),))
    result = hub("demo", "own")
    assert result.code == 0
    assert "gpt-lora" in result.out
    assert (project / "registry.toml").read_bytes() == before
