"""Scan: where things stand in any text that tomli accepts."""

from __future__ import annotations

from typing import Any

import pytest
import tomli
from hypothesis import HealthCheck, assume, given, settings
from registry.documents import texts

from adapter_hub.registry.scan import Scan


def parse_or_skip(text: str) -> dict[str, Any]:
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError:
        assume(False)
        raise


def at(meaning: Any, path: tuple[str, ...]) -> list[Any]:
    """What stands at ``path``: once, or in each table of an array of tables."""
    found = [meaning]
    for part in path:
        tables = [each for one in found for each in (one if isinstance(one, list) else [one])]
        found = [table[part] for table in tables if isinstance(table, dict) and part in table]
    return found


@settings(
    max_examples=80, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
@given(texts())
def test_every_value_is_where_the_scan_says(text: str) -> None:
    meaning = parse_or_skip(text)
    for statement in Scan(text).statements:
        value = text[statement.value_start : statement.value_end]
        alone = tomli.loads(f"value = {value}")["value"]
        assert alone in at(meaning, statement.path)
        assert text[statement.start : statement.end].strip().startswith(("'", '"', *_bare()))


@settings(
    max_examples=80, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
@given(texts())
def test_spans_cover_everything_but_comments_and_blank_lines(text: str) -> None:
    parse_or_skip(text)
    scan = Scan(text)
    spans = sorted((each.start, each.end) for each in (*scan.headers, *scan.statements))
    position, rest = 0, ""
    for start, end in spans:
        assert position <= start < end
        rest += text[position:start]
        position = end
    rest += text[position:]
    assert all(not line.strip() or line.lstrip().startswith("#") for line in rest.split("\n"))


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
@given(texts())
def test_headers_and_lines(text: str) -> None:
    meaning = parse_or_skip(text)
    scan = Scan(text)
    for header in scan.headers:
        assert at(meaning, header.path)
        assert text[header.key_end] == "]"
        assert scan.line(header.start) == text.count("\n", 0, header.start) + 1
    # Repeated headers of an array of tables share a path; line_of names one of them.
    for path, statement in scan.statement_at.items():
        assert scan.line_of(path) == scan.line(statement.start)


def _bare() -> str:
    return "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"


TEXT = """\
# top
schema = 1

# about a
# two lines
[adapters.a] # beside
base = "x"
text = \"\"\"
[adapters.b]
key = 1\"\"\"

  # indented
[adapters.a.versions.1]
files = { "a" = "]" }  # }
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("schema",), 2),
        (("adapters", "a"), 6),
        (("adapters", "a", "base"), 7),
        (("adapters", "a", "text"), 8),
        (("adapters", "a", "versions", "1", "files"), 14),
        (("adapters", "a", "versions"), 13),
        (("adapters", "a", "no such key"), 6),
        (("nowhere",), None),
    ],
)
def test_line_of(path: tuple[str, ...], line: int | None) -> None:
    assert Scan(TEXT).line_of(path) == line


def test_a_block_ends_at_its_last_statement() -> None:
    scan = Scan(TEXT)
    first, second = scan.headers
    assert TEXT[scan.lead_in(first) :].startswith("# about a\n# two lines\n[adapters.a]")
    assert TEXT[: scan.block_end(first)].endswith('key = 1"""\n')
    assert scan.block_end(second) == len(TEXT)
    assert TEXT[scan.lead_in(second) :].startswith("  # indented")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_value_ends_before_blanks_and_comment(newline: str) -> None:
    text = f"a = [1, # x ]{newline} 2]  # end{newline}b = 'x'"
    first, second = Scan(text).statements
    assert text[first.value_start : first.value_end] == f"[1, # x ]{newline} 2]"
    assert text[second.start : second.end] == "b = 'x'"
