"""Records survive being written and read, and edits of what people wrote touch what they mean."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import string
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from registry.documents import TRICKY, HandMade, hand_made

from adapter_hub.errors import AdapterHubError, RegistryError, UsageError
from adapter_hub.model import (
    Adapter,
    Base,
    Recipe,
    Remote,
    TrainingSettings,
    Version,
    check_name,
    parse_source,
)
from adapter_hub.registry import document, schema
from adapter_hub.registry.find import find_adapters
from adapter_hub.registry.lines import read_lines
from adapter_hub.registry.splice import format_block, same
from adapter_hub.registry.store import Registry

# --- records -------------------------------------------------------------------------------------

TEXT = st.text(TRICKY, max_size=8) | st.text(max_size=5)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    TEXT | NUMBERS | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
TABLES = st.dictionaries(TEXT, VALUES, max_size=3)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)
COMMITS = st.text("0123456789abcdef", min_size=40, max_size=40)


def is_name(text: str) -> bool:
    try:
        return check_name(text, "it") == text
    except UsageError:
        return False


NAMES = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=12).filter(
    is_name
)
REMOTES = st.builds(
    Remote,
    endpoint=st.text(string.ascii_letters + "0123456789.:-/é", max_size=9)
    .map("https://h{}".format)
    .map(lambda address: address.rstrip("/")),
    name=TEXT,
)


@st.composite
def bases(draw: st.DrawFn) -> Base:
    name, trusted = draw(NAMES), draw(st.booleans())
    if draw(st.booleans()):
        source, remote = parse_source("hf:o.w-n/r_e"), draw(st.none() | REMOTES)
        remote = remote if remote and remote.name else None
        code = draw(st.none() | DIGESTS) if trusted else None
        return Base(name, source, draw(COMMITS), remote, trusted, code)
    location = draw(TEXT.filter(bool))
    source = parse_source(draw(st.sampled_from(["path:", "plugin:"])) + location)
    revision = draw(st.none() | TEXT.filter(bool))
    return Base(name, source, revision, None, trusted, draw(DIGESTS) if trusted else None)


POSITIVE = st.floats(0, exclude_min=True, allow_infinity=False)
NOT_NEGATIVE = st.floats(0, allow_infinity=False)
COUNTS = st.integers(1, 2**63 - 1)
TRAINING = st.builds(
    TrainingSettings,
    epochs=POSITIVE,
    steps=st.none() | COUNTS,
    batch_size=COUNTS,
    grad_accum=COUNTS,
    learning_rate=POSITIVE,
    schedule=st.sampled_from(["cosine", "linear", "constant"]),
    warmup=NOT_NEGATIVE,
    weight_decay=NOT_NEGATIVE,
    max_grad_norm=NOT_NEGATIVE,
    max_length=st.integers(2, 2**63 - 1),
    train_on=st.sampled_from(["completion", "all"]),
    dtype=st.sampled_from(["auto", "float32", "bfloat16", "float16"]),
    seed=st.integers(0, 2**63 - 1),
    eval_fraction=st.none() | st.floats(0, 1, exclude_max=True),
    on_bad_row=st.sampled_from(["fail", "skip"]),
)
RECIPES = st.builds(
    Recipe,
    base=st.none() | TEXT,
    method=TEXT,
    options=TABLES,
    data=st.none() | TEXT,
    data_options=TABLES,
    eval_data=st.none() | TEXT,
    column_map=st.dictionaries(TEXT, TEXT, max_size=2),
    training=st.just(TrainingSettings()) | TRAINING,
)
FILE_NAMES = st.lists(
    st.text("ab.é #\"'", min_size=1, max_size=4).filter(lambda part: part not in (".", "..")),
    min_size=1,
    max_size=2,
).map("/".join)
TIMES = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(timezone.utc)
).map(lambda time: time.replace(microsecond=0))


def versions(number: int) -> st.SearchStrategy[Version]:
    return st.builds(
        Version,
        number=st.just(number),
        created=TIMES,
        files=st.dictionaries(FILE_NAMES, DIGESTS, max_size=2),
        recipe=st.none() | DIGESTS,
        metrics=st.dictionaries(TEXT, NUMBERS, max_size=2),
        hub=st.dictionaries(TEXT, TEXT, max_size=2),
    )


@st.composite
def adapters(draw: st.DrawFn) -> Adapter:
    numbers = draw(st.lists(st.integers(1, 10**18 - 1), unique=True, max_size=3))
    aliases: st.SearchStrategy[Any] = st.just({})
    if numbers:
        aliases = st.dictionaries(TEXT, st.sampled_from(numbers), max_size=2)
    return Adapter(
        name=draw(NAMES),
        recipe=draw(RECIPES),
        description=draw(TEXT),
        tags=tuple(draw(st.lists(TEXT, max_size=2))),
        aliases=draw(aliases),
        versions={number: draw(versions(number)) for number in numbers},
    )


def adapter_table(adapter: Adapter) -> dict[str, Any]:
    return {
        **schema.recipe_table(adapter.recipe),
        "description": adapter.description,
        "tags": list(adapter.tags),
        "aliases": dict(adapter.aliases),
        "versions": {
            str(number): schema.version_table(version)
            for number, version in adapter.versions.items()
        },
    }


@given(bases())
def test_a_base(base: Base) -> None:
    remotes: dict[str, Any] = {}
    text = format_block(("bases", base.name), schema.base_table(base))
    if base.remote:
        table = {"endpoint": base.remote.endpoint}
        text += format_block(("remotes", str(base.remote.name)), table)
    meaning = tomli.loads(text)
    remotes = meaning.get("remotes", {})
    assert schema.read_base(base.name, meaning["bases"][base.name], remotes) == base


@given(REMOTES)
def test_a_remote(remote: Remote) -> None:
    text = format_block(("remotes", str(remote.name)), {"endpoint": remote.endpoint})
    table = tomli.loads(text)["remotes"][remote.name]
    assert schema.read_remote(str(remote.name), table) == remote


@given(TRAINING)
def test_training_settings(training: TrainingSettings) -> None:
    table = tomli.loads(format_block(("t",), training.given()))["t"]
    assert schema.read_training(table, ()) == training


@given(versions(7))
def test_a_version(version: Version) -> None:
    path = ("adapters", "a", "versions", "7")
    meaning = tomli.loads(format_block(path, schema.version_table(version)))
    table = meaning["adapters"]["a"]["versions"]["7"]
    assert schema.read_version("a", "7", table) == version


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(adapters())
def test_an_adapter_read_whole_and_in_blocks(adapter: Adapter) -> None:
    text = "schema = 1\n" + format_block(("adapters", adapter.name), adapter_table(adapter))
    table = tomli.loads(text)["adapters"][adapter.name]
    # A recipe without a method, or with nothing in a table, is the same recipe.
    assert schema.read_adapter(adapter.name, table) == adapter
    blocks = read_lines(text)
    if blocks is None:
        assert "'''" in text or '"""' in text
        return
    read = schema.read_adapter(adapter.name, blocks["adapters"][adapter.name])
    assert dataclasses.asdict(read) == dataclasses.asdict(adapter)


# --- edits ---------------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], None]
NEW = {"created": datetime(2026, 3, 4, tzinfo=timezone.utc), "files": {"a#": "[b]"}}


def versions_of(entry: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = entry.setdefault("versions", {})
    return found


def change_oldest_version(entry: dict[str, Any]) -> None:
    for version in list(versions_of(entry).values())[:1]:
        version["metrics"] = {"eval_loss": 0.5}
        version["hub"] = {"repo": "o/r"}


CHANGES: dict[str, Change] = {
    "set a key": lambda entry: entry.update(base="\"'#[é]\n"),
    "set a table": lambda entry: entry.update(options={"r": 16, "a b": [1, "]"]}),
    "set training": lambda entry: entry.update(training={"steps": 9}),
    "set an unknown key": lambda entry: entry.update(unknown={"a": [True]}),
    "move an alias": lambda entry: entry.update(aliases={"prod": 2}),
    "drop a key": lambda entry: entry.pop("base"),
    "drop a table": lambda entry: entry.pop("options", None),
    "drop an unknown key": lambda entry: entry.pop("unknown", None),
    "add a version": lambda entry: versions_of(entry).update({"7": copy.deepcopy(NEW)}),
    "change a version": change_oldest_version,
    "drop a version": lambda entry: versions_of(entry).pop(
        next(iter(versions_of(entry)), ""), None
    ),
    "drop all versions": lambda entry: entry.pop("versions", None),
    "add a version and an alias": lambda entry: (
        versions_of(entry).update({"7": copy.deepcopy(NEW)}),
        entry.update(aliases={"new": 7}),
    )[0],
}


def without_empty(meaning: dict[str, Any]) -> dict[str, Any]:
    """No adapters, and no versions of one, can be said by leaving them out."""
    entries = {
        name: {key: value for key, value in table.items() if value or key != "versions"}
        for name, table in meaning.get("adapters", {}).items()
    }
    return {**meaning, "adapters": entries}


def kept_in(text: str, made: HandMade, name: str) -> bool:
    """Whether every part that is not of ``name`` is there, byte for byte and in order."""
    position = 0
    for owner, part in made.parts:
        lines = part.strip("\r\n \t")
        if owner == name or not lines:
            continue
        position = text.find(lines, position)
        if position < 0:
            return False
        position += len(lines)
    return True


def edited(
    path: Path,
    made: HandMade,
    name: str,
    edit: Callable[[Registry], None],
    intended: dict[str, Any],
) -> str | None:
    """The text after an edit that means what was intended; None for one that was refused.

    It is the same whether the whole text is edited or, as in a large registry, a part of it. What
    concerns an adapter of blocks with headers is never refused.
    """
    with as_large(1 << 60):
        whole = edited_once(path, made, name, edit, intended)
    with as_large(0):
        assert edited_once(path, made, name, edit, intended) == whole
    return whole


@contextlib.contextmanager
def as_large(size: int) -> Iterator[None]:
    """Registries of ``size`` characters and more are read and edited as large ones are."""
    before, document.LARGE = document.LARGE, size
    try:
        yield
    finally:
        document.LARGE = before


def edited_once(
    path: Path,
    made: HandMade,
    name: str,
    edit: Callable[[Registry], None],
    intended: dict[str, Any],
) -> str | None:
    before = (made.mark + made.text).encode()
    path.write_bytes(before)
    registry = Registry.open(path)
    try:
        edit(registry)
    except AdapterHubError:
        assert path.read_bytes() == before
        assert name not in made.plain
        return None
    after = path.read_bytes().decode()
    assert after.startswith(made.mark)
    text = after.removeprefix("\ufeff")
    assert same(without_empty(tomli.loads(text)), without_empty(intended))
    assert "\n" not in text.replace("\r\n", "") or "\r\n" not in made.text
    return text


def meaning_of(path: Path, made: HandMade) -> dict[str, Any]:
    """What it means; forms that TOML or the reader does not allow together are left out."""
    path.write_bytes(made.text.encode())
    try:
        document.parse(path, made.text)
    except AdapterHubError:
        assume(False)
    return tomli.loads(made.text)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registries") / "registry.toml"


MANY = settings(
    max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@pytest.mark.parametrize("what", CHANGES)
@MANY
@given(made=hand_made(), data=st.data())
def test_a_change_of_one_adapter(
    path: Path, what: str, made: HandMade, data: st.DataObject
) -> None:
    intended = meaning_of(path, made)
    name = data.draw(st.sampled_from(made.names))
    CHANGES[what](intended["adapters"][name])
    text = edited(
        path, made, name, lambda registry: registry.edit_adapter(name, CHANGES[what]), intended
    )
    event("refused" if text is None else "done")
    assert text is None or kept_in(text, made, name)


@MANY
@given(made=hand_made(), data=st.data())
def test_an_adapter_goes(path: Path, made: HandMade, data: st.DataObject) -> None:
    intended = meaning_of(path, made)
    name = data.draw(st.sampled_from(made.names))
    del intended["adapters"][name]

    def remove(tables: dict[str, Any]) -> None:
        del tables["adapters"][name]

    text = edited(path, made, name, lambda registry: registry.edit(remove), intended)
    event("refused" if text is None else "done")
    assert text is None or kept_in(text, made, name)


@MANY
@given(made=hand_made(), name=st.sampled_from(["a-first", "c.middle", "z"]))
def test_an_adapter_and_a_base_come(path: Path, made: HandMade, name: str) -> None:
    intended = meaning_of(path, made)

    def add(tables: dict[str, Any]) -> None:
        entry = {"base": "b", "versions": {"1": copy.deepcopy(NEW)}}
        tables.setdefault("adapters", {})[name] = entry
        tables.setdefault("bases", {})[name] = {"source": "path:x"}

    add(intended)
    text = edited(path, made, name, lambda registry: registry.edit(add), intended)
    event("refused" if text is None else "done")
    assert text is None or kept_in(text, made, name)


@MANY
@given(made=hand_made(), new=st.sampled_from(["a-first", "c.middle", "z"]), data=st.data())
def test_an_adapter_gets_another_name(
    path: Path, made: HandMade, new: str, data: st.DataObject
) -> None:
    intended = meaning_of(path, made)
    old = data.draw(st.sampled_from(made.names))
    intended["adapters"][new] = intended["adapters"].pop(old)
    text = edited(path, made, old, lambda registry: registry.rename_entry(old, new), intended)
    event("refused" if text is None else "done")
    if text is None:
        return
    others = [each for each in made.parts if each[0] is not None]
    assert kept_in(text, dataclasses.replace(made, parts=others), old)
    for owner, part in made.parts:
        # What stands between two blocks of an adapter moves with them.
        if owner in (old, None):
            lines = [line for line in part.splitlines() if line.strip() and old not in line]
            assert all(line in text for line in lines)


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_huge_values_beside_the_change(path: Path, what: str, newline: str) -> None:
    line = '[adapters.a] # \'"" = { é ☃ ' * 10
    huge = newline.join([line] * 2000)
    mine = f'[adapters.a]{newline}base = "b"{newline}note = """{huge}"""{newline}'
    rest = f"[adapters.b]{newline}one = '{line.replace(chr(39), '')}'{newline}two = '''{huge}'''"
    made = HandMade([(None, f"schema = 1{newline}"), ("a", mine), ("b", rest)], ["a", "b"])
    intended = meaning_of(path, made)
    CHANGES[what](intended["adapters"]["a"])
    text = edited(
        path, made, "a", lambda registry: registry.edit_adapter("a", CHANGES[what]), intended
    )
    assert text is not None
    assert kept_in(text, made, "a")
    assert f'note = """{huge}"""{newline}' in text


# --- damage --------------------------------------------------------------------------------------

FIXED = """\
schema = 1

[bases.b]
source = "path:x"

# one
[adapters.a]
base = "b"
options = { r = 8, w = ["x", "y"] }
data = "f"
tags = ["t", "é"]
aliases = { prod = 1 }
unknown = [1]

[adapters.a.versions.1]
created = 2026-01-02T03:04:05Z
files = { "a.json" = "sha256:1" }
metrics = { eval_loss = 1.5, n = 2 }

[adapters."b.2"]
base = "b"
"""


def listed(text: str, *, large: bool) -> Any:
    """What ``list`` shows; None where the registry is refused."""
    size, document.LARGE = document.LARGE, 0 if large else 1 << 60
    path = Path("registry.toml")
    try:
        return find_adapters(Registry(path, text, document.read_meaning(path, text)))
    except RegistryError:
        return None
    finally:
        document.LARGE = size


def check_damaged(text: str, damaged: str) -> None:
    """Both ways of reading mean the same, or refuse; or the damage is where ``list`` never looks."""
    whole, blocks = listed(damaged, large=False), listed(damaged, large=True)
    if repr(whole) != repr(blocks):
        assert whole is None
        assert repr(blocks) == repr(listed(text, large=False))


@pytest.mark.parametrize("new", list('\n"#[]{}=.,x1 '))
def test_every_character_damaged(new: str) -> None:
    for place in range(len(FIXED)):
        check_damaged(FIXED, FIXED[:place] + new + FIXED[place + 1 :])
        check_damaged(FIXED, FIXED[:place] + new + FIXED[place:])
        check_damaged(FIXED, FIXED[:place] + FIXED[place + 1 :])


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(adapters(), max_size=3, unique_by=lambda each: each.name.casefold()), st.data())
def test_any_registry_damaged(made: list[Adapter], data: st.DataObject) -> None:
    blocks = [format_block(("adapters", each.name), adapter_table(each)) for each in made]
    text = "\n".join(["schema = 1\n", *blocks])
    assert repr(listed(text, large=True)) == repr(listed(text, large=False)) != "None"
    for _ in range(5):
        place = data.draw(st.integers(0, len(text) - 1))
        new = data.draw(st.sampled_from(TRICKY + "\n\r") | st.characters(codec="utf-8"))
        check_damaged(text, text[:place] + new + text[place + data.draw(st.integers(0, 1)) :])
