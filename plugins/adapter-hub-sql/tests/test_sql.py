"""The dataset: its splits, its options, and queries that a database runs."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import adapter_hub_sql
import pytest
from adapter_hub_sql.queries import Query, as_sqlite, as_wikisql, quoted
from adapter_hub_sql.rows import rows

from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.training.sources import find_source, open_rows, validation_of

FOLDER = Path(adapter_hub_sql.__file__).parent


@pytest.fixture
def catalog() -> Catalog:
    catalog = load_catalog()
    catalog.add_plugin(adapter_hub_sql, "sql", "adapter-hub-sql", "0.1.0")
    return catalog


def test_it_is_found_with_its_parts_and_options(catalog: Catalog) -> None:
    source = find_source("sql", Path(), catalog, {"limit": 3})
    assert len(list(open_rows(source, Path()))) == 3
    held_out = validation_of(source)
    assert held_out is not None
    assert held_out.name == "sql:validation"
    options = catalog.find("dataset", "sql").options()
    assert [each.name for each in options] == ["style", "dialect", "limit"]
    assert all(each.help for each in options)


@pytest.mark.parametrize(("split", "count"), [("train", 1000), ("validation", 100)])
def test_every_query_runs(split: str, count: int) -> None:
    database = sqlite3.connect(":memory:")
    for line in (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").split("\n")[:-1]:
        table = json.loads(line)
        columns = ", ".join(map(quoted, table["columns"]))
        database.execute(f"CREATE TABLE IF NOT EXISTS {quoted(table['table'])} ({columns})")
    made = list(rows(split, dialect="sqlite"))
    assert len(made) == count
    for row in made:
        database.execute(row["completion"])
    database.close()


def test_the_first_row_in_every_form() -> None:
    (row,) = rows("train", limit=1)
    assert row["prompt"].startswith("table: 1-1000181-1\ncolumns: State/territory, Text/background")
    assert row["prompt"].endswith("\nQ: Tell me what the notes are for South Australia \nA:")
    query = " SELECT Notes FROM 1-1000181-1 WHERE Current slogan = 'SOUTH AUSTRALIA'"
    assert row["completion"] == query
    (talk,) = rows("train", style="messages", limit=1)
    user, assistant = talk["messages"]
    assert f"{user['content']}\nA:" == row["prompt"]
    assert f" {assistant['content']}" == query


def test_quotes_in_names_and_values() -> None:
    query = Query("COUNT", 0, [(0, "=", "it's"), (1, ">", 3)])
    assert (
        as_wikisql(query, "t", ['a"b', "c"])
        == "SELECT COUNT a\"b FROM t WHERE a\"b = 'it's' AND c > 3"
    )
    assert as_sqlite(query, "t", ['a"b', "c"]) == (
        'SELECT COUNT("a""b") FROM "t" WHERE "a""b" = \'it\'\'s\' AND "c" > 3'
    )


def test_no_table_is_in_both_parts() -> None:
    names = [
        {
            json.loads(line)["table"]
            for line in (FOLDER / f"{split}.jsonl").read_text("utf-8").split("\n")[:-1]
        }
        for split in ("train", "validation")
    ]
    assert not names[0] & names[1]
