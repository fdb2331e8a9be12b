"""``list`` reads a large registry through an index that is never trusted over the file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from adapter_hub.registry import document
from adapter_hub.registry.find import find_adapters
from adapter_hub.registry.index import index_file
from adapter_hub.registry.store import Registry

TEXT = """\
schema = 1

[adapters.a]
base = "b"
tags = ["é", "t"]
aliases = { prod = 2 }

[adapters.a.versions.1]
created = 2026-01-01T00:00:00Z
files = {}

[adapters.a.versions.2]
created = 2026-01-02T03:04:05+02:00
files = {}
metrics = { eval_loss = inf, odd = nan, steps = 3 }
hub = { repo = "me/a", revision = "x" }

[adapters.b]
base = "b"
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(document, "LARGE", 0)
    monkeypatch.setenv("ADAPTER_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "registry.toml").write_text(TEXT)
    return tmp_path / "registry.toml"


def listed(path: Path, **how: Any) -> str:
    return repr(find_adapters(Registry.open(path), **how))


def whole(path: Path) -> str:
    size, document.LARGE = document.LARGE, 1 << 60
    try:
        return listed(path)
    finally:
        document.LARGE = size


def mark(path: Path) -> None:
    """Change what the index says, so that one can see whether it was used."""
    file = index_file(path)
    file.write_text(file.read_text().replace('"name": "a"', '"name": "indexed"'))


def test_an_index_says_what_the_file_says(path: Path) -> None:
    told = whole(path)
    assert not index_file(path).exists()
    assert listed(path) == told
    assert listed(path) == told
    assert "nan" in told
    mark(path)
    assert "indexed" in listed(path)


@pytest.mark.parametrize("sort", ["rank", "-dataset", "eval_loss"])
def test_columns_that_are_not_in_it_are_read(path: Path, sort: str) -> None:
    first = listed(path, sort=sort, text="b")
    assert listed(path, sort=sort, text="b") == first


def test_another_content_is_read_again(path: Path) -> None:
    listed(path)
    mark(path)
    Registry.open(path).edit_adapter("b", lambda entry: entry.update(tags=["new"]))
    assert listed(path) == whole(path)
    mark(path)
    kept = path.stat()
    # The same length and the same times: a content is known by its digest alone.
    path.write_text(path.read_text().replace("new", "old"))
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert listed(path) == whole(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-9],
        lambda content: b"adapter-hub index 2 " + content.partition(b"index 1 ")[2],
        lambda content: content.partition(b"\n")[0] + b'\n{"a": 1}',
        lambda content: content.partition(b"\n")[0] + b"\n[1]",
        lambda content: content.partition(b"\n")[0] + b'\n[{"created": "long ago"}]',
        lambda content: b"\xff" + content,
        lambda content: content.partition(b"\n")[0] + b"\n" + b"[" * 100_000,
    ],
)
def test_a_damaged_index_is_passed_over(path: Path, damage: Any) -> None:
    listed(path)
    file = index_file(path)
    file.write_bytes(damage(file.read_bytes()))
    assert listed(path) == whole(path)
    mark(path)
    assert "indexed" in listed(path)  # it was made anew


def test_without_a_cache_that_can_be_written(path: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert listed(path) == whole(path)


def test_an_index_is_for_its_user_alone(path: Path) -> None:
    listed(path)
    assert index_file(path).parent.stat().st_mode & 0o077 == 0


def test_few_are_kept(path: Path, tmp_path: Path) -> None:
    for number in range(20):
        one = tmp_path / f"{number}.toml"
        one.write_text(TEXT)
        listed(one)
        os.utime(index_file(one), (number, number))
    kept = list(index_file(path).parent.glob("*.json"))
    assert len(kept) == 16
    assert index_file(tmp_path / "19.toml") in kept
    assert json.loads(kept[0].read_text().partition("\n")[2])[0]["name"] == "a"


def test_what_cannot_be_read_is_not_kept(path: Path) -> None:
    path.write_text(TEXT.replace("prod = 2", "prod = 3"))
    for _ in range(2):
        with pytest.raises(Exception, match="points to version 3"):
            listed(path)
    assert not index_file(path).exists()
