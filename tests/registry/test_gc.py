"""gc: what nothing references goes, what somebody uses or made by hand stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapter_hub.model import Version
from adapter_hub.registry.gc import Collection, find_garbage, remove_garbage
from adapter_hub.registry.renames import rename_adapter
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import (
    damage,
    file_digests,
    publish_version,
    staging_folder,
)

CREATED = "2026-01-01T00:00:00Z"
OLD = time.time() - 30 * 86400


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "registry.toml").write_text("schema = 1\n")
    registry = Registry.open(tmp_path / "registry.toml")
    publish(registry, "kept")
    return registry


def publish(registry: Registry, name: str, size: int = 100) -> int:
    import datetime

    with staging_folder(registry, name) as folder:
        (folder / "adapter_config.json").write_text("{}")
        (folder / "adapter_model.safetensors").write_bytes(os.urandom(size))
        now = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
        return publish_version(
            registry, name, folder, Version(number=0, created=now, files=file_digests(folder))
        )


def collect(registry: Registry, older_than: float | None = None) -> Collection:
    found = find_garbage(Registry.open(registry.path), older_than)
    removed = remove_garbage(registry, found)
    again = find_garbage(Registry.open(registry.path), older_than)
    assert again.garbage == []
    adapter = registry.adapter("kept")
    assert damage(registry.version_folder("kept", 1), adapter.versions[1]) == []
    return removed


def paths(found: Collection) -> list[str]:
    return [each.path for each in found.garbage]


def make(path: Path, content: bytes = b"12345", *, old: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if old:
        for each in (path, path.parent):
            os.utime(each, (OLD, OLD))
    return path


def test_nothing_to_do(registry: Registry) -> None:
    before = registry.path.stat()
    assert find_garbage(registry) == Collection()
    assert collect(registry) == Collection()
    assert registry.path.stat().st_mtime_ns == before.st_mtime_ns


def test_versions_that_the_registry_does_not_name(registry: Registry) -> None:
    adapters = registry.folder / "adapters"
    make(adapters / "kept/2/adapter_config.json")
    make(adapters / "gone/1/adapter_model.safetensors", b"x" * 1000)
    (adapters / "gone/2").mkdir()
    found = find_garbage(registry)
    assert [(each.path, each.kind, each.bytes) for each in found.garbage] == [
        ("adapters/gone/1", "version", 1000),
        ("adapters/gone/2", "version", 0),
        ("adapters/kept/2", "version", 5),
    ]
    assert found.bytes == 1005
    assert os.path.exists(adapters / "gone/1")
    assert collect(registry).bytes == 1005
    assert sorted(os.listdir(adapters)) == ["kept"]


def test_what_a_person_put_there_stays_and_is_named(registry: Registry) -> None:
    adapters = registry.folder / "adapters"
    mine = ["README", "kept/notes.txt", "kept/7/diary.txt", "kept/best/adapter_config.json"]
    mine += ["kept/007/adapter_config.json", "kept/8", "trials/x/adapter_config.json"]
    for each in mine:
        make(adapters / each)
    kept = {each.path: each.reason for each in collect(registry).kept}
    assert kept.keys() == {
        "adapters/README",
        "adapters/kept/notes.txt",
        "adapters/kept/7",
        "adapters/kept/best",
        "adapters/kept/007",
        "adapters/kept/8",
        "adapters/trials/x",
    }
    assert kept["adapters/kept/7"] == "no adapter's files are in it"
    assert all((adapters / each).is_file() for each in mine)


def test_links_are_not_followed(registry: Registry, tmp_path: Path) -> None:
    adapters = registry.folder / "adapters"
    outside = tmp_path / "outside"
    make(outside / "9/adapter_config.json")
    make(outside / ".staging-abcdefgh/adapter_config.json", old=True)
    os.symlink(outside, adapters / "linked")
    os.symlink(outside / "9", adapters / "kept/9")
    for each in (".runs", ".pulls"):
        os.symlink(outside, adapters / each)
    os.symlink(outside / "9", adapters / "kept/.staging-abcdefgh")
    make(adapters / "gone/1/adapter_config.json")
    os.symlink(outside, adapters / "gone/1/deep")
    collected = collect(registry)
    assert paths(collected) == ["adapters/gone/1"]
    assert {each.path for each in collected.kept} == {
        "adapters/linked",
        "adapters/kept/9",
        "adapters/.runs",
        "adapters/.pulls",
        "adapters/kept/.staging-abcdefgh",
    }
    assert (outside / "9/adapter_config.json").is_file()
    assert (outside / ".staging-abcdefgh/adapter_config.json").is_file()


def test_a_linked_folder_of_adapters_is_left_alone(registry: Registry, tmp_path: Path) -> None:
    (registry.folder / "adapters").rename(tmp_path / "shared")
    os.symlink(tmp_path / "shared", registry.folder / "adapters")
    make(tmp_path / "shared/kept/2/adapter_config.json")
    collected = collect(registry)
    assert collected.garbage == []
    assert "another registry may share" in collected.kept[0].reason


def test_names_are_compared_without_case(registry: Registry) -> None:
    """As on a file system that ignores it: the folder may be called as the adapter once was."""
    os.rename(registry.folder / "adapters/kept", registry.folder / "adapters/KEPT")
    assert find_garbage(registry).garbage == []
    os.rename(registry.folder / "adapters/KEPT", registry.folder / "adapters/kept")
    collect(registry)


def test_a_file_that_lives_on_elsewhere_gives_no_bytes_back(registry: Registry) -> None:
    config = registry.version_folder("kept", 1) / "adapter_config.json"
    for name in ("twin/1", "twin/2"):
        make(registry.folder / "adapters" / name / "adapter_model.safetensors", b"x" * 50)
        os.link(config, registry.folder / "adapters" / name / "adapter_config.json")
    twins = registry.folder / "adapters"
    os.unlink(twins / "twin/2/adapter_model.safetensors")
    os.link(twins / "twin/1/adapter_model.safetensors", twins / "twin/2/adapter_model.safetensors")
    assert [each.bytes for each in find_garbage(registry).garbage] == [50, 0]
    assert collect(registry).bytes == 50


# Processes ---------------------------------------------------------------------------------

FILL = """
import sys
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import staging_folder
with staging_folder(Registry.open(), "kept") as folder:
    (folder / "adapter_config.json").write_text("{}")
    print(folder.name, flush=True)
    sys.stdin.read()
"""
TRAIN = """
import sys
from adapter_hub.registry.store import Registry
from adapter_hub.training.workspace import workspace
with workspace(Registry.open(), "kept") as folder:
    (folder / "checkpoint.safetensors").write_bytes(b"12345678")
    (folder / "checkpoint.tmp").write_bytes(b"123")
    print("ready", flush=True)
    sys.stdin.read()
"""
PULL = """
import sys
from types import SimpleNamespace
from adapter_hub.hub.pull import landing
from adapter_hub.registry.store import Registry
commit = SimpleNamespace(remote=SimpleNamespace(endpoint="http://hub"), repo="a/b", revision="c")
with landing(Registry.open(), commit) as folder:
    (folder / "adapter_config.json").write_bytes(b"1234567")
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def start(registry: Registry) -> Iterator[Any]:
    started: list[subprocess.Popen[str]] = []

    def run(program: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=registry.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield run
    for each in started:
        each.kill()
        each.communicate()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_version_that_is_being_made(registry: Registry, start: Any) -> None:
    process, name = start(FILL)
    staging = registry.folder / "adapters/kept" / name
    os.utime(staging, (OLD, OLD))
    collected = collect(registry, older_than=0)
    assert [(each.path, each.reason) for each in collected.kept] == [
        (f"adapters/kept/{name}", "another process is filling it")
    ]
    assert (staging / "adapter_config.json").is_file()
    end(process)
    assert paths(collect(registry)) == [f"adapters/kept/{name}"]
    assert not staging.exists()


def test_a_rename_or_removal_leaves_what_another_process_is_making(
    registry: Registry, start: Any
) -> None:
    process, name = start(FILL)
    staging = registry.folder / "adapters/kept" / name
    rename_adapter(registry, "kept", "moved")
    assert os.listdir(registry.folder / "adapters/kept") == [name]
    assert os.listdir(registry.folder / "adapters/moved") == ["1"]
    assert (staging / "adapter_config.json").is_file()
    end(process)
    rename_adapter(registry, "moved", "other")
    found = find_garbage(registry)
    assert paths(found) == [f"adapters/kept/{name}"]
    remove_garbage(registry, found)
    assert os.listdir(registry.folder / "adapters") == ["other"]


def test_interrupted_runs(registry: Registry, start: Any) -> None:
    process, _ = start(TRAIN)
    run = registry.folder / "adapters/.runs/kept"
    collected = collect(registry, older_than=0)
    assert [each.reason for each in collected.kept] == ["it is being trained now"]
    assert sorted(os.listdir(run)) == [
        "checkpoint.safetensors",
        "checkpoint.tmp",
        "lock",
        "scratch-0",
    ]
    end(process)
    collected = collect(registry)
    assert [(each.path, each.kind, each.bytes) for each in collected.garbage] == [
        ("adapters/.runs/kept/checkpoint.tmp", "leftover", 3),
        ("adapters/.runs/kept/scratch-0", "leftover", 0),
    ]
    assert [each.reason for each in collected.kept] == [
        "an interrupted run: adapter-hub train kept --resume"
    ]
    assert collect(registry, older_than=3600).garbage == []
    for each in (run, *run.iterdir()):
        os.utime(each, (OLD, OLD))
    collected = collect(registry, older_than=3600)
    assert [(each.path, each.kind, each.bytes) for each in collected.garbage] == [
        ("adapters/.runs/kept/checkpoint.safetensors", "run", 8)
    ]
    assert os.listdir(run) == ["lock"]
    assert collect(registry, older_than=0) == Collection()


def test_an_interrupted_trial(registry: Registry) -> None:
    run = registry.folder / "adapters/.runs/kept+0123456789ab"
    run.mkdir(parents=True)
    (run / "checkpoint.safetensors").write_bytes(b"12345678")
    (run / "lock").touch()
    assert [each.reason for each in collect(registry).kept] == [
        "an interrupted run: adapter-hub sweep kept, with the same flags"
    ]


def test_interrupted_downloads(registry: Registry, start: Any) -> None:
    process, _ = start(PULL)
    place = registry.folder / "adapters/.pulls/http___hub_a_b/c"
    assert [each.reason for each in collect(registry, 0).kept] == ["it is being pulled now"]
    assert place.is_dir()
    end(process)
    assert "the next pull goes on" in collect(registry).kept[0].reason
    collected = collect(registry, 0)
    assert [(each.kind, each.bytes) for each in collected.garbage] == [("download", 7)]
    assert not place.exists()


def test_where_locks_tell_nothing_age_decides(
    registry: Registry, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapter_hub.registry import occupied

    monkeypatch.setattr(occupied, "_lock", lambda descriptor: True)  # as on some file systems
    make(registry.folder / ".registry.toml.abcdefgh.tmp")
    process, name = start(FILL)
    staging = registry.folder / "adapters/kept" / name
    assert collect(registry).garbage == []
    assert staging.is_dir()
    for each in (staging, *staging.iterdir(), registry.folder / ".registry.toml.abcdefgh.tmp"):
        os.utime(each, (OLD, OLD))
    assert len(collect(registry).garbage) == 2
    end(process)


# Leftovers ---------------------------------------------------------------------------------


def test_leftovers_of_edits(registry: Registry) -> None:
    folder = registry.folder
    make(folder / ".registry.toml.abcdef_1.tmp")
    make(folder / ".registry.toml.0123456789abcdef.claim")
    make(folder / ".registry.lock.abcdef_1.tmp")
    make(folder / "adapters/.digests.json.abcdef_1.tmp", old=True)
    make(folder / "adapters/.removing-abcdefgh/0-1/adapter_config.json")
    make(folder / "adapters/.renaming-abcdefgh/1/adapter_config.json")
    (folder / "adapters/empty").mkdir()
    mine = [".registry.toml.original", ".registry.toml.bak.tmp", "notes.abcdefgh.tmp"]
    for each in mine:
        make(folder / each, old=True)
    assert set(paths(collect(registry))) == {
        ".registry.toml.abcdef_1.tmp",
        ".registry.toml.0123456789abcdef.claim",
        "adapters/.digests.json.abcdef_1.tmp",
        "adapters/.removing-abcdefgh",
        "adapters/.renaming-abcdefgh",
        "adapters/empty",
    }
    assert sorted(os.listdir(folder / "adapters")) == ["kept"]
    assert {*mine, ".registry.lock.abcdef_1.tmp"} <= set(os.listdir(folder))


def test_what_became_a_version_since_it_was_found_stays(registry: Registry) -> None:
    make(registry.folder / "adapters/kept/2/adapter_config.json")
    (registry.folder / "adapters/empty").mkdir()
    found = find_garbage(registry)
    assert paths(found) == ["adapters/empty", "adapters/kept/2"]
    registry.edit_adapter(
        "kept", lambda entry: entry["versions"].update({"2": entry["versions"]["1"]})
    )
    make(registry.folder / "adapters/empty/.staging-abcdefgh/adapter_config.json")
    removed = remove_garbage(registry, found)
    assert removed.garbage == []
    assert (registry.folder / "adapters/kept/2/adapter_config.json").is_file()
    assert (registry.folder / "adapters/empty/.staging-abcdefgh/adapter_config.json").is_file()


def test_what_cannot_be_removed_is_named(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(registry.folder / "adapters/gone/1/adapter_config.json")
    unlink = os.unlink

    def refuse(path: Any, *arguments: Any, **how: Any) -> None:
        if str(path).endswith("adapter_config.json"):
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, *arguments, **how)

    monkeypatch.setattr(os, "unlink", refuse)
    removed = remove_garbage(registry, find_garbage(registry))
    assert "cannot be removed: [Errno 13] Permission denied" in removed.kept[0].reason
    assert removed.kept[0].path.startswith("adapters/.removing-")
    monkeypatch.undo()
    assert len(collect(registry).garbage) == 1
    assert os.listdir(registry.folder / "adapters") == ["kept"]
