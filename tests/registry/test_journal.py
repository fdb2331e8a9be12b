"""registry.journal: what is written and when, torn lines, any bytes, and merges by real git."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest
import workshop
from hypothesis import given
from hypothesis import strategies as st

from adapter_hub.errors import ConflictError
from adapter_hub.registry.aliases import move_alias
from adapter_hub.registry.files import create_registry, merge_journal_in_git
from adapter_hub.registry.journal import append, read_journal
from adapter_hub.registry.renames import rename_adapter
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import (
    record_hub,
    remove_adapter,
    remove_version,
)

HUB = {"repo": "me/sums", "revision": "a" * 40, "endpoint": "https://hub.local"}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "registry.toml").write_text("schema = 1\n")
    return Registry.open(tmp_path)


def path_of(registry: Registry) -> Path:
    return registry.folder / "registry.journal"


def test_every_edit_leaves_its_line(registry: Registry) -> None:
    workshop.publish(registry, "sums", "1")
    workshop.publish(registry, "sums", "2", event="pull", hub=HUB)
    record_hub(registry, "sums", 1, HUB)
    rename_adapter(registry, "sums", "adder")
    adapter = registry.adapter("adder")
    remove_version(registry, adapter, adapter.version("1"))
    remove_adapter(registry, "adder")
    place = {"repo": "me/sums", "revision": "a" * 40}
    assert workshop.journal(registry.folder) == [
        {"event": "train", "adapter": "sums", "version": 1},
        {"event": "pull", "adapter": "sums", "version": 2, **place},
        {"event": "push", "adapter": "sums", "version": 1, **place},
        {"event": "rename", "adapter": "adder", "from": "sums"},
        {"event": "remove", "adapter": "adder", "version": 1},
        {"event": "remove", "adapter": "adder", "version": None},
    ]
    line = path_of(registry).read_text().splitlines()[0]
    assert re.match(r'\{"when": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "event"', line)


def test_what_alters_nothing_leaves_no_line(registry: Registry) -> None:
    workshop.publish(registry, "sums")
    record_hub(registry, "sums", 1, HUB)
    before = path_of(registry).read_bytes()
    record_hub(registry, "sums", 1, HUB)
    rename_adapter(registry, "sums", "sums")
    with pytest.raises(ConflictError):
        move_alias(registry, "sums", "prod", 1, expect=1)
    registry.edit_adapter("sums", lambda entry: entry.update(tags=["demo"]))
    assert path_of(registry).read_bytes() == before


def test_a_torn_line_is_passed_over_and_the_next_one_is_whole(registry: Registry) -> None:
    workshop.publish(registry, "sums", "1")
    with path_of(registry).open("ab") as file:
        file.write(b'{"when": "2026-01-01T00:00:00Z", "event": "train", "adapter": "sums", "ver')
    assert [each["version"] for each in read_journal(registry.folder, "sums")] == [1]
    workshop.publish(registry, "sums", "2")
    assert [each["version"] for each in read_journal(registry.folder, "sums")] == [1, 2]
    assert len(path_of(registry).read_bytes().splitlines()) == 3


def test_a_journal_that_cannot_be_written_is_warned_of(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    path_of(registry).mkdir()
    with caplog.at_level(logging.WARNING):
        assert workshop.publish(registry, "sums") == 1
    assert "registry.journal cannot be written" in caplog.text
    assert "the registry is changed" in caplog.text
    assert list(Registry.open(registry.path).adapter("sums").versions) == [1]
    assert list(read_journal(registry.folder, "sums")) == []


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_nothing_but_a_file_is_written(
    registry: Registry, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    elsewhere = registry.folder / "profile"
    elsewhere.write_text("theirs\n")
    if kind == "link":
        path_of(registry).symlink_to(elsewhere)
    else:
        os.mkfifo(path_of(registry))
    workshop.publish(registry, "sums")
    assert elsewhere.read_text() == "theirs\n"
    assert "cannot be written" in caplog.text


def test_lines_of_others_and_of_no_event_are_passed_over(tmp_path: Path) -> None:
    good = {"when": "2026-01-02T03:04:05+02:00", "event": "later", "adapter": "sums", "new": [1]}
    lines = [
        "<<<<<<< HEAD",
        json.dumps({**good, "adapter": "sums2"}),
        json.dumps({**good, "when": "yesterday"}),
        json.dumps({**good, "when": "0001-01-01T00:00:00+23:00"}),
        json.dumps({**good, "event": 3}),
        json.dumps({**good, "text": "\ud800"}),
        '["sums"]',
        "[" * 100_000 + '"sums"',
        json.dumps(good) + "\r",
    ]
    (tmp_path / "registry.journal").write_text("\n".join(lines) + "\n")
    when = datetime(2026, 1, 2, 1, 4, 5, tzinfo=timezone.utc)
    assert list(read_journal(tmp_path, "sums")) == [{**good, "when": when}]


FRAGMENTS = st.sampled_from(
    [
        b'"sums"',
        b'{"when": "2026-01-01T00:00:00Z", "event": "alias", "adapter": "sums"',
        b"}",
        b"\n",
        *(b"[", b"{", b'"when":', b"0001-01-01T00:00:00+23:00", b"\xff\xfe", b"1e999", b"9" * 5000),
    ]
)


@given(st.lists(FRAGMENTS | st.binary(max_size=9), max_size=9).map(b"".join))
def test_any_bytes_are_read_without_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    (folder / "registry.journal").write_bytes(content)
    for each in read_journal(folder, "sums"):
        assert each["when"].tzinfo is timezone.utc
        assert isinstance(each["event"], str)
    append(folder, [{"event": "mark", "adapter": "sums"}])
    assert [each["event"] for each in read_journal(folder, "sums")][-1] == "mark"
    assert (folder / "registry.journal").read_bytes().startswith(content)


def git(folder: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


def test_git_merges_the_journals_of_two_branches(tmp_path: Path) -> None:
    create_registry(tmp_path, "schema = 1\n\n[adapters.a]\n\n[adapters.m]\n\n[adapters.z]\n")
    merge_journal_in_git(tmp_path)
    workshop.publish(Registry.open(tmp_path), "m")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "registry.toml", "registry.journal", ".gitattributes")
    git(tmp_path, "commit", "-qm", "begin")
    git(tmp_path, "switch", "-qc", "other")
    workshop.publish(Registry.open(tmp_path), "a")
    git(tmp_path, "commit", "-qam", "a")
    git(tmp_path, "switch", "-q", "main")
    workshop.publish(Registry.open(tmp_path), "z")
    git(tmp_path, "commit", "-qam", "z")
    git(tmp_path, "merge", "-q", "other", "-m", "both")
    assert {each["adapter"] for each in workshop.journal(tmp_path)} == {"a", "m", "z"}
    assert len(Registry.open(tmp_path).adapter("a").versions) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "registry.journal merge=union\n"),
        ("*.bin filter=lfs", "*.bin filter=lfs\nregistry.journal merge=union\n"),
        ("registry.journal -merge\n", "registry.journal -merge\n"),
        ("/registry.journal merge=union\r\n", "/registry.journal merge=union\r\n"),
    ],
)
def test_what_git_is_told(tmp_path: Path, before: str | None, after: str) -> None:
    path = tmp_path / ".gitattributes"
    if before is not None:
        path.write_bytes(before.encode())
    merge_journal_in_git(tmp_path)
    merge_journal_in_git(tmp_path)
    assert path.read_bytes().decode() == after
