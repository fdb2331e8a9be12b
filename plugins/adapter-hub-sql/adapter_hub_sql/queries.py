"""A query over one table, and the ways to write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

FUNCTIONS = ("", "MAX", "MIN", "COUNT", "SUM", "AVG")


@dataclass(frozen=True)
class Query:
    """``column`` and those of the conditions are indices; a condition is (column, sign, value)."""

    function: str
    column: int
    conditions: Sequence[tuple[int, str, str | int | float]] = field(default_factory=list)


def as_wikisql(query: Query, table: str, columns: Sequence[str]) -> str:
    """As WikiSQL's sample writes it: names without quotes, which no database reads."""
    where = [
        f"{columns[index]} {sign} " + (f"'{value}'" if isinstance(value, str) else str(value))
        for index, sign, value in query.conditions
    ]
    function = f"{query.function} " if query.function else ""
    return _joined(f"SELECT {function}{columns[query.column]} FROM {table}", where)


def as_sqlite(query: Query, table: str, columns: Sequence[str]) -> str:
    """As SQLite, and any other database of standard SQL, runs it."""
    where = [
        f"{quoted(columns[index])} {sign} "
        + (_text(value) if isinstance(value, str) else str(value))
        for index, sign, value in query.conditions
    ]
    column = quoted(columns[query.column])
    selected = f"{query.function}({column})" if query.function else column
    return _joined(f"SELECT {selected} FROM {quoted(table)}", where)


def quoted(name: str) -> str:
    """A table's or a column's name, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _joined(select: str, where: Sequence[str]) -> str:
    return f"{select} WHERE {' AND '.join(where)}" if where else select
