"""parse_condition: what a condition means for a value, and which sentences refuse one."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_hub.errors import UsageError
from adapter_hub.registry.conditions import parse_condition

NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
HOUR = 3600


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("eval_loss<1.9", 1.8, True),
        (" eval_loss >= 1.9 ", 1.9, True),
        ("rank=16", 16, True),
        ("versions!=2", 2, False),
        ("dataset=shakespeare", "shakespeare", True),
        ("dataset=Shakespeare", "shakespeare", False),
        ("dataset!=shakespeare", "sql:train", True),
        ("dataset=sql:train", "sql:train", True),
        ("description~KING of", "The king of France", True),
        ("description~'king  of'", "The king of France", False),
        ('description="a = b"', "a = b", True),
        ("description=it's", "it's", True),
        ("description=''", "", True),
        ("tags=demo", ["x", "demo"], True),
        ("tags=dem", ["x", "demo"], False),
        ("tags~dem", ["x", "demo"], True),
        ("tags!=demo", ["x", "demo"], False),
        ("tags!=demo", [], True),
        ("aliases=prod", {"prod": 1}, True),
        ("age<7d", 6.9 * 24 * HOUR, True),
        ("age<7d", 7.1 * 24 * HOUR, False),
        ("age>1.5h", 2 * HOUR, True),
        ("age<=2w", 13 * 24 * HOUR, True),
        ("created=2026-01-31", NOON, True),
        ("created!=2026-01-31", NOON, False),
        ("created>2026-01-31", NOON, False),
        ("created>=2026-01-31", NOON, True),
        ("created<=2026-01-31", NOON, True),
        ("created<2026-01-31", NOON, False),
        ("created>2026-01-30", NOON, True),
        ("created<2026-01-31T12:00:01Z", NOON, True),
        ("created=2026-01-31T13:00:00+01:00", NOON, True),
        ("created>2026-01-31T12:00", NOON, False),
    ],
)
def test_what_holds(text: str, value: Any, holds: bool) -> None:
    column, test = parse_condition(text)
    assert column == text.strip()[: len(column)]
    assert test(value) is holds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write COLUMN"),
        ("eval_loss", "write COLUMN"),
        ("eval_loss<", "write COLUMN"),
        ("<1", "write COLUMN"),
        ("eval_loss<x", "a metric is compared with a number, not 'x'"),
        ("a<1<2", "a metric is compared with a number, not '1<2'"),
        ("rank<many", "rank is compared with a number, not 'many'"),
        ("datset=x", "datset is no column (did you mean 'dataset'?)"),
        ("datset~x", "datset is none (did you mean 'dataset'?)"),
        ("eval_loss~1", "~ is for texts, and eval_loss is none"),
        ("age~7d", "~ is for texts, and age is none"),
        ("age<7", "hours, days or weeks"),
        ("age<7m", "hours, days or weeks"),
        ("age<-7d", "hours, days or weeks"),
        ("created>yesterday", "a day or a time such as"),
        ("created>2026-02-30", "a day or a time such as"),
        ("name<b", "name is a text, which takes =, != and ~"),
        ("dataset='shakespeare", "a quote in it is not closed"),
        ("dataset=\"shakespeare'", "a quote in it is not closed"),
        ("dataset='", "a quote in it is not closed"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match="is not a condition") as caught:
        parse_condition(text)
    assert words in caught.value.message


def test_what_a_shell_took_away_is_pointed_out() -> None:
    with pytest.raises(UsageError) as caught:
        parse_condition("eval_loss")
    assert caught.value.hint == "quote it for the shell: --where 'eval_loss<1.9'"


@given(st.text(max_size=40))
def test_any_text_is_a_condition_or_a_usage_error(text: str) -> None:
    try:
        column, _ = parse_condition(text)
    except UsageError:
        return
    assert column in text


@given(
    st.sampled_from(["eval_loss", "rank", "age", "created", "name", "tags"]),
    st.sampled_from(["<", "<=", ">", ">=", "=", "==", "!=", "~"]),
    st.text(max_size=20),
)
def test_any_value_is_read_or_refused(column: str, sign: str, value: str) -> None:
    values = {"created": NOON, "name": "n", "tags": ["t"]}
    try:
        _, test = parse_condition(f"{column}{sign}{value}")
    except UsageError:
        return
    assert test(values.get(column, 1.0)) in (True, False)


def test_ages_are_seconds() -> None:
    _, test = parse_condition("age<1d")
    assert test(timedelta(hours=23).total_seconds())
    assert not test(timedelta(hours=25).total_seconds())
