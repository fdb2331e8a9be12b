"""Splice: an edit changes its place, means what was intended, and keeps every other byte."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registry.documents import VALUES, RegistryText, registries

from adapter_hub.errors import RegistryError
from adapter_hub.registry.splice import rename_entry, splice

CREATED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc)
MANY = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def edited(text: str, change: Callable[[dict[str, Any]], None]) -> str:
    old = tomli.loads(text)
    new = copy.deepcopy(old)
    change(new)
    return splice(text, old, new)


def told(text: str) -> list[str]:
    """The lines that say something."""
    return [line for line in text.split("\n") if line.strip()]


def is_part_of(small: list[str], large: list[str]) -> bool:
    """Whether ``small`` is ``large`` with lines left out."""
    rest = iter(large)
    return all(line in rest for line in small)


@MANY
@given(registries())
def test_an_edit_that_changes_nothing_gives_the_same_text(registry: RegistryText) -> None:
    assert edited(registry.text, lambda document: None) == registry.text


@MANY
@given(registries(), VALUES, st.data())
def test_setting_a_key_touches_its_value_alone(
    registry: RegistryText, value: Any, data: st.DataObject
) -> None:
    if not registry.names:
        return
    name = data.draw(st.sampled_from(registry.names))
    key = data.draw(st.sampled_from(["base", "options", "unknown", "tags"]))
    was = tomli.loads(registry.text)["adapters"][name]

    def change(document: dict[str, Any]) -> None:
        document["adapters"][name][key] = value

    result = edited(registry.text, change)
    assert tomli.loads(result)["adapters"][name][key] == value
    if key == "base":
        changed = [(a, b) for a, b in zip(told(registry.text), told(result), strict=True) if a != b]
        assert [a.rstrip("\r") for a, _ in changed] in ([], ['base = "b"  # why'])
    elif key not in was:
        assert is_part_of(told(registry.text), told(result))
        assert len(told(result)) == len(told(registry.text)) + 1
    assert "\n" not in result.replace("\r\n", "") or registry.newline == "\n"


@MANY
@given(registries(), st.data())
def test_what_is_added_can_be_removed_again(registry: RegistryText, data: st.DataObject) -> None:
    def add(document: dict[str, Any]) -> None:
        document.setdefault("adapters", {})["c-new"] = {
            "base": "b",
            "versions": {"1": {"created": CREATED, "files": {"a#": "[b]"}}},
        }

    def remove(document: dict[str, Any]) -> None:
        del document["adapters"]["c-new"]

    added = edited(registry.text, add)
    assert is_part_of(told(registry.text), told(added))
    assert len(told(added)) == len(told(registry.text)) + 5
    assert told(edited(added, remove)) == told(registry.text)


@MANY
@given(registries(), st.data())
def test_adding_and_removing_versions(registry: RegistryText, data: st.DataObject) -> None:
    if not registry.names:
        return
    name = data.draw(st.sampled_from(registry.names))

    def add(document: dict[str, Any]) -> None:
        versions = document["adapters"][name].setdefault("versions", {})
        number = str(len(versions) + 1)
        versions[number] = {"created": CREATED, "files": {}}

    text = edited(edited(registry.text, add), add)
    assert is_part_of(told(registry.text), told(text))
    numbers = list(tomli.loads(text)["adapters"][name]["versions"])
    assert numbers == sorted(numbers)

    def remove_newest(document: dict[str, Any]) -> None:
        document["adapters"][name]["versions"].pop(numbers[-1])

    assert is_part_of(told(edited(text, remove_newest)), told(text))


@MANY
@given(registries(), st.data())
def test_removing_an_adapter_keeps_the_other_blocks(
    registry: RegistryText, data: st.DataObject
) -> None:
    if not registry.names:
        return
    name = data.draw(st.sampled_from(registry.names))
    result = edited(registry.text, lambda document: document["adapters"].pop(name))
    assert is_part_of(told(result), told(registry.text))
    assert set(tomli.loads(result).get("adapters", {})) == set(registry.names) - {name}


@MANY
@given(registries(), st.data())
def test_renaming_moves_every_line(registry: RegistryText, data: st.DataObject) -> None:
    if not registry.names:
        return
    name = data.draw(st.sampled_from(registry.names))
    result = rename_entry(registry.text, "adapters", name, "c-new")
    before, after = tomli.loads(registry.text)["adapters"], tomli.loads(result)["adapters"]
    assert after.pop("c-new") == before.pop(name)
    assert after == before
    kept = [line for line in told(registry.text) if not line.startswith("[")]
    assert sorted(kept) == sorted(line for line in told(result) if not line.startswith("["))


HAND_MADE = """\
# the team's
schema = 1   # never touch

[adapters.b]
base = 'x' # pinned
custom = \"\"\"
[adapters.b.versions.9]
\"\"\"
training.steps = 3
training.seed = 1

[adapters.b.options]
r = 8 # rank

# first try
[adapters.b.versions.1]
created = 2026-01-01T00:00:00Z
files = {}

# the last one
[adapters.d]
base = "x"
"""


def test_blocks_go_where_their_names_sort() -> None:
    def change(document: dict[str, Any]) -> None:
        for name in ("a", "C", "e"):
            document["adapters"][name] = {"base": "x", "aliases": {}, "zzz": 1, "method": "lora"}

    result = edited(HAND_MADE, change)
    headers = [line for line in result.split("\n") if line.startswith("[adapters.")]
    assert [each for each in headers if each.count(".") == 1] == [
        "[adapters.a]",
        "[adapters.b]",
        "[adapters.C]",
        "[adapters.d]",
        "[adapters.e]",
    ]
    assert "# the last one\n[adapters.d]" in result
    assert '[adapters.e]\nbase = "x"\nmethod = "lora"\naliases = {}\nzzz = 1\n' in result


def test_versions_sort_as_numbers() -> None:
    def change(document: dict[str, Any]) -> None:
        for number in ("10", "2"):
            document["adapters"]["b"]["versions"][number] = {"created": CREATED, "files": {}}

    result = edited(HAND_MADE, change)
    order = [result.index(f"[adapters.b.versions.{number}]\nc") for number in (1, 2, 10)]
    assert order == sorted(order)


def test_a_new_key_takes_its_place_in_the_order() -> None:
    def change(document: dict[str, Any]) -> None:
        document["adapters"]["d"].update(tags=["t"], method="lora", data="f", base="y")

    result = edited(HAND_MADE, change)
    assert result.endswith('[adapters.d]\nbase = "y"\nmethod = "lora"\ndata = "f"\ntags = ["t"]\n')


def test_a_table_under_its_own_header_is_edited_there() -> None:
    """Written elsewhere, it would merge with an edit of its lines and lose that."""

    def change(document: dict[str, Any]) -> None:
        document["adapters"]["b"]["options"] = {"r": 16, "lora_alpha": 4}

    assert edited(HAND_MADE, change) == HAND_MADE.replace(
        "r = 8 # rank\n", "lora_alpha = 4\nr = 16 # rank\n"
    )


def test_the_header_of_a_table_goes_with_it() -> None:
    result = edited(HAND_MADE, lambda document: document["adapters"]["b"].pop("options"))
    assert result == HAND_MADE.replace("[adapters.b.options]\nr = 8 # rank\n\n", "")


def test_dotted_keys_become_one_line_where_the_first_stands() -> None:
    def change(document: dict[str, Any]) -> None:
        document["adapters"]["b"]["training"] = {"steps": 4, "seed": 1}

    assert edited(HAND_MADE, change) == HAND_MADE.replace(
        "training.steps = 3\ntraining.seed = 1\n", "training = { steps = 4, seed = 1 }\n"
    )


def test_dotted_keys_far_from_their_table_become_one_line() -> None:
    text = 'schema = 1\nadapters.a.training.steps = 1 # few\nadapters.a.base = "x"\n'

    def change(document: dict[str, Any]) -> None:
        document["adapters"]["a"]["training"] = {"steps": 2}

    assert edited(text, change) == text.replace(
        "training.steps = 1 #", "training = { steps = 2 } #"
    )


def test_a_key_and_its_line_go_together() -> None:
    result = edited(HAND_MADE, lambda document: document["adapters"]["b"].pop("base"))
    assert result == HAND_MADE.replace("base = 'x' # pinned\n", "")


@pytest.mark.parametrize(
    ("text", "after"),
    [
        (
            'adapters = { a = { base = "x" } } # ours\n',
            'adapters = { a = { base = "x", versions = { 1 = { n = 2 } } } } # ours\n',
        ),
        (
            '[adapters]\na = { base = "x" }\nb = {}\n',
            '[adapters]\na = { base = "x", versions = { 1 = { n = 2 } } }\nb = {}\n',
        ),
        (
            '[adapters.a]\nbase = "x"\nversions.1 = { n = 1, hub = {} } # kept\n',
            '[adapters.a]\nbase = "x"\nversions.1 = { n = 2 } # kept\n',
        ),
    ],
)
def test_an_inline_table_is_written_anew(text: str, after: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document["adapters"]["a"]["versions"] = {"1": {"n": 2}}

    assert edited(text, change) == after


def test_a_form_that_cannot_be_edited_in_place_is_refused() -> None:
    text = 'adapters.a = {\n  base = "x", # the comment would be lost\n}\n'

    def change(document: dict[str, Any]) -> None:
        document["adapters"]["a"]["versions"] = {"1": {"created": CREATED, "files": {}}}

    with pytest.raises(RegistryError, match="nothing was written") as caught:
        edited(text, change)
    assert "write" in str(caught.value.hint)
    assert "[adapters." in str(caught.value.hint)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "metrics = { eval_loss = nan, other = -nan }",
        "since = 2026-01-01T10:00:00",
        "since = 2026-01-01T10:00:00.25Z",
        "since = 2026-01-01T10:00:00+02:00",
        "day = 2026-01-01",
        "list = [nan, 1.5]",
    ],
)
def test_odd_values_elsewhere_do_not_stand_in_the_way(elsewhere: str) -> None:
    text = f'schema = 1\n\n[adapters.a]\nbase = "x"\n\n[adapters.b]\n{elsewhere}\n'
    result = edited(text, lambda document: document["adapters"]["a"].update(base="y"))
    assert result == text.replace('"x"', '"y"')


@pytest.mark.parametrize(("old", "new"), [("1", True), ("true", 1), ("1", 1.0), ("[1]", [1.0])])
def test_a_value_of_another_type_is_another_value(old: str, new: Any) -> None:
    text = f"[adapters.a]\noptions = {{ r = {old} }}\n"
    result = edited(text, lambda document: document["adapters"]["a"]["options"].update(r=new))
    assert repr(tomli.loads(result)["adapters"]["a"]["options"]["r"]) == repr(new)


def test_crlf_stays_crlf() -> None:
    text = HAND_MADE.replace("\n", "\r\n")

    def change(document: dict[str, Any]) -> None:
        document["adapters"]["c"] = {"base": "x", "versions": {"1": {"files": {}}}}
        document["adapters"]["d"]["data"] = "f"

    result = edited(text, change)
    assert result.count("\n") == result.count("\r\n") > text.count("\n")


def test_a_text_without_a_last_newline() -> None:
    text = 'schema = 1\n[adapters.a]\nbase = "x"'
    result = edited(text, lambda document: document["adapters"]["a"].update(data="f"))
    assert result == 'schema = 1\n[adapters.a]\nbase = "x"\ndata = "f"\n'


def test_an_edit_that_would_mean_something_else_is_refused() -> None:
    text = '[adapters.a]\nbase = "x"\ndata = "f"\n'
    stale = {"adapters": {"a": {"base": "x"}}}
    with pytest.raises(RegistryError, match="without changing something else"):
        splice(text, stale, {"adapters": {"a": {"base": "y"}}})
