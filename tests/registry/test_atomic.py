"""Files are replaced whole, by one of those who want to, and claims of the dead are broken."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from adapter_hub.registry import atomic
from adapter_hub.registry.atomic import ContentChanged, replace_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file.toml"
    path.write_bytes(b"old")
    return path


def claim_of(path: Path, content: bytes = b"old") -> Path:
    return path.with_name(f".{path.name}.{hashlib.sha256(content).hexdigest()[:16]}.claim")


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


def dead_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_the_mode_stays_and_nothing_else_is_left(path: Path) -> None:
    path.chmod(0o640)
    replace_file(path, b"new", expect=b"old")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(path) == ["file.toml"]


def test_what_changed_meanwhile_is_not_overwritten(path: Path) -> None:
    with pytest.raises(ContentChanged, match=r"changed by somebody else.*nothing was written"):
        replace_file(path, b"new", expect=b"older")
    assert path.read_bytes() == b"old"
    assert names(path) == ["file.toml"]


@pytest.mark.skipif(os.name != "posix", reason="whether a process lives is asked of the system")
def test_the_claim_of_a_process_that_was_killed_is_broken_at_once(path: Path) -> None:
    claim_of(path).write_text(f"{os.uname().nodename} {dead_process()}")
    start = time.monotonic()
    replace_file(path, b"new", expect=b"old")
    assert time.monotonic() - start < 5
    assert names(path) == ["file.toml"]


@pytest.mark.parametrize("owner", ["another-machine 1", f"{os.uname().nodename} {os.getpid()}"])
def test_the_claim_of_somebody_who_may_live_counts_for_a_minute(path: Path, owner: str) -> None:
    claim = claim_of(path)
    claim.write_text(owner)
    waiting = threading.Thread(target=replace_file, args=(path, b"new"), kwargs={"expect": b"old"})
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    assert path.read_bytes() == b"old"
    past = time.time() - 61
    os.utime(claim, (past, past))
    waiting.join(20)
    assert path.read_bytes() == b"new"
    assert names(path) == ["file.toml"]


def test_a_claim_without_an_owner_counts_for_a_second(path: Path) -> None:
    claim_of(path).touch()
    past = time.time() - 1.1
    os.utime(claim_of(path), (past, past))
    replace_file(path, b"new", expect=b"old")
    assert names(path) == ["file.toml"]


def test_one_who_waits_sees_that_another_was_faster(path: Path) -> None:
    claim_of(path).write_text("another-machine 1")
    failed: list[BaseException] = []

    def wait() -> None:
        try:
            replace_file(path, b"mine", expect=b"old")
        except ContentChanged as error:
            failed.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.1)
    path.write_bytes(b"theirs")
    waiting.join(20)
    assert len(failed) == 1
    assert path.read_bytes() == b"theirs"
    assert names(path) == [claim_of(path).name, "file.toml"]


@pytest.mark.parametrize("owner", ["", "x", "x 99999999999999999999999", "x -1", "\x00 \x00"])
def test_a_claim_can_hold_anything(path: Path, owner: str) -> None:
    claim = claim_of(path)
    claim.write_text(owner)
    assert not atomic.is_abandoned(claim, claim.stat().st_mtime)
    assert atomic.is_abandoned(claim, claim.stat().st_mtime + 61)
    claim.unlink()
    assert not atomic.is_abandoned(claim, time.time())
