"""methods, datasets, plugins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapter_hub.cli.plugins import _shown

Hub = Callable[..., Any]


def test_methods(hub: Hub) -> None:
    assert [each["name"] for each in hub("methods", "--json").json] == ["lora"]
    told = hub("methods", "lora", "--json").json
    rank = next(each for each in told["options"] if each["name"] == "r")
    assert (rank["type"], rank["default"], rank["required"]) == ("integer", 8, False)
    assert rank["help"]
    assert "target_modules" in hub("methods", "lora").out
    assert hub("methods", "lara").code == 2


def test_datasets(hub: Hub) -> None:
    assert [each["name"] for each in hub("datasets", "--json").json] == ["shakespeare"]
    rows = hub("datasets", "shakespeare", "--json").json["first_rows"]
    assert rows[0].startswith("First Citizen:")


def test_plugins(hub: Hub) -> None:
    (line,) = hub("plugins", "--json").json
    assert line["status"] == "ok"
    assert line["offers"] == ["method lora", "dataset shakespeare", "base tiny"]
    assert hub("plugins", "--check").code == 0


def test_a_plugin_with_many_offers_is_still_a_line() -> None:
    assert _shown(["method a", "base b"]) == "method a, base b"
    many = [f"method m{number}" for number in range(7)]
    assert _shown([*many, "base b"]) == "7 methods, 1 base"


def test_the_flags_of_the_list_are_not_for_what_is_below_it(hub: Hub) -> None:
    assert hub("plugins", "no-such-thing").code == 2
    assert "[COMMAND]" in hub("plugins", "--help").out
