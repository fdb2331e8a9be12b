"""Which adapters: filters, sorting, and the summary that ``list`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any

from adapter_hub.errors import UnknownNameError, UsageError
from adapter_hub.options import suggestion
from adapter_hub.registry.conditions import COLUMNS, READ_BY_ONE, Columns, parse_condition
from adapter_hub.registry.store import Registry

_SEARCHED = ("name", "base", "dataset", "description", "tags")


def find_adapters(
    registry: Registry,
    *,
    base: str | None = None,
    method: str | None = None,
    tags: Iterable[str] = (),
    conditions: Iterable[str] = (),
    text: str = "",
    sort: str = "name",
    reverse: bool = False,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """The objects of ``list --json``: what the registry tells of the adapters that fit all of it.

    Each of ``tags`` is a tag to have, or several with commas of which one is enough. Every word of
    ``text`` must be in a name, base, dataset, description or tag, case aside. ``sort`` is a column
    or a metric, ``-`` before it turns the order round, as ``reverse`` does; adapters without the
    value come last either way. A column that is read for this (rank, dataset, description) is in
    the objects.

    Raises UsageError for a condition or tag that cannot be read, UnknownNameError for a metric
    that no adapter has while others have some, RegistryError.
    """
    tests = [parse_condition(each) for each in conditions]
    wanted = [_alternatives(each) for each in tags]
    words = text.casefold().split()
    column, backwards = sort.removeprefix("-"), reverse != sort.startswith("-")
    summaries = list(registry.summaries())
    metrics = {metric for each in summaries for metric in each["metrics"]}
    for tested, _ in tests:
        _require_known(tested, metrics, "column or metric")
    _require_known(column, metrics, "column")
    # What every summary has is compared before anything is read for one of them.
    tests.sort(key=lambda test: test[0] in READ_BY_ONE)
    columns = Columns(registry)
    found = [
        each
        for each in summaries
        if (base is None or each["base"] == base)
        and (method is None or each["method"] == method)
        and all(not some.isdisjoint(each["tags"]) for some in wanted)
        and columns.fits(each, tests)
        and (not words or _has_words(columns, each, words))
    ]
    return _sorted(columns, found, column, backwards)[:limit]


def _alternatives(tags: str) -> Set[str]:
    some = {each.strip() for each in tags.split(",")}
    if "" in some:
        raise UsageError(f"{tags!r} is not a tag, nor several with commas between them.")
    return some


def _require_known(name: str, metrics: Set[str], what: str) -> None:
    """A metric may be one of adapters to come, as long as there is none at all."""
    if name in COLUMNS or name in metrics or not metrics:
        return
    known = [*COLUMNS, *sorted(metrics)]
    raise UnknownNameError(
        f"no adapter has the {what} {name!r}{suggestion(name, known)}.",
        hint=f"there are: {', '.join(known)}",
    )


def _has_words(columns: Columns, summary: dict[str, Any], words: Iterable[str]) -> bool:
    values = [columns.value(summary, column) or "" for column in _SEARCHED]
    texts = [each if isinstance(each, str) else "\n".join(each) for each in values]
    everything = "\n".join(texts).casefold()
    return all(word in everything for word in words)


def _sorted(
    columns: Columns, found: list[dict[str, Any]], column: str, backwards: bool
) -> list[dict[str, Any]]:
    """In the order of a column, those of one value by name; those without it, or with NaN, last."""
    found = sorted(found, key=lambda each: each["name"].casefold())
    if column == "name":
        return found[::-1] if backwards else found
    valued: list[tuple[Any, dict[str, Any]]] = []
    without = []
    for each in found:
        value = columns.value(each, column)
        if value is None or value != value:  # NaN is neither more nor less than anything
            without.append(each)
        else:
            valued.append((list(value) if isinstance(value, (dict, list)) else value, each))
    # Sorting keeps the names' order among equals, also when it is told to reverse.
    valued.sort(key=lambda pair: pair[0], reverse=backwards)
    return [each for _, each in valued] + without
