"""The rows: a table's name and columns, a question about it, and the query that answers it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from adapter_hub_sql.queries import Query, as_sqlite, as_wikisql

WRITERS = {"wikisql": as_wikisql, "sqlite": as_sqlite}


def rows(
    split: str,
    style: Annotated[
        Literal["prompt", "messages"],
        "prompt and completion, or messages for a base with a chat template",
    ] = "prompt",
    dialect: Annotated[
        Literal["wikisql", "sqlite"],
        "queries as WikiSQL's sample writes them, names without quotes, or such as SQLite runs",
    ] = "wikisql",
    limit: Annotated[int | None, "only so many rows, from the first on"] = None,
) -> Iterator[dict[str, Any]]:
    """The rows of a split, ``train`` (1,000) or ``validation`` (100, of other tables)."""
    for question, query in itertools.islice(_questions(split, dialect), limit):
        if style == "prompt":
            yield {"prompt": f"{question}\nA:", "completion": f" {query}"}
        else:
            yield {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": query},
                ]
            }


def question_text(table: str, columns: Sequence[str], question: str) -> str:
    """What a model is asked."""
    return f"table: {table}\ncolumns: {', '.join(columns)}\nQ: {question}"


def _questions(split: str, dialect: str) -> Iterator[tuple[str, str]]:
    write = WRITERS[dialect]
    with Path(__file__).with_name(f"{split}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            table = json.loads(line)
            name, columns = table["table"], table["columns"]
            for question, function, column, conditions in table["queries"]:
                query = Query(function, column, conditions)
                yield question_text(name, columns, question), write(query, name, columns)
