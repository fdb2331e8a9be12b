"""What is wrong with a registry is told with file, line and key."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from adapter_hub.errors import RegistryError
from adapter_hub.model import Base, Recipe, Remote, Source, TrainingSettings, Version
from adapter_hub.registry import schema
from adapter_hub.registry.store import Registry

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB_BASE = f"[bases.b]\nsource = 'hf:o/r'\nrevision = '{COMMIT}'\n"
VERSION = "[adapters.a.versions.1]\ncreated = 2026-01-01T00:00:00Z\nfiles = {}\n"


def read_all(folder: Path, text: str) -> None:
    path = folder / "registry.toml"
    path.write_text(text, encoding="utf-8")
    registry = Registry.open(path)
    for name in registry.base_names():
        registry.base(name)
    list(registry.adapters())


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ("[bases.b]\n", 2, ["bases.b", "needs the key `source`"]),
        ('[bases.b]\nsource = "hf:o/r"\n', 2, ["bases.b", "40 hex digits"]),
        ('[bases.b]\nsource = "hf:o/r"\nrevision = "main"\n', 4, ["revision", "40 hex digits"]),
        ('[bases.b]\n\nsource = "gpt2"\n', 4, ["bases.b.source", "hf:OWNER/REPO"]),
        ("[bases.b]\nsource = 3\n", 3, ["bases.b.source", "must be a string, not 3"]),
        (f"{HUB_BASE}remote = 'team'\n", 5, ["bases.b.remote", "'team' is not there"]),
        (f"{HUB_BASE}remote = 3\n", 5, ["bases.b.remote", "must be a string"]),
        ("[bases.b]\nsource = 'path:x'\nremote = 'team'\n", 4, ["goes with an hf: source"]),
        (f"{HUB_BASE}remote = 't'\n[remotes.t]\n", 6, ["remotes.t", "needs the key `endpoint`"]),
        ("[adapters.a]\nbase = 3\n", 3, ["adapters.a.base", "must be a string"]),
        ("[adapters.a]\ncolumn_map = { q = 3 }\n", 3, ["column_map", "q must be a string"]),
        ("[adapters.a]\noptions = 3\n", 3, ["adapters.a.options", "must be a table"]),
        ('[adapters.a]\ntags = "x"\n', 3, ["adapters.a.tags", "must be an array"]),
        ("[adapters.a]\ntraining = { epoch = 1 }\n", 3, ["training", "did you mean 'epochs'?"]),
        ("[adapters.a]\ntraining = { epochs = 0 }\n", 3, ["training", "more than 0"]),
        ('[adapters.a]\ntraining = { steps = "x" }\n', 3, ["training", "takes integer"]),
        ("[adapters.a]\naliases = { prod = 1 }\n", 3, ["aliases", "'prod' points to version 1"]),
        (f"[adapters.a]\naliases = {{ p = true }}\n{VERSION}", 3, ["aliases", "True"]),
        ("[adapters.a.versions.1]\nfiles = {}\n", 2, ["versions.1", "needs the key `created`"]),
        (VERSION.replace("files = {}\n", ""), 2, ["versions.1", "needs the key `files`"]),
        (VERSION.replace("{}", '"x"'), 4, ["versions.1.files", "must be a table"]),
        (VERSION.replace("2026-01-01T00:00:00Z", '"x"'), 3, ["created", "a date and time"]),
        (VERSION.replace("2026-01-01T00:00:00Z", "2026-01-01"), 3, ["created", "a date and time"]),
        (VERSION.replace(".1]", ".0]"), 2, ["versions.0", "not a version number"]),
        (VERSION.replace(".1]", ".01]"), 2, ["versions.01", "not a version number"]),
        (VERSION.replace(".1]", ".x]"), 2, ["versions.x", "not a version number"]),
        (VERSION.replace(".1]", '."²"]'), 2, ["not a version number"]),
        ("[adapters.a]\nversions = { 1 = 2 }\n", 3, ["versions.1", "must be a table"]),
        (VERSION + 'metrics = { eval_loss = "x" }\n', 5, ["metrics", "must be a number"]),
        (VERSION + "metrics = { good = true }\n", 5, ["metrics", "must be a number, not True"]),
        (VERSION.replace("{}", "{ a = 1 }"), 4, ["files", "the digest of 'a' must be a string"]),
        (VERSION, 2, ["adapters.a", "has versions and neither `base` nor `method`"]),
        ("[adapters]\na = 1\n", 3, ["adapters.a", "must be a table"]),
        ("[[adapters]]\n", 2, ["adapters", "must be a table"]),
        ('[adapters."../x"]\n', 2, ["cannot name"]),
        ('[bases."a/b"]\n', 2, ["cannot name"]),
        ("[adapters.nul]\n", 2, ["cannot name"]),
        ("[adapters.Alpha]\n[adapters.alpha]\n", 3, ["differs from 'Alpha' only in case"]),
    ],
)
def test_error_names_file_line_and_key(
    tmp_path: Path, body: str, line: int, words: list[str]
) -> None:
    with pytest.raises(RegistryError) as caught:
        read_all(tmp_path, f"schema = 1\n{body}")
    assert caught.value.message.startswith(f"{tmp_path / 'registry.toml'}:{line}: ")
    assert [word for word in words if word not in caught.value.message] == []
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/etc/x",
        "..\\x",
        "C:\\x",
        "C:/x",
        "",
        ".",
        "a//b",
        "a/",
        "./a",
        "a\x00b",
    ],
)
def test_files_of_a_version_stay_in_its_folder(tmp_path: Path, name: str) -> None:
    key = '"' + name.replace("\\", "\\\\").replace("\x00", "\\u0000") + '"'
    text = "schema = 1\n" + VERSION.replace("{}", f'{{ {key} = "sha256:aa" }}')
    with pytest.raises(RegistryError, match=r"registry.toml:4: .*files"):
        read_all(tmp_path, text)


@pytest.mark.parametrize("top", ["", "schema = true\n", 'schema = "1"\n'])
def test_a_registry_says_its_schema(tmp_path: Path, top: str) -> None:
    with pytest.raises(RegistryError, match="needs `schema = 1` at its top"):
        read_all(tmp_path, top)


def test_a_newer_schema_asks_for_an_upgrade(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="has schema 2") as caught:
        read_all(tmp_path, "schema = 2\n[adapters.a]\nbase = { new = 'form' }\n")
    assert "upgrade" in str(caught.value.hint)


def test_malformed_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"registry.toml is not valid TOML: .*line 3"):
        read_all(tmp_path, "schema = 1\n[adapters.a]\nbase = \n")


def test_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "registry.toml"
    path.write_bytes(b'schema = 1\n[bases."\xff"]\n')
    with pytest.raises(RegistryError, match=r"registry.toml is not UTF-8 text \(byte 19\)"):
        Registry.open(path)


def test_records_and_tables_are_two_forms_of_one_thing() -> None:
    team = Remote("http://127.0.0.1:1", "team")
    remotes = {"team": {"endpoint": "http://127.0.0.1:1/"}}
    for remote in (None, team):
        base = Base("b", Source("hf", "o/r"), COMMIT, remote)
        assert schema.read_base("b", schema.base_table(base), remotes) == base
    recipe = Recipe(
        base="b",
        method="ia3",
        options={"r": 8},
        data="f.jsonl",
        data_options={"limit": 3},
        eval_data="g.jsonl",
        column_map={"q": "prompt"},
        training=TrainingSettings(steps=3, learning_rate=0.1),
    )
    assert schema.read_adapter("a", schema.recipe_table(recipe)).recipe == recipe
    version = Version(
        number=3,
        created=datetime(2026, 1, 2, tzinfo=timezone.utc),
        files={"a": "sha256:b"},
        recipe="sha256:c",
        metrics={"eval_loss": 1.5},
        hub={"repo": "o/r"},
    )
    assert schema.read_version("a", "3", schema.version_table(version)) == version


def test_a_time_without_a_zone_is_utc() -> None:
    table = {"created": datetime(2026, 1, 2), "files": {}}
    version = schema.read_version("a", "1", table)
    assert version.created == datetime(2026, 1, 2, tzinfo=timezone.utc)


def test_what_a_recipe_leaves_out_has_defaults() -> None:
    adapter = schema.read_adapter("a", {"unknown": {"key": 1}})
    assert adapter.recipe == Recipe()
    assert (adapter.newest, adapter.tags, adapter.aliases) == (None, (), {})
    assert schema.recipe_table(Recipe()) == {"method": "lora"}
