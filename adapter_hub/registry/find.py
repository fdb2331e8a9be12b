"""Which adapters: filters, sorting, and the summary that ``list`` prints."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from typing import Any

from adapter_hub.errors import UsageError
from adapter_hub.model import Adapter
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
) -> list[Adapter]:
    """The adapters that fit every filter. Raises UsageError for a condition that cannot be read."""
    tests = [_parse_condition(each) for each in conditions]
    wanted = set(tags)
    found = [
        adapter
        for adapter in registry.adapters()
        if (base is None or adapter.recipe.base == base)
        and (method is None or adapter.recipe.method == method)
        and wanted <= set(adapter.tags)
        and all(_holds(adapter, *test) for test in tests)
    ]
    return sorted(found, key=lambda adapter: _sort_key(adapter, sort))


def summary(adapter: Adapter) -> dict[str, Any]:
    """One object of ``list --json``."""
    newest = adapter.newest
    return {
        "name": adapter.name,
        "base": adapter.recipe.base,
        "method": adapter.recipe.method,
        "version": newest.number if newest else None,
        "versions": sorted(adapter.versions),
        "aliases": dict(adapter.aliases),
        "tags": list(adapter.tags),
        "created": newest.created if newest else None,
        "metrics": dict(newest.metrics) if newest else {},
        "hub": dict(newest.hub) if newest else {},
    }


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


def _holds(adapter: Adapter, metric: str, comparison: str, number: float) -> bool:
    newest = adapter.newest
    value = newest.metrics.get(metric) if newest else None
    return value is not None and bool(_OPERATORS[comparison](value, number))


def _sort_key(adapter: Adapter, key: str) -> tuple[bool, Any, str]:
    """Adapters without the value come last."""
    line = summary(adapter)
    value = (
        line[key] if key in ("base", "method", "version", "created") else line["metrics"].get(key)
    )
    if key == "name":
        value = adapter.name.casefold()
    return value is None, value if value is not None else 0, adapter.name.casefold()
