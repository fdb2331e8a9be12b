"""Environments in which pip cannot work, or is not what it should be."""

from __future__ import annotations

import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

from adapter_hub.errors import PluginError
from adapter_hub.installing import install, uninstall


def version_of_pip(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    def told(name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", told)


def test_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    version_of_pip(monkeypatch, None)
    for work in (install, uninstall):
        with pytest.raises(PluginError, match="has no pip") as caught:
            work(["x"])
        assert caught.value.hint == f"{sys.executable} -m ensurepip"


@pytest.mark.parametrize("version", ["9.0.3", "22.1.2", "21"])
def test_a_pip_that_cannot_report(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    version_of_pip(monkeypatch, version)
    with pytest.raises(PluginError, match=f"pip {version} cannot say what it installs"):
        install(["x"])


def test_an_environment_that_somebody_else_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = str(tmp_path / "no-such.whl")
    with pytest.raises(PluginError) as caught:
        install([missing])
    assert caught.value.hint is None
    (tmp_path / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n")
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    with pytest.raises(PluginError) as caught:
        install([missing])
    assert caught.value.hint is not None
    assert "belongs to the operating system" in caught.value.hint
