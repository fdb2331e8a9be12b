"""Version folders: complete before they are named, numbered, checked against their digests."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from adapter_hub.errors import ConflictError, RegistryError, UnknownNameError, UsageError
from adapter_hub.model import Recipe, Version
from adapter_hub.registry.renames import rename_adapter
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import (
    damage,
    file_digest,
    file_digests,
    publish_version,
    remove_adapter,
    remove_version,
    staging_folder,
    version_digest,
)

CREATED = datetime(2026, 1, 2, tzinfo=timezone.utc)
START = "schema = 1\n\n# ours\n[adapters.mine]\nbase = 'b' # pinned\ndata = \"f\"\n"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "registry.toml").write_text(START)
    return Registry.open(tmp_path)


def publish(registry: Registry, name: str = "mine", content: str = "x") -> int:
    with staging_folder(registry, name) as folder:
        (folder / "adapter_config.json").write_text("{}")
        (folder / "more").mkdir()
        (folder / "more" / "weights").write_text(content)
        version = Version(number=0, created=CREATED, files=file_digests(folder))
        recipe = Recipe(base="b", data="f")
        return publish_version(registry, name, folder, version, recipe, before=recipe)


def folders(registry: Registry, name: str = "mine") -> list[str]:
    folder = registry.folder / "adapters" / name
    return sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []


def test_a_version_is_published_with_its_digests(registry: Registry) -> None:
    assert publish(registry) == 1
    version = Registry.open(registry.path).adapter("mine").version(None)
    assert version.files == {
        "adapter_config.json": "sha256:" + hashlib.sha256(b"{}").hexdigest(),
        "more/weights": "sha256:" + hashlib.sha256(b"x").hexdigest(),
    }
    assert damage(registry.version_folder("mine", 1), version) == []
    assert folders(registry) == ["1"]
    assert registry.path.read_text().startswith(START)


def test_numbers_go_on_and_a_crash_s_folder_keeps_its_own(registry: Registry) -> None:
    assert [publish(registry), publish(registry)] == [1, 2]
    (registry.folder / "adapters" / "mine" / "3").mkdir()
    assert publish(registry) == 4
    assert folders(registry) == ["1", "2", "3", "4"]


def test_numbers_after_removals(registry: Registry) -> None:
    """A gap is never filled; the number of a removed newest version is free again."""
    for _ in range(3):
        publish(registry)
    adapter = registry.adapter("mine")
    remove_version(registry, adapter, adapter.versions[2])
    assert publish(registry) == 4
    adapter = registry.adapter("mine")
    remove_version(registry, adapter, adapter.versions[4])
    assert publish(registry) == 4


def test_a_new_adapter_gets_its_recipe(registry: Registry) -> None:
    publish(registry, "fresh")
    recipe = registry.adapter("fresh").recipe
    assert (recipe.base, recipe.data) == ("b", "f")


def test_what_was_not_published_leaves_nothing(registry: Registry) -> None:
    before = registry.path.read_bytes()
    with contextlib.suppress(ZeroDivisionError), staging_folder(registry, "mine") as folder:
        (folder / "file").write_text("x")
        raise ZeroDivisionError
    assert folders(registry) == []
    assert registry.path.read_bytes() == before


def test_an_edit_that_fails_takes_the_folder_away_again(registry: Registry) -> None:
    text = START.replace("[adapters.mine]", "[adapters]\nmine = {\n  base = 'b'\n}\n[tool]")
    registry.path.write_text(text)
    with pytest.raises(RegistryError, match="nothing was written"):
        publish(registry)
    assert folders(registry) == []
    assert registry.path.read_text() == text


def test_processes_publish_at_once_and_none_is_lost(registry: Registry) -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from test_versions import *\n"
        "registry = Registry.open()\n"
        "print(*[publish(registry, content=sys.argv[0]) for _ in range(4)])"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(Path(__file__).parent)],
            cwd=registry.folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    told = [process.communicate(timeout=60)[0] for process in started]
    numbers = [int(number) for line in told for number in line.split()]
    assert sorted(numbers) == list(range(1, 13))
    versions = Registry.open(registry.path).adapter("mine").versions
    assert sorted(versions) == list(range(1, 13))
    for number, version in versions.items():
        assert damage(registry.version_folder("mine", number), version) == []


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda folder: flip(folder / "adapter_config.json"), "adapter_config.json was changed"),
        (lambda folder: flip(folder / "more" / "weights"), "more/weights was changed"),
        (lambda folder: (folder / "more" / "weights").unlink(), "more/weights is missing"),
        (lambda folder: (folder / "extra").write_text(""), "extra does not belong to it"),
        (lambda folder: (folder / "empty").mkdir(), "empty does not belong to it"),
        (lambda folder: (folder / "more" / "b").write_text(""), "more/b does not belong to it"),
    ],
)
def test_damage_is_found(registry: Registry, harm: object, told: str) -> None:
    publish(registry)
    folder = registry.version_folder("mine", 1)
    assert callable(harm)
    harm(folder)
    assert damage(folder, registry.adapter("mine").version(None)) == [told]


def test_a_missing_folder_is_one_problem(registry: Registry) -> None:
    publish(registry)
    folder = registry.version_folder("mine", 1)
    version = registry.adapter("mine").version(None)
    folder.rename(folder.with_name("gone"))
    assert damage(folder, version) == [f"{folder} is missing"]


def test_digests(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"ab" * (1 << 20))
    assert file_digest(tmp_path / "large") == (
        "sha256:" + hashlib.sha256(b"ab" * (1 << 20)).hexdigest()
    )
    one = version_digest({"a": "sha256:1", "b": "sha256:2"})
    assert one == version_digest({"b": "sha256:2", "a": "sha256:1"})
    assert one != version_digest({"a": "sha256:2", "b": "sha256:1"})


def test_remove_takes_files_and_entry(registry: Registry) -> None:
    publish(registry)
    remove_adapter(registry, "mine")
    assert not registry.has_adapter("mine")
    assert folders(registry) == []
    with pytest.raises(UnknownNameError):
        remove_adapter(registry, "mine")


def test_a_version_with_an_alias_stays(registry: Registry) -> None:
    publish(registry)
    registry.edit(lambda document: document["adapters"]["mine"].update(aliases={"prod": 1}))
    adapter = registry.adapter("mine")
    with pytest.raises(ConflictError, match="mine@1 is prod; nothing was removed"):
        remove_version(registry, adapter, adapter.versions[1])
    assert folders(registry) == ["1"]


@pytest.mark.parametrize("name", ["yours", "Mine"])
def test_rename_takes_files_and_comments(registry: Registry, name: str) -> None:
    publish(registry)
    version = registry.adapter("mine").version(None)
    rename_adapter(registry, "mine", name)
    assert registry.adapter_names() == [name]
    assert damage(registry.version_folder(name, 1), version) == []
    assert f"# ours\n[adapters.{name}]\nbase = 'b' # pinned\n" in registry.path.read_text()
    assert [each.name for each in (registry.folder / "adapters").iterdir()] == [name]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("mine", "other", ConflictError),
        ("mine", "OTHER", ConflictError),
        ("nope", "x", UnknownNameError),
        ("mine", "../x", UsageError),
        ("mine", "a/b", UsageError),
    ],
)
def test_rename_refuses(registry: Registry, old: str, new: str, error: type[Exception]) -> None:
    publish(registry)
    publish(registry, "other")
    before = registry.path.read_bytes()
    with pytest.raises(error):
        rename_adapter(registry, old, new)
    assert registry.path.read_bytes() == before
    assert (folders(registry), folders(registry, "other")) == (["1"], ["1"])


def test_rename_does_not_take_over_a_folder(registry: Registry) -> None:
    publish(registry)
    (registry.folder / "adapters" / "free" / "1").mkdir(parents=True)
    with pytest.raises(ConflictError):
        rename_adapter(registry, "mine", "free")
    assert registry.adapter_names() == ["mine"]
    assert folders(registry) == ["1"]
