"""What ``plugins new`` writes: whole or not at all, and it works as written."""

from __future__ import annotations

import importlib
import os
import re
import stat
import sys
from pathlib import Path

import pytest
import tomli
from fresh import ROOT, Fresh

from adapter_hub import hookimpl, templates
from adapter_hub.errors import ConflictError, UsageError
from adapter_hub.plugins import Catalog, Kind, load_catalog
from adapter_hub.registry.atomic import umask
from adapter_hub.templates import BUNDLED, NEEDS, write_plugin
from adapter_hub.testing import check_plugin


@pytest.fixture
def catalog() -> Catalog:
    return load_catalog()


@pytest.mark.parametrize("kind", NEEDS)
def test_it_is_a_plugin(
    tmp_path: Path, catalog: Catalog, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_plugin("two-words", kind, tmp_path, catalog)
    assert folder == tmp_path / "adapter-hub-two-words"
    settings = tomli.loads((folder / "pyproject.toml").read_text())
    project = settings["project"]
    assert project["name"] == "adapter-hub-two-words"
    assert project["entry-points"]["adapter_hub"] == {"two-words": "adapter_hub_two_words"}
    assert "adapter-hub>=0.1" in project["dependencies"]
    monkeypatch.syspath_prepend(folder)
    plugin = importlib.import_module("adapter_hub_two_words")
    del sys.modules["adapter_hub_two_words"]  # the next kind has a module of this name, too
    check_plugin(plugin)
    catalog.add_plugin(plugin, "two-words", "adapter-hub-two-words", "0.1.0")
    assert catalog.find(kind, "two-words").summary
    compile((folder / "tests/test_adapter_hub_two_words.py").read_text(), "test", "exec")
    assert "two-words" in (folder / "README.md").read_text()
    for path in folder.rglob("*"):
        assert "$" not in (path.read_text() if path.is_file() else ""), path


def test_others_may_read_it(tmp_path: Path, catalog: Catalog) -> None:
    folder = write_plugin("mine", "method", tmp_path, catalog)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~umask()
    assert os.listdir(tmp_path) == ["adapter-hub-mine"]


def test_the_prefix_may_be_given(tmp_path: Path, catalog: Catalog) -> None:
    folder = write_plugin("adapter-hub-mine", "base", tmp_path, catalog)
    assert folder.name == "adapter-hub-mine"


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("", "cannot name a method", None),
        ("adapter-hub-", "cannot name a method", None),
        ("../away", "cannot name a method", None),
        ("a/b", "cannot name a method", None),
        ("nul", "cannot name a method", None),
        ("x" * 97, "cannot name a method", None),
        ("Mine", "lower-case letters, digits and single '-'", "adapter-hub plugins new mine"),
        ("my_own.one", "lower-case letters", "adapter-hub plugins new my-own-one"),
        ("a--b", "lower-case letters", "adapter-hub plugins new a-b"),
        ("lora", "method 'lora' is already built in", "adapter-hub plugins new my-lora"),
        ("peft", "a plugin of adapter-hub's own", "adapter-hub plugins new my-peft"),
    ],
)
def test_names_that_cannot_be(
    tmp_path: Path, catalog: Catalog, name: str, words: str, hint: str | None
) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        write_plugin(name, "method", tmp_path, catalog)
    assert caught.value.hint == hint
    assert os.listdir(tmp_path) == []


def test_a_name_of_an_installed_plugin_is_taken(tmp_path: Path, catalog: Catalog) -> None:
    from types import ModuleType

    plugin = ModuleType("other")
    vars(plugin)["register_bases"] = hookimpl(
        lambda register: register("huge", print, summary="a base")
    )
    catalog.add_plugin(plugin, "other", "dist-other", "1")
    with pytest.raises(UsageError, match="base 'huge' is already offered by dist-other"):
        write_plugin("huge", "base", tmp_path, catalog)
    assert write_plugin("huge", "dataset", tmp_path, catalog).exists()


def test_the_plugins_of_this_repository_are_known() -> None:
    folders = {path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml")}
    assert {f"adapter-hub-{name}" for name in BUNDLED} >= folders


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_nothing_is_overwritten(tmp_path: Path, catalog: Catalog, there: str) -> None:
    path = tmp_path / "adapter-hub-mine"
    if there == "folder":
        path.mkdir()
    elif there == "file":
        path.write_text("mine")
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConflictError, match="is already there; nothing was written"):
        write_plugin("mine", "method", tmp_path, catalog)
    assert os.listdir(tmp_path) == ["adapter-hub-mine"]


def test_somebody_faster_is_not_overwritten(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = templates._write_files

    def slowly(*arguments: object) -> None:
        write(*arguments)  # type: ignore[arg-type]
        (tmp_path / "adapter-hub-mine").mkdir()
        (tmp_path / "adapter-hub-mine/theirs").touch()

    monkeypatch.setattr(templates, "_write_files", slowly)
    with pytest.raises(ConflictError):
        write_plugin("mine", "method", tmp_path, catalog)
    assert os.listdir(tmp_path) == ["adapter-hub-mine"]
    assert os.listdir(tmp_path / "adapter-hub-mine") == ["theirs"]


def test_a_disk_that_is_full_leaves_nothing(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text

    def full(self: Path, *arguments: object, **keywords: object) -> int:
        if self.name == "README.md":
            raise OSError(28, "No space left on device", str(self))
        return write(self, *arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_plugin("mine", "method", tmp_path, catalog)
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", NEEDS)
def test_it_installs_and_passes_its_own_test(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, catalog: Catalog, kind: Kind
) -> None:
    fresh = Fresh(tmp_path_factory.mktemp("fresh") / "venv")
    folder = write_plugin("mine", kind, tmp_path, catalog)
    installed = fresh.run(
        "pip", "install", "--no-deps", "--no-build-isolation", str(folder), cwd=tmp_path
    )
    assert installed.returncode == 0, installed.stderr
    listed = fresh.run("adapter-hub", "plugins", "--check", cwd=tmp_path)
    assert listed.returncode == 0, listed.stdout
    assert re.search(rf"^mine +adapter-hub-mine +0\.1\.0 +{kind} mine +ok$", listed.stdout, re.M)
    tested = fresh.run("pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert " passed" in tested.stdout
