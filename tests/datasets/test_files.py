"""Data files of every kind, sound and broken."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

import adapter_hub.datasets
from adapter_hub.datasets.files import BadRow, SourceRow, is_data_file, read_file, read_hub
from adapter_hub.errors import DataError

PAIR = {"prompt": "one?", "completion": " two"}


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(path: Path) -> list[tuple[str, Any]]:
    found = list(read_file(path))
    assert all(isinstance(each, SourceRow) for each in found), found
    return [(each.where, each.row) for each in found if isinstance(each, SourceRow)]


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_file"),
    [
        ("rows.jsonl", True),
        ("ROWS.CSV", True),
        ("data/rows", True),
        ("data\\rows", True),
        ("./foo.xlsx", True),
        ("foo.xlsx", True),
        ("rows.jsonl.gz", True),
        ("shakespeare", False),
        ("my.dataset", False),
    ],
)
def test_what_names_a_file(text: str, is_file: bool) -> None:
    assert is_data_file(text) is is_file


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no data file .*gone\.jsonl"):
        read_file(tmp_path / "gone.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(DataError, match="there is no data file"):
        read_file(tmp_path / "folder.jsonl")


def test_an_unknown_kind_names_the_known_ones(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.xlsx", "")
    with pytest.raises(DataError, match=r"use \.csv, \.json, \.jsonl, \.parquet, \.tsv, \.txt"):
        read_file(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt"])
@pytest.mark.parametrize("content", ["", "\n", "\ufeff", "\ufeff \n\n"])
def test_an_empty_file_has_no_rows(tmp_path: Path, name: str, content: str) -> None:
    if name.endswith((".csv", ".tsv")) and " " in content:
        content = "\ufeff\n\n"
    assert rows(write(tmp_path, name, content)) == []


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize("lines", [0, 3, 5000])
def test_a_row_that_is_not_utf8_is_a_bad_row(tmp_path: Path, name: str, lines: int) -> None:
    fine = b'{"text": "fine"}\n'
    path = write(tmp_path, name, fine * lines + b'{"text": "caf\xe9"}\n' + fine)
    rows = list(read_file(path))
    assert len(rows) == lines + 2
    [bad] = [row for row in rows if isinstance(row, BadRow)]
    assert bad.where == f"{name}:{lines + 1}"
    assert bad.reason.startswith("is not UTF-8 text")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt"])
@pytest.mark.parametrize("lines", [0, 3, 5000])
def test_text_that_is_not_utf8_is_named_with_its_line(
    tmp_path: Path, name: str, lines: int
) -> None:
    path = write(tmp_path, name, b'{"text": "fine"}\n' * lines + b'{"text": "caf\xe9"}\n')
    with pytest.raises(DataError, match=rf"{name}:{lines + 1}: is not UTF-8 text"):
        list(read_file(path))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.jsonl", "")
    path.chmod(0)
    with pytest.raises(DataError, match=r"rows\.jsonl cannot be read: Permission denied"):
        list(read_file(path))


# --- JSON lines ----------------------------------------------------------------------------------


def test_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.jsonl", f'\ufeff{json.dumps(PAIR)}\n\n  \r\n"a passage"\r\n')
    assert rows(path) == [("rows.jsonl:1", PAIR), ("rows.jsonl:4", "a passage")]


def test_a_bad_line_is_named_and_the_rest_read(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.jsonl", '{"text": "a"}\n{"text": \n[1]\n{"text": "d"}')
    first, bad, third, last = read_file(path)
    assert first == SourceRow("rows.jsonl:1", {"text": "a"})
    assert isinstance(bad, BadRow)
    assert bad.where == "rows.jsonl:2"
    assert bad.reason.startswith("is not JSON (Expecting value")
    assert third == SourceRow("rows.jsonl:3", [1])  # type: ignore[arg-type]
    assert last == SourceRow("rows.jsonl:4", {"text": "d"})


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, separator: str) -> None:
    line = json.dumps({"text": f"a{separator}b"}, ensure_ascii=False)
    path = write(tmp_path, "rows.jsonl", f"{line}\n{line}\n")
    assert [row["text"] for _, row in rows(path)] == [f"a{separator}b"] * 2


@pytest.mark.parametrize("line", ["9" * 5000, "[" * 200_000, "{'text': 'a'}", "\x00"])
def test_a_line_that_breaks_the_parser_is_a_bad_row(tmp_path: Path, line: str) -> None:
    (bad,) = read_file(write(tmp_path, "rows.jsonl", line))
    assert isinstance(bad, BadRow)
    assert bad.reason.startswith("is not JSON")


def test_lines_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.jsonl", '{"text": "a"}\n' * 3 + '{"text": "caf\\u00e9"}\n')
    reader = read_file(path)
    assert next(reader) == SourceRow("rows.jsonl:1", {"text": "a"})


# --- JSON ----------------------------------------------------------------------------------------


def test_a_json_array(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.json", "\ufeff \n" + json.dumps([PAIR, "passage"], indent=2))
    assert rows(path) == [("rows.json:3 row 1", PAIR), ("rows.json:7 row 2", "passage")]
    assert rows(write(tmp_path, "none.json", "[]")) == []


def test_json_lines_under_the_name_of_json(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.json", f"{json.dumps(PAIR)}\n{json.dumps(PAIR)}\n")
    assert rows(path) == [("rows.json:1", PAIR), ("rows.json:2", PAIR)]


@pytest.mark.parametrize("text", ['[\n{"text": ]', "[\n" + "9" * 5000 + "]", "[\n" + "[" * 200_000])
def test_a_broken_array_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"rows\.json:2: is not JSON "):
        list(read_file(write(tmp_path, "rows.json", text)))


def test_rows_before_a_broken_one_are_read(tmp_path: Path) -> None:
    reader = read_file(write(tmp_path, "rows.json", '[{"text": "a"},\n{"text": }]'))
    assert next(reader) == SourceRow("rows.json:1 row 1", {"text": "a"})
    with pytest.raises(DataError, match=r"rows\.json:2: is not JSON \(Expecting value\)\.$"):
        next(reader)


@pytest.mark.parametrize(
    "value", [{"data": [PAIR]}, {"rows": ["a", "b"]}, {"version": 1, "data": [PAIR, PAIR]}]
)
@pytest.mark.parametrize("indent", [None, 2])
def test_an_object_around_the_rows_is_refused(
    tmp_path: Path, value: dict[str, Any], indent: int | None
) -> None:
    if len(value) > 1 and indent is None:
        return  # one row, as far as anybody can say
    path = write(tmp_path, "rows.json", json.dumps(value, indent=indent))
    with pytest.raises(DataError, match=r"json: expected an array of rows, or one row a line\.$"):
        list(read_file(path))


@pytest.mark.parametrize("column", ["messages", "conversation"])
def test_one_row_of_messages_is_a_row(tmp_path: Path, column: str) -> None:
    row = {column: [{"from": "human", "value": "hi"}]}
    path = write(tmp_path, "rows.json", json.dumps(row))
    assert rows(path) == [("rows.json:1", row)]


# --- CSV -----------------------------------------------------------------------------------------


def test_csv(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv", '\ufeffprompt,completion\none?," two"\n\nq,"a ""b"""\n')
    assert rows(path) == [
        ("rows.csv:2", {"prompt": "one?", "completion": " two"}),
        ("rows.csv:4", {"prompt": "q", "completion": 'a "b"'}),
    ]


def test_tsv(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.tsv", "prompt\tcompletion\none, two?\t three\n")
    assert rows(path) == [("rows.tsv:2", {"prompt": "one, two?", "completion": " three"})]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_row_with_line_ends_stands_where_it_starts(tmp_path: Path, end: str) -> None:
    text = end.join(["text,id", '"one', "two", 'three",1', "four,2", '"five', 'six",3'])
    path = write(tmp_path, "rows.csv", text)
    assert [where for where, _ in rows(path)] == ["rows.csv:2", "rows.csv:5", "rows.csv:6"]
    assert rows(path)[0][1]["text"] == end.join(["one", "two", "three"])


def test_a_wrong_number_of_fields_is_a_bad_row(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv", "a,b\n1\n1,2\n1,2,3,4\n")
    assert list(read_file(path)) == [
        BadRow("rows.csv:2", "has 1 fields where the header has 2"),
        SourceRow("rows.csv:3", {"a": "1", "b": "2"}),
        BadRow("rows.csv:4", "has 4 fields where the header has 2"),
    ]


def test_a_long_field_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv", f"text\n{'x' * 300_000}\n")
    assert len(rows(path)[0][1]["text"]) == 300_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a,b\n1,2\n"x"y,3\n', r"rows\.csv:3: is not CSV"),
        ('a,b\n1,2\n"open,3\n\n', r"rows\.csv:4: is not CSV"),
        ("text,text\n1,2\n", "the header names the column 'text' twice"),
    ],
)
def test_a_file_that_is_no_csv_is_named_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        list(read_file(write(tmp_path, "rows.csv", text)))


# --- Parquet -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows.parquet", "rows [1] *.PARQUET"])
def test_parquet_without_a_network(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table = pa.table({"messages": [[{"role": "user", "content": "é"}]] * 3, "n": [1, 2, None]})
    pa.parquet.write_table(table, path, row_group_size=1)
    found = rows(path)
    assert [where for where, _ in found] == [f"{name} row {n}" for n in (1, 2, 3)]
    assert found[2][1] == {"messages": [{"role": "user", "content": "é"}], "n": None}


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.parquet is not a readable Parquet file"):
        list(read_file(write(tmp_path, "rows.parquet", "PAR1 not really PAR1")))


def test_a_hub_dataset_without_a_network_is_an_error() -> None:
    with pytest.raises(DataError, match="dataset hf:nobody/nothing:train cannot be read: ") as no:
        list(read_hub("nobody/nothing:train"))
    assert no.value.hint == "check the name and the network, or name a local file"


@pytest.mark.parametrize(
    ("location", "name", "configuration", "split", "revision"),
    [
        ("me/rows", "me/rows", None, "train", None),
        ("me/rows:test", "me/rows", None, "test", None),
        ("me/rows@v1:test", "me/rows", None, "test", "v1"),
        ("me/rows:en:test", "me/rows", "en", "test", None),
        ("me/rows@v1:en:", "me/rows", "en", "train", "v1"),
    ],
)
def test_which_rows_of_a_hub_dataset(
    monkeypatch: pytest.MonkeyPatch,
    location: str,
    name: str,
    configuration: str | None,
    split: str,
    revision: str | None,
) -> None:
    asked: list[Any] = []

    def load_dataset(*path: Any, **how: Any) -> list[Any]:
        asked.append((*path, how["split"], how["revision"], how["streaming"]))
        return [PAIR]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    assert list(read_hub(location)) == [SourceRow(f"hf:{location} row 1", PAIR)]  # type: ignore[arg-type]
    assert asked == [(name, configuration, split, revision, True)]


# --- text ----------------------------------------------------------------------------------------


def test_text_is_read_in_passages(tmp_path: Path) -> None:
    path = write(tmp_path, "play.txt", "\ufeffone\r\ntwo\r\n\r\n" + "x" * 999 + "\n\nthree\n")
    assert rows(path) == [
        ("play.txt:1", "one\ntwo"),
        ("play.txt:4", "x" * 999),
        ("play.txt:6", "three"),
    ]


def test_the_built_in_dataset_is_passages_of_plays() -> None:
    plays = list(adapter_hub.datasets.shakespeare())
    assert len(plays) > 100
    assert all(isinstance(each, str) and each.strip() for each in plays)
