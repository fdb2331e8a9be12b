"""Versions when something fails, and when they are removed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import tomli

from adapter_hub.errors import (
    ConflictError,
    Interrupted,
    RegistryError,
    UnknownNameError,
)
from adapter_hub.model import Recipe, TrainingSettings, Version
from adapter_hub.registry import atomic, locking
from adapter_hub.registry.renames import rename_adapter
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import (
    damage,
    file_digests,
    publish_version,
    remove_adapter,
    remove_version,
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


# Publishing --------------------------------------------------------------------------------


def test_a_published_version_is_complete(registry: Registry) -> None:
    version = registry.adapter("old").versions[1]
    folder = registry.version_folder("old", 1)
    assert damage(folder, version) == []
    assert tree(folder.parent) == ["1", "1/sub", "1/sub/file"]
    assert list(version.files) == ["sub/file"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~mask
    assert stat.S_IMODE((folder / "sub/file").stat().st_mode) == 0o666 & ~mask


def test_a_folder_left_from_a_crash_keeps_its_number(registry: Registry) -> None:
    registry.version_folder("old", 2).mkdir()
    os.symlink("nowhere", registry.version_folder("old", 3))
    assert publish(registry, "old") == 4
    assert list(registry.adapter("old").versions) == [1, 4]


def test_the_time_is_written_in_whole_seconds_of_utc(registry: Registry) -> None:
    there = timezone(timedelta(hours=2))
    with staging_folder(registry, "old") as folder:
        created = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=there)
        publish_version(registry, "old", folder, Version(number=0, created=created, files={}))
    assert "created = 2026-01-02T01:04:05Z" in registry.path.read_text()


def test_a_folder_that_cannot_be_made(registry: Registry) -> None:
    (registry.folder / "adapters/new").touch()
    with pytest.raises(RegistryError, match="adapters/new cannot be written"):
        publish(registry, "new")


def test_an_adapter_that_does_not_come_to_be_leaves_no_folder(registry: Registry) -> None:
    with pytest.raises(ZeroDivisionError), staging_folder(registry, "new"):
        raise ZeroDivisionError
    assert os.listdir(registry.folder / "adapters") == ["old"]


def test_a_twin_by_case_is_refused(registry: Registry) -> None:
    before = registry.path.read_bytes()
    with pytest.raises(ConflictError, match="already adapter 'old'"):
        publish(registry, "OLD")
    assert registry.path.read_bytes() == before
    assert registry.version_folder("old", 1).is_dir()


def test_an_edit_that_fails_takes_the_folder_back(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = registry.path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RegistryError, match="No space left on device"):
        publish(registry, "old")
    assert registry.path.read_bytes() == before
    assert tree(registry.folder / "adapters/old") == ["1", "1/sub", "1/sub/file"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_what_fails_after_the_replacing_keeps_the_version(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    replace = os.replace

    def replace_and_fail(*paths: Any) -> None:
        replace(*paths)
        raise error

    monkeypatch.setattr(os, "replace", replace_and_fail)
    if isinstance(error, Exception):
        assert publish(registry, "old") == 2
    else:
        with pytest.raises(Interrupted, match="old@2 was saved already"):
            publish(registry, "old")
    monkeypatch.undo()
    again = Registry.open(registry.path).adapter("old")
    assert list(again.versions) == [1, 2]
    assert damage(registry.version_folder("old", 2), again.versions[2]) == []


def test_an_interrupt_before_the_replacing_leaves_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish(registry, "old")
    monkeypatch.undo()
    assert list(Registry.open(registry.path).adapter("old").versions) == [1]
    assert not registry.version_folder("old", 2).exists()


def test_what_cannot_be_read_any_more_keeps_the_folder(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        registry.path.write_text("not TOML")
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(atomic.os, "replace", broken)
    assert publish(registry, "old") == 2
    assert registry.version_folder("old", 2).is_dir()


# The recipe --------------------------------------------------------------------------------


def written(registry: Registry, after: Recipe, before: Recipe | None) -> dict[str, Any]:
    publish(registry, "old", recipe=after, before=before)
    entry: dict[str, Any] = read(registry)["adapters"]["old"]
    return {key: value for key, value in entry.items() if key != "versions"}


def test_a_new_entry_gets_the_whole_recipe(registry: Registry) -> None:
    assert written(registry, RECIPE, RECIPE) == {
        "base": "b",
        "method": "lora",
        "options": {"r": 8},
        "data": "d",
        "training": {"steps": 3},
    }


def test_only_what_differs_is_written(registry: Registry) -> None:
    def by_hand(document: dict[str, Any]) -> None:
        entry = document["adapters"]["old"]
        entry.update(data="mine", options={"r": 4, "mine": 1}, training={"steps": 3, "seed": 7})

    registry.edit(by_hand)
    after = dataclasses.replace(
        RECIPE,
        base="c",
        options={"r": 8, "alpha": True},
        training=TrainingSettings(learning_rate=0.1),
    )
    assert written(registry, after, RECIPE) == {
        "base": "c",
        "method": "lora",
        "options": {"r": 4, "mine": 1, "alpha": True},
        "data": "mine",
        "training": {"seed": 7, "learning_rate": 0.1},
    }


@pytest.mark.parametrize(
    ("before", "after", "key", "value"),
    [
        ({"eval_data": "e"}, {}, "eval_data", None),
        ({"options": {"r": 8}}, {"options": {}}, "options", None),
        ({"options": {"r": 8, "x": 1}}, {"options": {"x": 1}}, "options", {"x": 1}),
        ({"options": {"r": 1}}, {"options": {"r": True}}, "options", {"r": True}),
        ({}, {"column_map": {"q": "prompt"}}, "column_map", {"q": "prompt"}),
        ({"column_map": {"q": "prompt"}}, {}, "column_map", None),
        ({"data": "d"}, {"data": "e"}, "data", "e"),
        ({"data_options": {"x": 1}}, {"data_options": {"x": 2}}, "data_options", {"x": 2}),
        ({"data_options": {"x": 1}}, {}, "data_options", None),
    ],
)
def test_one_change_of_a_recipe(
    registry: Registry, before: dict[str, Any], after: dict[str, Any], key: str, value: Any
) -> None:
    first = dataclasses.replace(Recipe(base="b"), **before)
    publish(registry, "new", recipe=first)
    publish(registry, "new", recipe=dataclasses.replace(Recipe(base="b"), **after), before=first)
    entry = read(registry)["adapters"]["new"]
    assert repr(entry.get(key)) == repr(value)


def test_options_added_by_hand_outlive_the_ones_that_go(registry: Registry) -> None:
    registry.edit(lambda document: document["adapters"]["old"]["options"].update(mine=1))
    after = dataclasses.replace(RECIPE, options={})
    assert written(registry, after, RECIPE)["options"] == {"mine": 1}


# Removing ----------------------------------------------------------------------------------


def test_remove_an_adapter(registry: Registry) -> None:
    publish(registry, "other")
    remove_adapter(registry, "old")
    assert read(registry)["adapters"].keys() == {"other"}
    assert os.listdir(registry.folder / "adapters") == ["other"]
    with pytest.raises(UnknownNameError):
        remove_adapter(registry, "old")


def test_remove_a_version(registry: Registry) -> None:
    publish(registry, "old")
    registry.edit(lambda document: document["adapters"]["old"].update(aliases={"prod": 1}))
    adapter = registry.adapter("old")
    with pytest.raises(ConflictError, match="old@1 is prod; nothing was removed"):
        remove_version(registry, adapter, adapter.versions[1])
    remove_version(registry, adapter, adapter.versions[2])
    assert list(registry.adapter("old").versions) == [1]
    assert os.listdir(registry.folder / "adapters/old") == ["1"]


def test_a_link_is_removed_and_not_what_it_leads_to(registry: Registry) -> None:
    elsewhere = registry.folder.parent / "elsewhere"
    folder = registry.version_folder("old", 1)
    folder.rename(elsewhere)
    os.symlink(elsewhere, folder)
    adapter = registry.adapter("old")
    remove_version(registry, adapter, adapter.versions[1])
    assert not os.path.lexists(folder)
    assert (elsewhere / "sub/file").is_file()


def test_files_that_stay_are_named(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = os.unlink

    def refuse(path: Any, *arguments: Any, **how: Any) -> None:
        if str(path).endswith("file"):
            raise PermissionError(13, "Permission denied", "sub/file")
        unlink(path, *arguments, **how)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(RegistryError, match=r"could be deleted: .*Permission.*sub/file") as caught:
        remove_adapter(registry, "old")
    assert "registry.toml is changed" in caught.value.message
    assert str(registry.folder / "adapters/old") in caught.value.message
    assert "adapter-hub gc" in str(caught.value.hint)
    assert "old" not in read(registry).get("adapters", {})


def test_files_that_are_gone_already(registry: Registry) -> None:
    shutil.rmtree(registry.folder / "adapters")
    remove_adapter(registry, "old")
    assert "old" not in read(registry).get("adapters", {})


@pytest.fixture
def left(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is in ``adapters/old`` each time that an edit lets go of the lock."""
    seen: list[list[str]] = []
    locked = locking.locked

    @contextlib.contextmanager
    def watched(path: Path, seconds: float) -> Iterator[None]:
        with locked(path, seconds):
            yield
            folder = registry.folder / "adapters/old"
            seen.append(sorted(os.listdir(folder)) if folder.exists() else [])

    monkeypatch.setattr(locking, "locked", watched)
    return seen


def test_nobody_gets_the_lock_before_the_old_files_are_gone(
    registry: Registry, left: list[list[str]]
) -> None:
    """Else a version published meanwhile would be renamed with them: they had two new names."""
    publish(registry, "old")
    left.clear()
    remove_version(registry, registry.adapter("old"), registry.adapter("old").versions[1])
    assert left == [["2"]]
    rename_adapter(registry, "old", "new")
    assert left == [["2"], []]
    rename_adapter(registry, "new", "old")
    remove_adapter(registry, "old")
    assert left == [["2"], [], ["2"], []]
