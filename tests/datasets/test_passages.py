"""Running text cut into passages."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from adapter_hub.datasets.passages import PASSAGE_CHARACTERS, passages


def cut(text: str, size: int = PASSAGE_CHARACTERS) -> list[tuple[int, str]]:
    return list(passages(text.splitlines(keepends=True), size))


def test_short_paragraphs_are_put_together() -> None:
    assert cut("one\none\n\n\n\ntwo\n") == [(1, "one\none\n\ntwo")]


def test_a_passage_starts_where_it_stands() -> None:
    assert cut("\n\naaaa\n\nbbbb\n\ncccc\n", size=10) == [(3, "aaaa\n\nbbbb"), (7, "cccc")]


def test_a_long_paragraph_is_cut_between_lines() -> None:
    assert cut("aaaa\nbbbb\ncccc\n", size=9) == [(1, "aaaa\nbbbb"), (3, "cccc")]


def test_a_long_line_stays_whole() -> None:
    assert cut("a\n" + "b" * 30 + "\nc\n", size=9) == [(1, "a"), (2, "b" * 30), (3, "c")]


def test_the_size_is_kept_to_the_character() -> None:
    assert cut("aaaa\n\nbbbb\n", size=10) == [(1, "aaaa\n\nbbbb")]
    assert cut("aaaa\n\nbbbb\n", size=9) == [(1, "aaaa"), (3, "bbbb")]


def test_no_text_is_no_passage() -> None:
    assert cut("") == cut(" \n\t\n\n") == []


@given(st.lists(st.text("ab ", max_size=12), max_size=30), st.integers(1, 20))
@settings(deadline=None)
def test_nothing_is_lost_and_nothing_too_long(lines: list[str], size: int) -> None:
    found = list(passages([line + "\n" for line in lines], size))
    kept = [line.rstrip() for line in lines if line.strip()]
    assert [line for _, text in found for line in text.split("\n") if line] == kept
    for start, text in found:
        assert lines[start - 1].rstrip() == text.split("\n")[0]
        assert len(text) <= size or "\n" not in text
