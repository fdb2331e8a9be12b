"""Values as TOML text: they read back as what they were."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import pytest
import tomli
from hypothesis import given
from registry.documents import VALUES

from adapter_hub.registry.values import format_value

CREATED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc)


@given(VALUES)
def test_a_formatted_value_reads_back(value: Any) -> None:
    assert tomli.loads(f"value = {format_value(value)}")["value"] == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e16, "1e+16"),
        (5.0, "5.0"),
        (2e-4, "0.0002"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (True, "true"),
        ("a\x00\x7f\n", '"a\\u0000\\u007f\\n"'),
        (CREATED, "2026-03-04T05:06:07Z"),
        (datetime(2026, 3, 4, 5), "2026-03-04T05:00:00"),
        (date(2026, 3, 4), "2026-03-04"),
        ({"a b": []}, '{ "a b" = [] }'),
        ({}, "{}"),
    ],
)
def test_format_value(value: Any, text: str) -> None:
    assert format_value(value) == text
    assert repr(tomli.loads(f"value = {text}")["value"]) == repr(value)


def test_what_toml_has_no_form_for() -> None:
    with pytest.raises(TypeError, match="no form"):
        format_value(None)
