"""The values of a sweep, as they are written."""

from __future__ import annotations

from typing import Any

import pytest

from adapter_hub.errors import OptionError, UsageError
from adapter_hub.training.space import Span, changes_of, divide, grid, parse_values, shown


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("4,8,16", (4, 8, 16)),
        ("1e-4, 3e-4", (1e-4, 3e-4)),
        ("8", (8,)),
        ("true,false", (True, False)),
        ("cosine,linear", ("cosine", "linear")),
        ('all-linear,["q_proj","v_proj"]', ("all-linear", ["q_proj", "v_proj"])),
        ('".*[qv]_proj,x",b', (".*[qv]_proj,x", "b")),
        ("{ a = 1, b = 2 },{ a = 2 }", ({"a": 1, "b": 2}, {"a": 2})),
        ("1e-5..1e-3", Span(1e-5, 1e-3)),
        ("2..64", Span(2, 64)),
        ("a..b", ("a..b",)),
    ],
)
def test_values(text: str, values: Any) -> None:
    assert parse_values("x", text) == values


@pytest.mark.parametrize("text", ["4,,8", "", "4,", "4,4", "8..4", "3..3", "[1,2"])
def test_what_are_no_values(text: str) -> None:
    with pytest.raises(UsageError):
        parse_values("x", text)


def test_spans_are_drawn_by_ratio_where_they_are_wide() -> None:
    assert Span(1e-5, 1e-3).by_ratio
    assert not Span(0, 1).by_ratio
    assert not Span(0.1, 0.9).by_ratio
    assert Span(2, 64).whole
    assert not Span(2.0, 64).whole


def test_every_combination_once() -> None:
    fixed, space = divide({"options.r": (4, 8), "steps": (5,), "learning_rate": (1e-4, 3e-4)})
    assert fixed == {"steps": 5}
    assert [shown(each) for each in grid(space)] == [
        "r=4, learning_rate=0.0001",
        "r=4, learning_rate=0.0003",
        "r=8, learning_rate=0.0001",
        "r=8, learning_rate=0.0003",
    ]
    with pytest.raises(UsageError, match="a grid needs values"):
        grid({"learning_rate": Span(1e-5, 1e-3)})


def test_a_point_changes_options_and_settings() -> None:
    changes = changes_of({"options.r": 4, "learning_rate": 1, "schedule": "linear"})
    assert changes.options == {"r": 4}
    assert changes.training == {"learning_rate": 1.0, "schedule": "linear"}
    with pytest.raises(OptionError, match="takes float"):
        changes_of({"learning_rate": "fast"})
