"""Make this plugin's data from the WikiSQL sample of ml-explore/mlx-examples (``lora/data``).

    python make_data.py train.jsonl valid.jsonl

The sample has each question as one text, with a query whose names and values are not quoted. Here
every table is a line with its questions, each query taken apart, so that it can be written in more
than one way. Nothing is lost: each text is put together again and compared.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapter_hub_sql.queries import FUNCTIONS, Query, as_wikisql
from adapter_hub_sql.rows import question_text

FOLDER = Path(__file__).with_name("adapter_hub_sql")
# A header joins its columns with ", ", and these have one of their own (besides in brackets).
WITH_COMMAS = (
    "Amount of trees, that require replacement",
    "Critical altitude This is the highest altitude at which the engine can achieve its full "
    "continuous power rating. Above this altitude, power falls off with height as with a "
    "naturally aspirated engine . See Supercharger#Altitude effects for details.",
    "Extroverted, Relationship-Oriented",
    "Extroverted, Task-Oriented",
    "Introverted, Relationship Oriented",
    "Introverted, Task-Oriented",
    "Power, continuous",
    "Power, takeoff",
    "Prevailing types, %",
)


def main(train: str, validation: str) -> None:
    for split, path in (("train", train), ("validation", validation)):
        texts = [
            json.loads(line)["text"]
            for line in Path(path).read_text(encoding="utf-8").split("\n")
            if line
        ]
        lines = [
            json.dumps(table, ensure_ascii=False, separators=(",", ":")) for table in tables(texts)
        ]
        target = FOLDER / f"{split}.jsonl"
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{target.name}: {len(texts)} questions, {len(lines)} tables")


def tables(texts: list[str]) -> Iterator[dict[str, Any]]:
    for head, group in itertools.groupby(texts, key=lambda text: text.split("\nQ: ")[0]):
        name, header = head.removeprefix("table: ").split("\ncolumns: ")
        columns = columns_of(header)
        queries = []
        for text in group:
            question, sql = text.split("\nQ: ")[1].split("\nA: ")
            query = parse(sql, name, columns)
            again = (
                f"{question_text(name, columns, question)}\nA: {as_wikisql(query, name, columns)}"
            )
            if again != text:
                raise SystemExit(f"this would become another text:\n{text}\n{again}")
            queries.append([question, query.function, query.column, query.conditions])
        yield {"table": name, "columns": columns, "queries": queries}


def columns_of(header: str) -> list[str]:
    columns: list[str] = []
    rest = f"{header}, "
    while rest:
        column = next((each for each in WITH_COMMAS if rest.startswith(f"{each}, ")), "")
        for part in rest.split(", ") if not column else ():
            column = f"{column}, {part}" if column else part
            if column.count("(") <= column.count(")"):
                break
        columns.append(column)
        rest = rest.removeprefix(f"{column}, ")
    if len(set(columns)) < len(columns):
        raise SystemExit(f"these are no columns: {header}")
    return columns


def parse(sql: str, table: str, columns: list[str]) -> Query:
    """Of several readings the one with the most conditions; there must be one."""
    found = [
        Query(function, index, conditions)
        for function in FUNCTIONS
        for index, column in enumerate(columns)
        for conditions in rests(
            sql, f"SELECT {function + ' ' if function else ''}{column} FROM {table}", columns
        )
    ]
    if not found:
        raise SystemExit(f"this is no query: {sql}")
    return max(found, key=lambda query: len(query.conditions))


def rests(sql: str, head: str, columns: list[str]) -> Iterator[list[list[Any]]]:
    if sql == head:
        yield []
    if sql.startswith(f"{head} WHERE "):
        yield from conditions_of(sql.removeprefix(f"{head} WHERE "), columns)


def conditions_of(text: str, columns: list[str]) -> Iterator[list[list[Any]]]:
    for index, column in enumerate(columns):
        for sign in "=<>":
            start = f"{column} {sign} "
            if not text.startswith(start):
                continue
            pieces = text.removeprefix(start).split(" AND ")
            for count in range(1, len(pieces) + 1):
                value = value_of(" AND ".join(pieces[:count]))
                if value is None:
                    continue
                first = [[index, sign, value]]
                if count == len(pieces):
                    yield first
                for more in conditions_of(" AND ".join(pieces[count:]), columns):
                    yield first + more


def value_of(text: str) -> str | int | float | None:
    if len(text) > 1 and text[0] == "'" == text[-1]:
        return text[1:-1]
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, (int, float)) else None


if __name__ == "__main__":
    main(*sys.argv[1:])
