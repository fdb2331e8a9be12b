"""Renames: entry and files have the new name together, or neither has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import tomli

from adapter_hub.errors import (
    ConflictError,
    RegistryError,
    UnknownNameError,
    UsageError,
)
from adapter_hub.model import Recipe, TrainingSettings, Version
from adapter_hub.registry import renames, store
from adapter_hub.registry.renames import rename_adapter
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import (
    damage,
    file_digests,
    publish_version,
    staging_folder,
)

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
RECIPE = Recipe(base="b", options={"r": 8}, data="d", training=TrainingSettings(steps=3))


def publish(registry: Registry, name: str, text: str = "weights", **how: Any) -> int:
    with staging_folder(registry, name) as folder:
        (folder / "sub").mkdir()
        (folder / "sub/file").write_text(text)
        version = Version(number=0, created=CREATED, files=file_digests(folder))
        return publish_version(registry, name, folder, version, how.pop("recipe", RECIPE), **how)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """With adapter ``old``, which has one version."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "registry.toml").write_text("schema = 1\n")
    registry = Registry.open(folder)
    publish(registry, "old")
    return registry


def read(registry: Registry) -> dict[str, Any]:
    return tomli.loads(registry.path.read_text())


def tree(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*"))


def test_rename_moves_entry_and_files(registry: Registry) -> None:
    os.symlink("file", registry.version_folder("old", 1) / "sub/link")
    rename_adapter(registry, "old", "new")
    adapter = registry.adapter("new")
    assert read(registry)["adapters"].keys() == {"new"}
    assert (registry.version_folder("new", 1) / "sub/link").is_symlink()
    (registry.version_folder("new", 1) / "sub/link").unlink()
    assert damage(registry.version_folder("new", 1), adapter.versions[1]) == []
    assert [each.name for each in (registry.folder / "adapters").iterdir()] == ["new"]


@pytest.mark.parametrize(
    ("new", "error"),
    [
        ("../../outside", UsageError),
        ("a/b", UsageError),
        ("..", UsageError),
        ("con", UsageError),
        ("", UsageError),
        ("taken", ConflictError),
        ("TAKEN", ConflictError),
        ("full", ConflictError),
        ("file", ConflictError),
    ],
)
def test_a_refused_rename_changes_nothing(
    registry: Registry, new: str, error: type[Exception]
) -> None:
    publish(registry, "taken")
    (registry.folder.parent / "outside").mkdir()
    (registry.folder / "adapters/full/9").mkdir(parents=True)
    (registry.folder / "adapters/file").touch()
    before = registry.path.read_bytes(), tree(registry.folder.parent)
    with pytest.raises(error):
        rename_adapter(registry, "old", new)
    assert (registry.path.read_bytes(), tree(registry.folder.parent)) == before


def test_rename_of_what_is_not_there(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match=r"no adapter 'odl' \(did you mean 'old'\?\)"):
        rename_adapter(registry, "odl", "new")


def test_rename_to_its_own_name_writes_nothing(registry: Registry) -> None:
    before = registry.path.stat().st_mtime_ns
    rename_adapter(registry, "old", "old")
    assert registry.path.stat().st_mtime_ns == before


def test_rename_that_changes_the_case(registry: Registry) -> None:
    rename_adapter(registry, "old", "Old")
    assert damage(registry.version_folder("Old", 1), registry.adapter("Old").versions[1]) == []
    assert os.listdir(registry.folder / "adapters") == ["Old"]


def test_rename_onto_an_empty_folder_and_of_an_adapter_without_files(registry: Registry) -> None:
    (registry.folder / "adapters/new").mkdir()
    rename_adapter(registry, "old", "new")
    assert registry.version_folder("new", 1).is_dir()
    shutil.rmtree(registry.folder / "adapters/new")
    rename_adapter(registry, "new", "newer")
    assert list(registry.adapter("newer").versions) == [1]


def test_rename_of_a_linked_folder_moves_the_link(registry: Registry) -> None:
    elsewhere = registry.folder.parent / "elsewhere"
    (registry.folder / "adapters/old").rename(elsewhere)
    os.symlink("../../elsewhere", registry.folder / "adapters/old")
    rename_adapter(registry, "old", "new")
    assert os.readlink(registry.folder / "adapters/new") == "../../elsewhere"
    assert not os.path.lexists(registry.folder / "adapters/old")
    assert (elsewhere / "1/sub/file").is_file()


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied"),
        NotADirectoryError(20, "Not a directory"),
        shutil.Error([("from", "to", "the disk is full")]),
    ],
)
def test_a_copy_that_fails_leaves_no_half(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    before = registry.path.read_bytes(), tree(registry.folder)

    def half(source: str, target: str) -> None:
        Path(target).touch()
        raise error

    monkeypatch.setattr(renames, "_link_or_copy", half)
    with pytest.raises(RegistryError, match=r"cannot be moved to .*; nothing was changed"):
        rename_adapter(registry, "old", "new")
    assert (registry.path.read_bytes(), tree(registry.folder)) == before


def test_an_edit_that_fails_takes_the_links_back(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = registry.path.read_bytes(), tree(registry.folder)
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.01)
    program = (
        "import sys, filelock\n"
        "with filelock.FileLock(sys.argv[1]):\n"
        "    print('locked', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    lock = registry.path.with_name(".registry.toml.lock")
    with subprocess.Popen(
        [sys.executable, "-c", program, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(ConflictError, match="locked by another process"):
            rename_adapter(registry, "old", "new")
        holder.communicate()
    assert (registry.path.read_bytes(), tree(registry.folder)) == before
