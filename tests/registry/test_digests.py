"""Digests that are kept: good for as long as the file is the one that was hashed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.registry import digests
from adapter_hub.registry.digests import Digests
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="files are always read there")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were really read."""
    names: list[str] = []

    def counted(path: Path) -> str:
        names.append(path.name)
        return file_digest(path)

    monkeypatch.setattr(digests, "file_digest", counted)
    monkeypatch.setattr(digests, "_SETTLED_NS", 0)  # the files are as young as the test
    return names


def kept(folder: Path) -> Any:
    return json.loads((folder / "adapters/.digests.json").read_text())


def ask(folder: Path, *files: str, all_were_asked: bool = False) -> list[str]:
    known = Digests(Registry.open(folder))
    found = [known.of(folder / each) for each in files]
    known.keep(all_were_asked=all_were_asked)
    return found


def test_a_file_is_read_once(own: Path, hashed: list[str]) -> None:
    weights = "adapters/sums/1/adapter_model.safetensors"
    first = ask(own, weights, "rows.jsonl")
    assert first == [file_digest(own / weights), file_digest(own / "rows.jsonl")]
    assert ask(own, weights, "rows.jsonl") == first
    assert hashed == ["adapter_model.safetensors", "rows.jsonl"]
    assert set(kept(own)["files"]) == {weights, "rows.jsonl"}
    ask(own, "chats.jsonl", all_were_asked=True)
    assert set(kept(own)["files"]) == {"chats.jsonl"}


def test_a_change_that_keeps_size_and_time_is_seen(own: Path, hashed: list[str]) -> None:
    """As a program can that wants to hide it: st_ctime it cannot set."""
    path = own / "rows.jsonl"
    before = path.stat()
    (old,) = ask(own, "rows.jsonl")
    time.sleep(0.02)
    workshop.flip_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert ask(own, "rows.jsonl") == [file_digest(path)] != [old]


def test_another_file_in_its_place_is_seen(own: Path, hashed: list[str]) -> None:
    path = own / "rows.jsonl"
    (old,) = ask(own, "rows.jsonl")
    other = own / "other.jsonl"
    other.write_bytes(path.read_bytes()[::-1])
    other.replace(path)
    assert ask(own, "rows.jsonl") == [file_digest(path)] != [old]


def test_a_young_file_is_read_again(
    own: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_SETTLED_NS", 3_000_000_000)
    (own / "rows.jsonl").touch()
    ask(own, "rows.jsonl")
    ask(own, "rows.jsonl")
    assert hashed == ["rows.jsonl", "rows.jsonl"]
    assert not (own / "adapters/.digests.json").exists()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "files": {"rows.jsonl": {}}}']
)
def test_what_cannot_be_read_is_made_anew(own: Path, hashed: list[str], content: str) -> None:
    (own / "adapters/.digests.json").write_text(content)
    assert ask(own, "rows.jsonl") == [file_digest(own / "rows.jsonl")]
    assert kept(own)["format"] == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_no_error(own: Path, hashed: list[str]) -> None:
    (own / "adapters").chmod(0o555)
    try:
        assert ask(own, "rows.jsonl") == [file_digest(own / "rows.jsonl")]
    finally:
        (own / "adapters").chmod(0o755)
