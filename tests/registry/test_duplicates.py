"""find_duplicates: the same files, the same weights, and the room that could be saved."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workshop import edit_json

from adapter_hub.errors import RegistryError
from adapter_hub.registry.duplicates import Duplicates, find_doubles, find_duplicates
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digests, version_digest

Make = Callable[..., dict[str, str]]
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a version of given contents into folder and registry; returns its files."""
    path = tmp_path / "registry.toml"
    path.write_text("schema = 1\n")

    def write(name: str, number: int, **contents: str) -> dict[str, str]:
        folder = tmp_path / "adapters" / name / str(number)
        folder.mkdir(parents=True)
        for key, content in contents.items():
            (folder / {"config": CONFIG, "weights": WEIGHTS}[key]).write_text(content)
        files = file_digests(folder)
        table = ", ".join(f'"{file}" = "{digest}"' for file, digest in files.items())
        with path.open("a") as file:
            file.write(
                f"\n[adapters.{name}.versions.{number}]\ncreated = 2026-01-01T00:00:00Z\n"
                f"files = {{ {table} }}\n"
            )
        return files

    return write


def found(folder: Path) -> tuple[list[Duplicates], int]:
    return find_duplicates(Registry.open(folder))


def test_both_kinds_are_told_apart(make: Make, tmp_path: Path) -> None:
    same = make("a", 1, config="{}", weights="w" * 100)
    make("b", 2, config="{}", weights="w" * 100)
    make("c", 1, config="{ }", weights="w" * 100)
    make("d", 1, config="{}", weights="other")
    groups, total = found(tmp_path)
    assert groups == [
        Duplicates("weights", same[WEIGHTS], ["a@1", "b@2", "c@1"], 200),
        Duplicates("version", version_digest(same), ["a@1", "b@2"], 102),
    ]
    assert total == 202


def test_the_same_whole_is_not_told_twice(make: Make, tmp_path: Path) -> None:
    make("a", 1, config="{}", weights="w")
    make("a", 2, config="{}", weights="w")
    groups, total = found(tmp_path)
    assert [(each.kind, each.versions, each.bytes) for each in groups] == [
        ("version", ["a@1", "a@2"], 3)
    ]
    assert total == 3


def test_one_version_under_two_names(
    make: Make, tmp_path: Path, hub: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("zeta", "aa"):
        make(name, 1, weights="w")
        make(name, 2, weights="x")
    make("of-another-number", 3, weights="w")
    make("other", 1, weights="o")
    for name in ("empty", "void"):
        make(name, 1)
    path = tmp_path / "registry.toml"
    text = path.read_text()
    for name in ("zeta", "aa", "of-another-number", "other", "empty", "void"):
        first = text.index(f"[adapters.{name}.")
        text = f'{text[:first]}[adapters.{name}]\nbase = "llama"\n\n{text[first:]}'
    path.write_text(text)
    [told] = find_doubles(Registry.open(tmp_path))
    assert "aa@1 and zeta@1 are one version under two names" in told
    monkeypatch.chdir(tmp_path)
    assert f"Warning: {told}" in hub("status").err
    assert "two names" not in hub("status", "aa").err
    assert told in hub("doctor", "--offline").out


def test_versions_without_files_or_weights_have_nothing_in_common(
    make: Make, tmp_path: Path
) -> None:
    make("a", 1)
    make("b", 1)
    make("c", 1, config="1")
    make("d", 1, config="2")
    assert found(tmp_path) == ([], 0)


def test_links_take_no_room_and_files_elsewhere_none_here(make: Make, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        make(name, 1, config="{}", weights="w" * 100)
    linked = tmp_path / "adapters/b/1" / WEIGHTS
    linked.unlink()
    os.link(tmp_path / "adapters/a/1" / WEIGHTS, linked)
    (tmp_path / "adapters/c/1" / WEIGHTS).unlink()
    ((group,), total) = found(tmp_path)
    assert group.versions == ["a@1", "b@1", "c@1"]
    assert group.bytes == total == 4


def test_a_name_that_leads_outside_is_not_looked_at(make: Make, tmp_path: Path) -> None:
    make("a", 1, config="{}")
    path = tmp_path / "registry.toml"
    path.write_text(path.read_text().replace(CONFIG, "../../../outside"))
    with pytest.raises(RegistryError, match="not the name of a file"):
        found(tmp_path)


def test_the_command(hub: Callable[..., Any], own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own)
    assert hub("duplicates").err == "no two versions are the same, nor their weights\n"
    assert hub("duplicates", "--json").json == {"duplicates": [], "bytes": 0}
    sums = own / "adapters/sums/1"
    assert hub("import", str(sums), "--as", "twin").code == 0
    size = (sums / WEIGHTS).stat().st_size
    shown = hub("duplicates").out.splitlines()
    assert "all files" in shown[1]
    assert shown[1].endswith("sums@1, twin@1")
    edit_json(own / "adapters/sums/1/adapter_config.json", lora_dropout=0.5)
    assert hub("import", str(sums), "--as", "other").code == 0
    told = hub("duplicates", "--json").json
    kinds = {each["kind"]: each for each in told["duplicates"]}
    assert kinds["weights"]["versions"] == ["other@1", "sums@1", "twin@1"]
    assert kinds["weights"]["bytes"] == 2 * size
    assert kinds["version"]["versions"] == ["sums@1", "twin@1"]
