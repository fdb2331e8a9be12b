"""Running text cut into passages: whole paragraphs, about a thousand characters each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

PASSAGE_CHARACTERS = 1000


def passages(lines: Iterable[str], size: int = PASSAGE_CHARACTERS) -> Iterator[tuple[int, str]]:
    """Passages of ``lines`` with the 1-based line where each starts.

    Paragraphs (separated by blank lines) are put together until the next one would pass
    ``size`` characters. A longer paragraph is cut between lines, and a longer line as it is.
    """
    start, held = 0, ""
    for number, paragraph in _paragraphs(lines, size):
        if held and len(held) + 2 + len(paragraph) > size:
            yield start, held
            held = ""
        start, held = (start, f"{held}\n\n{paragraph}") if held else (number, paragraph)
    if held:
        yield start, held


def _paragraphs(lines: Iterable[str], size: int) -> Iterator[tuple[int, str]]:
    start, held = 0, ""
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip()
        if held and (not line or len(held) + 1 + len(line) > size):
            yield start, held
            held = ""
        if line:
            start, held = (start, f"{held}\n{line}") if held else (number, line)
    if held:
        yield start, held
