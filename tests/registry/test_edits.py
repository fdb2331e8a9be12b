"""A large registry is edited in parts, with the result that editing all of it has."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from adapter_hub.errors import AdapterHubError, RegistryError
from adapter_hub.registry import document
from adapter_hub.registry.edits import Draft, Entries, renamed
from adapter_hub.registry.store import Registry

NAMES = ("a", "b", "B2", "c.x", "d-1", "d_2", "z")
NEW = ("0", "a-1", "Aa", "c", "d", "zz", "c.y")
BLANK = st.sampled_from(["", "", "\n", "\n", "\n\n", "  \n", "\n# on its own\n\n"])
COMMENT = st.sampled_from(["", "", "# of it\n", "# one\n# two\n", "#[adapters.no]\n"])


@st.composite
def blocks(draw: st.DrawFn, section: str, name: str) -> str:
    """The blocks of one entry, as people and adapter-hub write them."""
    key = f'"{name}"' if "." in name or draw(st.booleans()) else name
    lines = draw(st.sampled_from(["", 'data = "f" # why\n', "tags = [\n  'x',\n]\nmine = 3\n"]))
    first = 'source = "path:x"\n' if section == "bases" else 'base = "b"\n'
    text = f"{draw(BLANK)}{draw(COMMENT)}[{section}.{key}]\n{first}{lines}"
    for number in draw(st.sampled_from([(), (1,), (1, 2), (2, 10)])) if section != "bases" else ():
        text += f"{draw(BLANK)}{draw(COMMENT)}[{section}.{key}.versions.{number}]\n"
        text += "created = 2026-01-01T00:00:00Z\nfiles = {}\n"
    return text


@st.composite
def registries(draw: st.DrawFn) -> str:
    """Texts of entries that stand in blocks of their own, in order or not."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    if draw(st.booleans()):
        names.sort(key=str.casefold)
    parts = [draw(blocks("adapters", name)) for name in names]
    bases = [
        draw(blocks("bases", name)) for name in draw(st.sampled_from([(), ("b",), ("b", "t")]))
    ]
    text = draw(COMMENT) + "schema = 1\n" + draw(BLANK)
    text += "".join([*bases, *parts] if draw(st.booleans()) else [*parts, *bases]) + draw(BLANK)
    if draw(st.booleans()):
        text = text.rstrip("\n")
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


Change = Callable[[dict[str, Any]], None]


@st.composite
def changes(draw: st.DrawFn, text: str) -> list[tuple[Any, ...]]:
    """What is done to it: for an adapter, what; or an entry that comes or goes."""
    names = list(tomli.loads(text)["adapters"])
    what = st.one_of(
        st.tuples(st.just("set"), st.sampled_from(names), st.sampled_from(["data", "new", "tags"])),
        st.tuples(st.just("version"), st.sampled_from(names), st.sampled_from(["1", "3", "11"])),
        st.tuples(st.just("drop"), st.sampled_from(names)),
        st.tuples(st.just("put"), st.sampled_from(["adapters", "bases"]), st.sampled_from(NEW)),
        st.tuples(st.just("top"), st.sampled_from(["mine", "remotes"])),
    )
    return draw(st.lists(what, min_size=1, max_size=4))


def apply(tables: dict[str, Any], steps: list[tuple[Any, ...]]) -> None:
    for kind, *rest in steps:
        if kind == "drop":
            tables["adapters"].pop(rest[0], None)
        elif kind == "put":
            section, name = rest
            entry = (
                {"source": "path:y"} if section == "bases" else {"base": "b", "options": {"r": 8}}
            )
            tables.setdefault(section, {})[name] = entry
        elif kind == "top":
            tables[rest[0]] = {"hub": {"endpoint": "https://hub"}}
        elif rest[0] in tables["adapters"]:
            entry = tables["adapters"][rest[0]]
            if kind == "set":
                entry[rest[1]] = ["t"]
            else:
                made = {"created": tomli.loads("t = 2026-02-02T00:00:00Z")["t"], "files": {}}
                entry.setdefault("versions", {})[rest[1]] = made


def outcome(edit: Callable[[], str], size: int) -> str:
    """The text after an edit with ``LARGE`` at ``size``, or that it was refused."""
    before, document.LARGE = document.LARGE, size
    try:
        return edit()
    except AdapterHubError as error:
        return type(error).__name__
    finally:
        document.LARGE = before


def edited(text: str, steps: list[tuple[Any, ...]]) -> str:
    draft = Draft(Path("registry.toml"), text)
    apply(draft.document, steps)
    return draft.text()


MANY = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])


def test_what_goes_has_no_say_in_where_what_comes_stands() -> None:
    text = "schema = 1\n" + "".join(f'[adapters.{each}]\nbase = "b"\n' for each in ("b", "a", "B2"))
    steps = [("drop", "b"), ("put", "adapters", "a-1")]
    whole = outcome(lambda: edited(text, steps), 1 << 60)
    assert outcome(lambda: edited(text, steps), 0) == whole


@MANY
@given(st.data())
def test_parts_are_edited_as_the_whole_is(data: st.DataObject) -> None:
    text = data.draw(registries())
    steps = data.draw(changes(text))
    whole = outcome(lambda: edited(text, steps), 1 << 60)
    assert outcome(lambda: edited(text, steps), 0) == whole
    event("refused" if whole.endswith("Error") else "done")


@MANY
@given(st.data())
def test_an_entry_is_renamed_as_in_the_whole(data: st.DataObject) -> None:
    text = data.draw(registries())
    old = data.draw(st.sampled_from(list(tomli.loads(text)["adapters"])))
    new = data.draw(st.sampled_from(NEW))
    whole = outcome(lambda: renamed(Path("registry.toml"), text, old, new), 1 << 60)
    assert outcome(lambda: renamed(Path("registry.toml"), text, old, new), 0) == whole
    event("refused" if whole.endswith("Error") else "done")


@MANY
@given(st.data())
def test_entries_are_a_dictionary(data: st.DataObject) -> None:
    text = data.draw(registries())
    plain = tomli.loads(text)
    lazy: dict[str, Any] = {}
    outcome(lambda: lazy.update(Draft(Path("registry.toml"), text).document) or "", 0)
    assert isinstance(lazy["adapters"], Entries)
    for steps in (data.draw(changes(text)), data.draw(changes(text))):
        apply(plain, copy.deepcopy(steps))
        apply(lazy, steps)
        one, other = plain["adapters"], lazy["adapters"]
        assert {name: dict(table) for name, table in other.items()} == one
        assert list(map(dict, other.values())) == [one[name] for name in other]
        assert len(other) == len(one)
        assert [name in other for name in (*NAMES, *NEW)] == [
            name in one for name in (*NAMES, *NEW)
        ]


PLAIN = 'schema = 1\n\n[adapters.a]\nbase = "b"\n\n[adapters.b]\nbase = "b"\n\n[adapters.c]\n'


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(document, "LARGE", 0)
    return tmp_path / "registry.toml"


def test_damage_elsewhere_is_nothing_to_an_edit(large: Path) -> None:
    large.write_text(f"{PLAIN}\n[adapters.z]\nbase = \n")
    Registry.open(large).edit_adapter("a", lambda entry: entry.update(data="f"))
    assert large.read_text() == f"{PLAIN}\n[adapters.z]\nbase = \n".replace(
        'base = "b"\n\n[adapters.b]', 'base = "b"\ndata = "f"\n\n[adapters.b]'
    )


@pytest.mark.parametrize("name", ["b", "c", "z"])
def test_damage_in_the_entry_or_beside_it_names_its_line(large: Path, name: str) -> None:
    large.write_text(f"{PLAIN}\n[adapters.z]\nbase = \n")
    registry = Registry.open(large)
    if name == "b":  # its neighbour's neighbour
        registry.edit_adapter(name, lambda entry: entry.update(data="f"))
        return
    before = large.read_bytes()
    with pytest.raises(RegistryError, match=r"not valid TOML.*line 12"):
        registry.edit_adapter(name, lambda entry: entry.update(data="f"))
    with pytest.raises(RegistryError, match=r"not valid TOML.*line 12"):
        registry.rename_entry(name, "y")
    assert large.read_bytes() == before


def test_a_new_name_that_differs_in_case_is_refused(large: Path) -> None:
    large.write_text(PLAIN)
    with pytest.raises(RegistryError, match="differs from 'a' only in case"):
        Registry.open(large).edit(lambda tables: tables["adapters"].update(A={"base": "b"}))
    assert large.read_text() == PLAIN


def test_who_looks_only_is_not_made_a_change(large: Path) -> None:
    large.write_text(PLAIN)
    before = large.stat()

    def look(tables: dict[str, Any]) -> None:
        assert tables["adapters"]["a"] == {"base": "b"}
        assert tables["adapters"].get("nope") is None
        tables["adapters"]["b"] = {"base": "b"}

    Registry.open(large).edit(look)
    assert large.stat().st_mtime_ns == before.st_mtime_ns
    assert large.stat().st_ino == before.st_ino
