"""Which adapters: filters, sorting, and the summary that ``list`` prints."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from typing import Any

from adapter_hub.errors import UsageError
from adapter_hub.registry.store import Registry

_CONDITION = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*(<=|>=|==|!=|<|>|=)\s*(\S+)\s*")
_OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}


def find_adapters(
    registry: Registry,
    *,
    base: str | None = None,
    method: str | None = None,
    tags: Iterable[str] = (),
    conditions: Iterable[str] = (),
    sort: str = "name",
) -> list[dict[str, Any]]:
    """The objects of ``list --json``: what the registry tells of the adapters that fit.

    Raises UsageError for a condition that cannot be read, RegistryError.
    """
    tests = [_parse_condition(each) for each in conditions]
    wanted = set(tags)
    found = [
        each
        for each in registry.summaries()
        if (base is None or each["base"] == base)
        and (method is None or each["method"] == method)
        and wanted.issubset(each["tags"])
        and all(_holds(each, *test) for test in tests)
    ]
    return sorted(found, key=lambda each: _sort_key(each, sort))


def _parse_condition(text: str) -> tuple[str, str, float]:
    match = _CONDITION.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        return match[1], match[2], float(match[3])
    except ValueError:
        raise UsageError(
            f"{text!r} is not a condition: write METRIC, one of < <= > >= = !=, and a number."
        ) from None


def _holds(summary: Mapping[str, Any], metric: str, comparison: str, number: float) -> bool:
    value = summary["metrics"].get(metric)
    return value is not None and bool(_OPERATORS[comparison](value, number))


def _sort_key(summary: Mapping[str, Any], key: str) -> tuple[bool, Any, str]:
    """Adapters without the value, or with NaN, come last."""
    name = summary["name"].casefold()
    if key == "name":
        return False, 0, name
    fields = summary if key in ("base", "method", "version", "created") else summary["metrics"]
    value = fields.get(key)
    if value is None or value != value:  # NaN is neither more nor less than anything
        return True, 0, name
    return False, value, name
