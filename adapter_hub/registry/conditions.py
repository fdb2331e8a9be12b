"""``list --where``: conditions on the columns of adapters, and the columns themselves.

The columns that every summary has cost nothing more. The others are read for one adapter when a
condition or the order asks for it: ``rank`` from a file of its newest version, the rest from its
table in ``registry.toml``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from adapter_hub.errors import UsageError
from adapter_hub.options import suggestion
from adapter_hub.registry.store import Registry
from adapter_hub.registry.tables import in_utc

Kind = Literal["text", "number", "time", "age"]
Condition = tuple[str, Callable[[Any], bool]]
"""A column, and whether a value of it fits. One that is missing never does."""

CONFIG = "adapter_config.json"
COLUMNS: Mapping[str, Kind] = {
    "name": "text",
    "base": "text",
    "method": "text",
    "dataset": "text",
    "description": "text",
    "tags": "text",
    "aliases": "text",
    "hub": "text",
    "version": "number",
    "versions": "number",
    "rank": "number",
    "created": "time",
    "age": "age",
}
"""The columns beside the metrics, and what each is compared with. ``versions`` is their count."""

_TABLE_KEYS = {"dataset": "data", "description": "description"}
"""Columns that are keys of an adapter's table, and not in its summary."""
READ_BY_ONE = ("rank", *_TABLE_KEYS)
"""The columns that are read for one adapter at a time, when they are asked for."""

_CONDITION = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*(<=|>=|==|!=|<|>|=|~)\s*(.*?)\s*", re.DOTALL)
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
_AGE = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)([hdw])")
_SECONDS = {"h": 3600, "d": 86_400, "w": 604_800}
_QUOTES = "\"'"


def parse_condition(text: str) -> Condition:
    """Read ``COLUMN OPERATOR VALUE``. Raises UsageError.

    Numbers, times (``2026-01-31``, a day in UTC, or with ``T12:00``) and ages (``7d``; h, d, w)
    take ``< <= > >= = !=``. Texts take ``=``, ``!=`` and ``~``: contains, case aside; where there
    are several, as of tags, it is enough that one of them is it (or, for ``!=``, too much). A
    name that is no column is a metric's. A value may stand in quotes.
    """
    match = _CONDITION.fullmatch(text)
    if match is None or not match[3]:
        raise _not_a_condition(
            text, "write COLUMN, one of < <= > >= = != ~, and a value", _quoted_for_the_shell(match)
        )
    column, sign, value = match[1], match[2], _unquoted(text, match[3])
    kind = COLUMNS.get(column, "number")
    if kind == "text":
        return column, _text_test(text, column, sign, value)
    if sign == "~":
        close = "" if column in COLUMNS else suggestion(column, COLUMNS)
        raise _not_a_condition(text, f"~ is for texts, and {column} is none{close}")
    compare = _OPERATORS[sign]
    if kind == "time":
        return column, _time_test(text, column, sign, value)
    number = _age(text, value) if kind == "age" else _number(text, column, value)
    return column, lambda found: compare(found, number)


def _text_test(text: str, column: str, sign: str, value: str) -> Callable[[Any], bool]:
    if sign == "~":
        folded = value.casefold()
        return lambda found: any(folded in each.casefold() for each in _values(found))
    if sign in ("=", "=="):
        return lambda found: value in _values(found)
    if sign == "!=":
        return lambda found: value not in _values(found)
    raise _not_a_condition(text, f"{column} is a text, which takes =, != and ~")


def _values(found: Any) -> list[str]:
    return [found] if isinstance(found, str) else list(found)


def _time_test(text: str, column: str, sign: str, value: str) -> Callable[[Any], bool]:
    """A day is all its moments: before it, after it, or in it."""
    try:
        start = in_utc(datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", value)))
        day = re.fullmatch(r"\d{4}-\d{2}-\d{2}", value)
        last = start + timedelta(days=1, microseconds=-1) if day else start
    except (ValueError, OverflowError):
        raise _not_a_condition(
            text, f"{column} is compared with a day or a time such as 2026-01-31, not {value!r}"
        ) from None
    if sign in ("=", "=="):
        return lambda found: start <= found <= last
    if sign == "!=":
        return lambda found: not start <= found <= last
    compare, bound = _OPERATORS[sign], start if sign in ("<", ">=") else last
    return lambda found: compare(found, bound)


def _age(text: str, value: str) -> float:
    age = parse_age(value)
    if age is None:
        raise _not_a_condition(
            text, f"age is compared with hours, days or weeks such as 12h, 7d or 2w, not {value!r}"
        )
    return age


def parse_age(text: str) -> float | None:
    """Seconds in ``12h``, ``7d`` or ``2w``; None when it is none of these."""
    match = _AGE.fullmatch(text)
    return None if match is None else float(match[1]) * _SECONDS[match[2]]


def _number(text: str, column: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        why = f"{column} is compared with a number, not {value!r}"
        raise _not_a_condition(
            text, why if column in COLUMNS else _no_text(column, value)
        ) from None


def _no_text(column: str, value: str) -> str:
    """A text for what must be a metric: its name is misspelt more often than the number."""
    close = suggestion(column, COLUMNS)
    return f"{column} is no column{close}, and a metric is compared with a number, not {value!r}"


def _unquoted(text: str, value: str) -> str:
    """The value without quotes around it. Raises UsageError for a quote that is not closed."""
    if value[0] not in _QUOTES and value[-1] not in _QUOTES:
        return value
    if len(value) < 2 or value[0] != value[-1]:
        raise _not_a_condition(text, "a quote in it is not closed")
    return value[1:-1]


def _quoted_for_the_shell(match: re.Match[str] | None) -> str | None:
    """Most conditions without an end lost it to a shell, which takes < and > for files."""
    return None if match else "quote it for the shell: --where 'eval_loss<1.9'"


def _not_a_condition(text: str, why: str, hint: str | None = None) -> UsageError:
    return UsageError(f"{text!r} is not a condition: {why}.", hint=hint)


class Columns:
    """The values of columns, read when they are asked for and kept in the summary."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._now = datetime.now(timezone.utc)

    def value(self, summary: dict[str, Any], column: str) -> Any:
        """The value of one column of one adapter; None where it has none. Raises RegistryError."""
        if column not in COLUMNS:
            return summary["metrics"].get(column)
        if column in READ_BY_ONE and column not in summary:
            summary[column] = self._read(summary, column)
        if column == "age":
            created = summary["created"]
            return None if created is None else (self._now - created).total_seconds()
        if column == "versions":
            return len(summary["versions"])
        if column == "hub":
            return summary["hub"].get("repo")
        return summary[column]

    def fits(self, summary: dict[str, Any], conditions: Iterable[Condition]) -> bool:
        """Whether every condition holds."""
        for column, holds in conditions:
            value = self.value(summary, column)
            if value is None or not holds(value):
                return False
        return True

    def _read(self, summary: dict[str, Any], column: str) -> Any:
        name = summary["name"]
        if column == "rank":
            rank = self._rank_on_disk(name, summary["version"])
            options = self._registry.values(name, ["options"]).get("options", {})
            return _whole(options.get("r")) if rank is None else rank
        key = _TABLE_KEYS[column]
        return self._registry.values(name, [key]).get(key, "" if key == "description" else None)

    def _rank_on_disk(self, name: str, version: int | None) -> int | None:
        """What the newest version has, whatever its recipe has become; None where it is not here."""
        if version is None:
            return None
        import json

        path = self._registry.version_folder(name, version) / CONFIG
        try:
            config = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):  # verify says what is wrong with it
            return None
        return _whole(config.get("r")) if isinstance(config, dict) else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None
