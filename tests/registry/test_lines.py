"""The reading of large registries: what tomli means, or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registry.documents import TRICKY, RegistryText, registries

from adapter_hub.errors import RegistryError
from adapter_hub.registry import document
from adapter_hub.registry.find import find_adapters
from adapter_hub.registry.lines import LazyTable, read_lines
from adapter_hub.registry.splice import format_block
from adapter_hub.registry.store import Registry

SCALARS = st.text(TRICKY) | st.integers() | st.floats(allow_nan=False) | st.booleans()
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(TRICKY), SCALARS)
VERSION = {
    "created": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
    "files": {"a.json": "sha256:1"},
    "metrics": {"eval_loss": 1.5, "steps": 3},
}


def parsed(value: Any) -> Any:
    """Every value looked up."""
    return {k: parsed(value[k]) for k in value} if isinstance(value, Mapping) else value


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(registries())
def test_it_means_what_tomli_means_or_leaves_it(registry: RegistryText) -> None:
    read = read_lines(registry.text)
    if read is not None:
        assert parsed(read) == tomli.loads(registry.text)


@settings(max_examples=80)
@given(st.dictionaries(st.sampled_from(["base", "method", "options", "data", "tags"]), VALUES))
def test_what_adapter_hub_writes_is_read_here(table: dict[str, Any]) -> None:
    text = "schema = 1\n"
    for name in ("a", "b.2"):
        text += "\n" + format_block(("adapters", name), {**table, "versions": {"1": VERSION}})
    read = read_lines(text)
    if "'''" in text:  # perhaps a string of several lines: tomli's
        assert read is None
        return
    assert isinstance(read, LazyTable)
    assert parsed(read) == tomli.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        'x = """\n[adapters.b]\n"""',
        "x = '''\n[adapters.b]\n'''",
        "  [adapters.b]\nbase = 'x'",
        "[[adapters.list]]",
        "[adapters.'b']",
        "[tool.x]",
        "x = [\n[1.5]\n]",
        "[adapters.b]\n[adapters.a.versions.1]",
        "[adapters.late.versions.1]\nx = 1\n[adapters.late]\ny = 2",
        "[adapters.late.versions.1]\n[adapters.late.versions.2]",
        "[adapters.late.versions]\n1 = {}",
        "[bases.late.versions.1]",
    ],
)
def test_other_forms_are_left_to_tomli(text: str) -> None:
    assert read_lines(f'schema = 1\n[adapters.a]\nbase = "x"\n{text}\n') is None


@pytest.mark.parametrize(
    "text",
    [
        "[adapters.a.options]\nr = 8",
        "[bases.a]\n[bases.a.versions.1]\n\n[remotes.team]\nendpoint = 'https://hub'\n# end",
        '[adapters."b.2"]\r\nbase = "x"\r\n\r\n[adapters."b.2".versions.1]\r\nx = 1\r',
    ],
)
def test_blocks_in_other_forms_are_read_alone(text: str) -> None:
    text = f'schema = 1\n[adapters.a]\nbase = "x"\n{text}\n'
    read = read_lines(text)
    assert read is not None
    assert parsed(read) == tomli.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "[adapters.a]",
        "[adapters.a.versions.1]\n[adapters.a.versions.1]",
        "[adapters.a.base]",
        "[adapters.a]x]",
    ],
)
def test_what_is_no_toml_is_refused_when_it_is_looked_at(text: str) -> None:
    text = f'schema = 1\n[adapters.a]\nbase = "x"\n{text}\n'
    read = read_lines(text)
    with pytest.raises(tomli.TOMLDecodeError):
        parsed(tomli.loads(text) if read is None else read)


@pytest.mark.parametrize(
    "block",
    [
        'base = "a" # "b"',
        'base = "a\\"b"',
        "options = { # first\nr = 8 }",
        "tags = [\n'[', # ]\n]",
        "base='x'",
        "training.steps = 3\ntraining.seed = 1",
        '"quoted key" = 1\n\tother = 2',
    ],
)
def test_a_block_written_otherwise_is_read_alone(block: str) -> None:
    text = f'schema = 1\n[adapters.a]\n{block}\n[adapters.b]\nbase = "y"\n'
    try:
        meaning = tomli.loads(text)
    except tomli.TOMLDecodeError:
        pytest.skip("this tomli knows TOML 1.0 only")
    read = read_lines(text)
    assert read is not None
    assert parsed(read) == meaning


@pytest.mark.parametrize(
    "line",
    [
        "created = 2026-02-30T00:00:00Z",
        "metrics = { a = 1, a = 2 }\ncreated = 2026-01-01T00:00:00Z",
        "metrics = { a = }\ncreated = 2026-01-01T00:00:00Z",
        "metrics = { a = 01 }\ncreated = 2026-01-01T00:00:00Z",
        "created = 2026-01-01T00:00:00Z\ncreated = 2026-01-01T00:00:00Z",
        "= 7\ncreated = 2026-01-01T00:00:00Z",
    ],
)
def test_an_error_that_list_meets_names_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr(document, "LARGE", 0)
    text = f'schema = 1\n[adapters.a]\nbase = "x"\n[adapters.a.versions.1]\nfiles = {{}}\n{line}\n'
    (tmp_path / "registry.toml").write_text(text)
    with pytest.raises(RegistryError, match=r"not valid TOML.*line [678]"):
        find_adapters(Registry.open(tmp_path))


def test_large_and_small_are_told_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "schema = 1\n"
    for number in range(400):
        table = {"base": "b", "tags": ["t", "ü"], "aliases": {"prod": 2}, "options": {"r": 8}}
        versions = {"1": VERSION, "2": VERSION, "10": VERSION}
        text += "\n" + format_block(("adapters", f"a-{number}"), {**table, "versions": versions})
    (tmp_path / "registry.toml").write_text(text, encoding="utf-8")
    assert len(text) > document.LARGE
    large = Registry.open(tmp_path)
    assert isinstance(large._meaning, LazyTable)
    told, records = find_adapters(large), list(large.adapters())
    monkeypatch.setattr(document, "LARGE", len(text) + 1)
    small = Registry.open(tmp_path)
    assert isinstance(small._meaning, dict)
    assert told == find_adapters(small)
    assert records == list(small.adapters())
    assert json.dumps(told, default=str)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ('[adapters."a..b"]', "cannot name"),
        ("[adapters.con]", "cannot name"),
        ("[adapters.A]\n[adapters.a]", "only in case"),
    ],
)
def test_bad_names_in_a_large_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str, words: str
) -> None:
    monkeypatch.setattr(document, "LARGE", 0)
    (tmp_path / "registry.toml").write_text(f"schema = 1\n{header}\n")
    with pytest.raises(RegistryError, match=words):
        list(Registry.open(tmp_path).adapters())


def test_a_value_and_blocks_of_one_key_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "LARGE", 0)
    version = "[adapters.a.versions.1]\ncreated = 2026-01-01T00:00:00Z\nfiles = {}\n"
    (tmp_path / "registry.toml").write_text(f"schema = 1\n[adapters.a]\nversions = {{}}\n{version}")
    with pytest.raises(RegistryError, match="not valid TOML"):
        find_adapters(Registry.open(tmp_path))


@pytest.mark.parametrize("value", [f"{'[' * 500}{']' * 500}", f"0x{'f' * 4000}"])
def test_what_python_cannot_hold_is_an_error_in_any_form_of_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr(document, "LARGE", 0)
    (tmp_path / "registry.toml").write_text(
        f'schema = 1\n[adapters.a]\nbase = "x"\n[adapters.a.options]\na = {value}\n'
    )
    with pytest.raises(RegistryError, match="not valid TOML"):
        Registry.open(tmp_path).adapter("a")
