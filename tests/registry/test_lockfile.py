"""What names mean, written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli

from adapter_hub.errors import RegistryError
from adapter_hub.registry.lockfile import (
    differences,
    read_lock,
    render,
    resolve_registry,
    write_lock,
)
from adapter_hub.registry.store import Registry

COMMIT = "a" * 40
TEXT = f"""\
schema = 1

[bases.Gpt2]
source = "hf:openai-community/gpt2"
revision = "{COMMIT}"
remote = "ours"

[bases.folder]
source = "path:bases/x"

[remotes.ours]
endpoint = "https://hub.example/"

[adapters.b]
base = "Gpt2"
aliases = {{ prod = 1, old = 1 }}

[adapters.b.versions.1]
created = 2026-01-01T00:00:00Z
files = {{ "x.json" = "sha256:{"1" * 64}" }}
hub = {{ repo = "me/b", revision = "{COMMIT}", base = "x/y@z" }}

[adapters.b.versions.2]
created = 2026-01-01T00:00:00Z
files = {{ "x.json" = "sha256:{"2" * 64}" }}

[adapters.b.versions.10]
created = 2026-01-01T00:00:00Z
files = {{ "x.json" = "sha256:{"3" * 64}" }}

[adapters.never-trained]
base = "folder"
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "registry.toml").write_text(TEXT)
    return Registry.open(tmp_path)


def test_it_names_what_names_mean(registry: Registry) -> None:
    assert write_lock(registry, resolve_registry(registry)) is True
    told = tomli.loads((registry.folder / "registry.lock").read_text())
    assert told["bases"] == {
        "Gpt2": {
            "source": "hf:openai-community/gpt2",
            "revision": COMMIT,
            "endpoint": "https://hub.example",
        },
        "folder": {"source": "path:bases/x"},
    }
    assert list(told["adapters"]) == ["b"]
    found = told["adapters"]["b"]
    assert (found["version"], found["aliases"], found["base"]) == (
        10,
        {"old": 1, "prod": 1},
        "Gpt2",
    )
    assert list(found["versions"]) == ["1", "10"], "no name means version 2"
    assert found["versions"]["1"]["hub"] == {"repo": "me/b", "revision": COMMIT}
    assert "hub" not in found["versions"]["10"]


def test_it_is_written_once_and_has_one_form(registry: Registry) -> None:
    write_lock(registry, resolve_registry(registry))
    path = registry.folder / "registry.lock"
    before = path.stat().st_ino, path.read_bytes()
    assert write_lock(registry, resolve_registry(registry)) is False
    assert (path.stat().st_ino, path.read_bytes()) == before
    now = read_lock(registry)
    assert now
    turned = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in now.items()
    }
    assert render(turned) == render(now) == path.read_text()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("prod = 1", "prod = 2", ["adapter b has another aliases, versions"]),
        (
            "[adapters.b.versions.10]",
            "[adapters.b.versions.11]",
            ["adapter b has version 11, not 10"],
        ),
        ("3" * 64, "4" * 64, ["adapter b has another versions"]),
        ("2" * 64, "4" * 64, []),
        ("created = 2026-01-01", "created = 2027-01-01", []),
        ("[bases.folder]", "[bases.other]", ["base folder is gone", "base other is new"]),
    ],
)
def test_what_is_out_of_date(registry: Registry, old: str, new: str, words: list[str]) -> None:
    locked = resolve_registry(registry)
    text = TEXT.replace(old, new).replace('base = "folder"', 'base = "Gpt2"')
    registry.path.write_text(text)
    assert differences(locked, resolve_registry(Registry.open(registry.path))) == words


def test_a_branch_is_no_commit(registry: Registry) -> None:
    registry.path.write_text(
        TEXT.replace(f'"me/b", revision = "{COMMIT}"', '"me/b", revision = "main"')
    )
    with pytest.raises(RegistryError, match="b@1 is me/b at 'main', which is no exact commit"):
        resolve_registry(Registry.open(registry.path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("lock = ", "is not valid TOML"),
        ("lock = 2", "has the form 2"),
        ("", "has the form None"),
        ("lock = 1\nbases = 3", "bases must hold tables"),
        ("lock = 1\n[adapters]\nx = 1", "adapters must hold tables"),
    ],
)
def test_what_is_no_lock(registry: Registry, content: str, words: str) -> None:
    (registry.folder / "registry.lock").write_text(content)
    with pytest.raises(RegistryError, match=words):
        read_lock(registry)


def test_the_command(registry: Registry, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(registry.folder)
    assert hub("lock", "--check").code == 4
    made = hub("lock")
    assert made.out == "wrote registry.lock: 2 bases, 1 adapter\n"
    assert "base folder is not pinned" in made.err
    assert hub("lock").out == "nothing to change in registry.lock: 2 bases, 1 adapter\n"
    assert hub("lock", "--check").code == 0
    registry.path.write_text(TEXT.replace("prod = 1", "prod = 2"))
    late = hub("lock", "--check", "--json")
    assert (late.code, late.json["written"]) == (4, False)
    assert "adapter b has another aliases, versions" in late.err
