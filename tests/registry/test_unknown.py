"""Keys that nothing reads are told, and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_hub.registry import document
from adapter_hub.registry.store import Registry

TEXT = """\
schema = 1
[bases.tiny]
source = "plugin:tiny"
revison = "x"
[adaptors.b]
base = "tiny"
[adapters.a]
base = "tiny"
traning = { epochs = 3 }
option.r = 8
ours = true
[adapters.a.versions.1]
created = 2026-01-01T00:00:00Z
files = {}
metric = { eval_loss = 1.0 }
"""
TOLD = """\
5: key 'adaptors' is not known (did you mean 'adapters'?)
4: key 'revison' of bases.tiny is not known (did you mean 'revision'?)
9: key 'traning' of adapters.a is not known (did you mean 'training'?)
10: key 'option' of adapters.a is not known (did you mean 'options'?)
11: key 'ours' of adapters.a is not known
15: key 'metric' of adapters.a.versions.1 is not known (did you mean 'metrics'?)
"""


@pytest.mark.parametrize("large", [0, 1_000_000])
def test_unknown_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    monkeypatch.setattr(document, "LARGE", large)
    path = tmp_path / "registry.toml"
    path.write_text(TEXT)
    told = Registry.open(path).unknown_keys()
    assert told == [f"{path}:{line}" for line in TOLD.splitlines()]
    Registry.open(path).edit(lambda content: content["adapters"]["a"].update(data="f"))
    assert path.read_text() == TEXT.replace('"tiny"\ntraning', '"tiny"\ndata = "f"\ntraning')


def test_unknown_keys_of_some_adapters(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text(f"{TEXT}[adapters.c]\nodd = 1\n[adapters.d]\nodd = 1\n")
    told = Registry.open(tmp_path).unknown_keys(["c", "not-there"])
    assert [line.partition("registry.toml:")[2] for line in told] == [
        *TOLD.splitlines()[:2],
        "17: key 'odd' of adapters.c is not known",
    ]


def test_no_unknown_keys(tmp_path: Path) -> None:
    text = 'schema = 1\n[bases.b]\nsource = "plugin:tiny"\n[adapters.a]\nbase = "b"\n'
    (tmp_path / "registry.toml").write_text(text)
    assert Registry.open(tmp_path).unknown_keys() == []
    (tmp_path / "registry.toml").write_text('schema = 1\n[adapters.a]\nversions = { 1 = "x" }\n')
    assert Registry.open(tmp_path).unknown_keys() == []


def test_unknown_keys_of_a_remote(tmp_path: Path) -> None:
    text = "schema = 1\n[remotes.team]\nendpoint = 'https://h'\ntoken = 'x'\n[remotes.x]\nodd = 3\n"
    (tmp_path / "registry.toml").write_text(text)
    told = [line.partition("registry.toml:")[2] for line in Registry.open(tmp_path).unknown_keys()]
    assert told == [
        "4: key 'token' of remotes.team is not known",
        "6: key 'odd' of remotes.x is not known",
    ]
