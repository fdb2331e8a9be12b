"""What ``init`` writes, and what it leaves alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from adapter_hub.errors import ConflictError, RegistryError
from adapter_hub.registry import atomic
from adapter_hub.registry.files import create_registry, ignore_in_git

BOTH = b"adapters/\n.registry.toml.lock\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, BOTH),
        (b"", BOTH),
        (b"*.pyc\n", b"*.pyc\n" + BOTH),
        (b"*.pyc", b"*.pyc\n" + BOTH),
        (b"*.pyc\r\n", b"*.pyc\r\nadapters/\r\n.registry.toml.lock\r\n"),
        (b"# caf\xe9\n", b"# caf\xe9\n" + BOTH),
        (b"# not adapters/ yet\n", b"# not adapters/ yet\n" + BOTH),
        (b"  adapters/  \nx\n", b"  adapters/  \nx\n.registry.toml.lock\n"),
        (BOTH, BOTH),
    ],
)
def test_what_git_ignores(tmp_path: Path, before: bytes | None, after: bytes) -> None:
    path = tmp_path / ".gitignore"
    if before is not None:
        path.write_bytes(before)
    ignore_in_git(tmp_path)
    assert path.read_bytes() == after
    ignore_in_git(tmp_path)
    assert path.read_bytes() == after


def test_a_new_file_has_the_usual_mode_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    ignore_in_git(tmp_path)
    path = tmp_path / ".gitignore"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~atomic.umask()
    path.write_bytes(b"")
    path.chmod(0o640)
    ignore_in_git(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"")
    os.symlink("real", tmp_path / ".gitignore")
    ignore_in_git(tmp_path)
    assert os.readlink(tmp_path / ".gitignore") == "real"
    assert (tmp_path / "real").read_bytes() == BOTH


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").mkdir()
    with pytest.raises(RegistryError, match=r"\.gitignore cannot be written") as caught:
        ignore_in_git(tmp_path)
    assert caught.value.hint is not None


def test_create(tmp_path: Path) -> None:
    path = create_registry(tmp_path / "a/b", "schema = 1\n")
    assert path.read_bytes() == b"schema = 1\n"
    with pytest.raises(ConflictError, match="already there; nothing was changed"):
        create_registry(tmp_path / "a/b", "other")
    assert path.read_bytes() == b"schema = 1\n"
    (tmp_path / "file").touch()
    with pytest.raises(RegistryError, match="cannot be written"):
        create_registry(tmp_path / "file/x", "schema = 1\n")
