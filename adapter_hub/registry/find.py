"""Which adapters: filters, sorting, and the summary that ``list`` prints."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping, Set
from typing import Any

from adapter_hub.errors import UnknownNameError, UsageError
from adapter_hub.options import suggestion
from adapter_hub.registry.store import Registry

_SORTED_BY = ("base", "method", "version", "created")
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

    Raises UsageError for a condition that cannot be read, UnknownNameError for a metric that no
    adapter has while others have some, RegistryError.
    """
    tests = [_parse_condition(each) for each in conditions]
    wanted = set(tags)
    summaries = list(registry.summaries())
    metrics = {metric for each in summaries for metric in each["metrics"]}
    for metric, _, _ in tests:
        _require_known(metric, metrics, "metric")
    _require_known(sort, {"name", *_SORTED_BY, *metrics}, "column")
    found = [
        each
        for each in summaries
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


def _require_known(name: str, known: Set[str], what: str) -> None:
    """A metric may be one of adapters to come, as long as there is none at all."""
    if name not in known and not known <= {"name", *_SORTED_BY}:
        raise UnknownNameError(
            f"no adapter has the {what} {name!r}{suggestion(name, known)}.",
            hint=f"there are: {', '.join(sorted(known))}",
        )


def _holds(summary: Mapping[str, Any], metric: str, comparison: str, number: float) -> bool:
    value = summary["metrics"].get(metric)
    return value is not None and bool(_OPERATORS[comparison](value, number))


def _sort_key(summary: Mapping[str, Any], key: str) -> tuple[bool, Any, str]:
    """Adapters without the value, or with NaN, come last."""
    name = summary["name"].casefold()
    if key == "name":
        return False, 0, name
    fields = summary if key in _SORTED_BY else summary["metrics"]
    value = fields.get(key)
    if value is None or value != value:  # NaN is neither more nor less than anything
        return True, 0, name
    return False, value, name
