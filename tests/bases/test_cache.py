"""Bases that are made on this machine: once, whole, and again when they are damaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adapter_hub.bases.cache import built_once, cache_folder
from adapter_hub.errors import BaseModelError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADAPTER_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ADAPTER_HUB_CACHE": "/a"}, Path("/a")),
        ({"ADAPTER_HUB_CACHE": "", "XDG_CACHE_HOME": "/x"}, Path("/x/adapter-hub")),
        ({"ADAPTER_HUB_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h"}, Path("/h/.cache/adapter-hub")),
    ],
)  # fmt: skip
def test_where_the_cache_is(
    variables: dict[str, str], expected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == expected


def write(folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    with (folder.parents[2] / "built").open("a") as log:
        log.write("x")


def test_it_is_built_once(cache: Path) -> None:
    for _ in range(2):
        assert built_once("mine-1", write) == cache / "bases/mine-1"
    assert (cache / "bases/mine-1/config.json").read_text() == "{}"
    assert (cache / "built").read_text() == "x"


def test_a_build_that_fails_leaves_nothing(cache: Path) -> None:
    def half(folder: Path) -> None:
        write(folder)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        built_once("mine-1", half)
    assert [path.suffix for path in (cache / "bases").iterdir()] == [".lock"]
    built_once("mine-1", write)


def test_a_damaged_one_is_made_again(cache: Path) -> None:
    folder = built_once("mine-1", write)
    (folder / "config.json").unlink()
    (folder / "stray").touch()

    def is_intact(folder: Path) -> bool:
        return (folder / "config.json").exists()

    assert built_once("mine-1", write, is_intact=is_intact) == folder
    assert [path.name for path in folder.iterdir()] == ["config.json"]


BUILDER = """
import time
from adapter_hub.bases.cache import built_once

def write(folder):
    time.sleep(0.5)
    with (folder.parents[2] / "built").open("a") as log:
        log.write("x")

print(built_once("mine-1", write))
"""


def test_of_two_processes_one_builds(cache: Path) -> None:
    builders = [
        subprocess.Popen([sys.executable, "-c", BUILDER], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [builder.communicate(timeout=60)[0] for builder in builders]
    assert told == [f"{cache / 'bases/mine-1'}\n"] * 2
    assert (cache / "built").read_text() == "x"


def test_a_cache_that_cannot_be_written_is_named(cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(
        BaseModelError, match="base mine-1 cannot be written into the cache"
    ) as caught:
        built_once("mine-1", write)
    assert "ADAPTER_HUB_CACHE" in str(caught.value.hint)
