"""Trees of training results, and the Hub's cache, taken over whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.errors import UsageError
from adapter_hub.loading.bulk_import import Imported, import_folders
from adapter_hub.loading.discovery import Found, adapter_name, find_adapters
from adapter_hub.loading.remotes import default_remote, hub_entry
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry

COMMIT = "c" * 40


def adapter(own: Path, place: str, **config: Any) -> Path:
    """The sums adapter at ``place``, as plain PEFT leaves it; ``config`` makes it another one."""
    folder = own / place
    folder.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(own / "adapters/sums/1" / name, folder)
    config = {"revision": None, "lora_dropout": len(place) + sum(map(ord, place)) / 1e6, **config}
    workshop.edit_json(folder / "adapter_config.json", **config)
    return folder


def cached(own: Path, repo: str, commit: str = COMMIT, main: bool = True) -> Path:
    """An adapter as the Hub's cache keeps it: links into the repository's blobs."""
    snapshot = own / "hub" / repo / "snapshots" / commit
    made = adapter(own, f"made-{repo}-{commit[:4]}")
    blobs = own / "hub" / repo / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    snapshot.mkdir(parents=True)
    for path in made.iterdir():
        shutil.move(path, blobs / f"{commit}{path.name}")
        (snapshot / path.name).symlink_to(f"../../blobs/{commit}{path.name}")
    if main:
        (own / "hub" / repo / "refs").mkdir(exist_ok=True)
        (own / "hub" / repo / "refs/main").write_text(commit)
    made.rmdir()
    return snapshot


def take(own: Path, *folders: Path, **how: Any) -> Imported:
    return import_folders(folders, registry=Registry.open(own), catalog=load_catalog(), **how)


def imported(result: Imported) -> list[tuple[str | None, int | None]]:
    return [(each.name, each.version) for each in result.of("imported")]


def test_a_tree_of_results(own: Path) -> None:
    for place in ("run1", "run1/checkpoint-50", "run1/checkpoint-100"):
        adapter(own, f"outputs/{place}")
    for place in ("run2/checkpoint-9", "run2/checkpoint-10", "team/run1"):
        adapter(own, f"outputs/{place}")
    result = take(own, own / "outputs")
    assert imported(result) == [("run1", 1), ("run2", 1), ("team-run1", 1)]
    assert {Path(each.folder).name for each in result.of("imported")} == {"run1", "checkpoint-10"}
    assert {(each.folder.name, each.why) for each in result.passed_over} == {
        ("checkpoint-50", "a checkpoint; its folder's own adapter is taken"),
        ("checkpoint-100", "a checkpoint; its folder's own adapter is taken"),
        ("checkpoint-9", "a checkpoint; checkpoint-10 is taken"),
    }


def test_all_checkpoints_are_versions_the_newest_last(own: Path) -> None:
    for place in ("run1", "run1/checkpoint-9", "run1/checkpoint-10"):
        adapter(own, f"outputs/{place}")
    result = take(own, own / "outputs", checkpoints=True)
    assert imported(result) == [("run1", 1), ("run1", 2), ("run1", 3)]
    names = [Path(each.folder).name for each in result.of("imported")]
    assert names == ["checkpoint-9", "checkpoint-10", "run1"]


def test_checkpoints_that_are_named_are_taken(own: Path) -> None:
    folders = [adapter(own, f"run1/checkpoint-{number}") for number in (9, 10, 11)]
    assert imported(take(own, *folders[:2])) == [("run1", 1), ("run1", 2)]


def test_the_same_content_is_imported_once(own: Path) -> None:
    first = adapter(own, "outputs/one")
    shutil.copytree(first, own / "outputs/two")
    result = take(own, own / "outputs")
    assert imported(result) == [("one", 1)]
    assert [(each.name, each.version) for each in result.of("same")] == [("one", 1)]
    before = (own / "registry.toml").read_bytes()
    assert imported(take(own, own / "outputs")) == []
    assert (own / "registry.toml").read_bytes() == before
    shutil.rmtree(own / "adapters/one/1")
    shutil.rmtree(own / "outputs/two")
    again = take(own, own / "outputs")
    assert imported(again) == [("outputs-one", 1)], "its files are not here any more"


def test_a_name_that_is_taken_is_not_given_to_another(own: Path) -> None:
    adapter(own, "outputs/SUMS")
    assert imported(take(own, own / "outputs")) == [("outputs-SUMS", 1)]
    assert len(Registry.open(own).adapter("sums").versions) == 1


def test_one_that_fails_stops_none(own: Path) -> None:
    adapter(own, "outputs/a", base_model_name_or_path="some/where")
    pickled = adapter(own, "outputs/b")
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    damaged = adapter(own, "outputs/c")
    (damaged / "adapter_model.safetensors").write_bytes(b"nothing")
    empty = adapter(own, "outputs/d")
    (empty / "adapter_model.safetensors").unlink()
    adapter(own, "outputs/e")
    result = take(own, own / "outputs")
    assert imported(result) == [("e", 1)]
    errors = [str(each.error) for each in result.of("failed")]
    assert "which is not in the registry" in errors[0]
    assert "a pickle that can run code" in errors[1]
    assert "is not a safetensors file" in errors[2]
    assert [each.why for each in result.passed_over] == ["it has no adapter_model.safetensors"]
    assert Registry.open(own).adapter_names() == ["conv", "e", "sums", "talk"]


def test_a_cache_whole(own: Path) -> None:
    cached(own, "models--me--story", "a" * 40, main=False)
    cached(own, "models--me--story")
    cached(own, "models--you--story")
    result = take(own, own / "hub")
    assert imported(result) == [("story", 1), ("you-story", 1)]
    assert "another snapshot of me/story" in result.passed_over[0].why
    hub = Registry.open(own).adapter("story").versions[1].hub
    assert hub == hub_entry(default_remote(), "me/story", COMMIT)
    cached(own, "models--me--story", "b" * 40)
    assert imported(take(own, own / "hub")) == [("story", 2)]


def test_a_link_out_of_the_cached_repository_is_refused(own: Path) -> None:
    snapshot = cached(own, "models--me--story")
    (own / "secret").write_text("mine")
    (snapshot / "README.md").symlink_to(own / "secret")
    result = take(own, own / "hub")
    assert "is a link to a file outside" in str(result.of("failed")[0].error)


def test_an_adapter_within_a_cached_repository(own: Path) -> None:
    snapshot = cached(own, "models--me--story")
    inner = snapshot / "inner"
    inner.mkdir()
    for path in list(snapshot.iterdir()):
        if path.is_symlink():
            (inner / path.name).symlink_to(f"../../../blobs/{COMMIT}{path.name}")
            path.unlink()
    assert imported(take(own, own / "hub")) == [("inner", 1)]
    assert not Registry.open(own).adapter("inner").versions[1].hub, "a pull takes what is on top"


def test_the_registrys_own_versions_and_loops_are_not_walked_into(own: Path) -> None:
    (own / "loop").symlink_to(own)
    adapter(own, ".hidden/one")
    with pytest.raises(UsageError, match="no PEFT adapter in"):
        take(own, own)


def test_a_dry_run_tells_and_writes_nothing(own: Path) -> None:
    adapter(own, "outputs/a", base_model_name_or_path="some/where")
    adapter(own, "outputs/b")
    before = (own / "registry.toml").read_bytes()
    result = take(own, own / "outputs", dry_run=True)
    assert imported(result) == [("b", None)]
    assert len(result.of("failed")) == 1
    assert (own / "registry.toml").read_bytes() == before
    assert not (own / "adapters/b").exists()


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/x/run 1 (final)", "run-1-final"),
        ("/x/Ünïcode", "Unicode"),
        ("/x/a..b", "a.b"),
        ("/x/日本", "adapter"),
        ("/x/con", "adapter-con"),
        ("/x/" + "n" * 200, "n" * 96),
        ("/x/-_-", "adapter"),
    ],
)
def test_names_are_made_valid(place: str, name: str) -> None:
    found = Found(Path(place), Path(place), (1,))
    assert adapter_name(found, lambda each: True) == name


def test_find_needs_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        find_adapters([tmp_path / "gone"])


def test_the_command(own: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own)
    adapter(own, "outputs/a", base_model_name_or_path="some/where")
    adapter(own, "outputs/b")
    refused = hub("import", "outputs", "--as", "x")
    assert (refused.code, "--as x goes with one adapter, and there are 2" in refused.err) == (
        2,
        True,
    )
    done = hub("import", "outputs")
    assert done.code == 1
    assert done.out == "b@1 on llama: outputs/b\n"
    assert "outputs/a: outputs/a/adapter_config.json names the base" in done.err
    assert "1 imported, 0 here already, 1 failed, 0 passed over" in done.err
    told = hub("import", "outputs/b", "--json").json
    assert [len(told[key]) for key in ("imported", "same", "failed", "passed_over")] == [0, 1, 0, 0]
    single = hub("import", "outputs/b", "--as", "c", "--json").json
    assert (single["name"], single["version"], sorted(single)) == (
        "c", 1, ["base", "digest", "files", "name", "path", "version"])  # fmt: skip
