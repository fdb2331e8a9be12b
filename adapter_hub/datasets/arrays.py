"""The rows of a JSON array, one at a time: a file larger than memory is fine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

_CHUNK = 1 << 16
# The end of the buffer can cut through a word such as -Infinity or an escape such as \ud83d\ude00.
_LONGEST_WORD = 16
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


class BrokenArray(ValueError):
    """Text that is no array of JSON values; ``line`` is where."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def array_rows(file: TextIO) -> Iterator[tuple[int, Any]]:
    """Each value of the array in ``file`` with the line it starts on. Raises BrokenArray.

    Memory holds one value and one buffer, whatever the length of the array.
    """
    text = _Text(file)
    text.take("[")
    mark = text.peek()
    while mark != "]":
        if not text.peek():
            raise BrokenArray(text.line, "ends inside its array")
        line = text.line
        yield line, text.value()
        mark = text.peek()
        if mark != ",":
            break
        text.take(",")
    text.take("]")
    if text.peek():
        raise BrokenArray(text.line, "has text behind its array")


class _Text:
    """The text of a file, read on as it is needed; ``line`` is that of its next character."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._buffer = ""
        self._place = 0
        self.line = 1

    def peek(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        while True:
            space = _SPACE.match(self._buffer, self._place)
            self._go_to(space.end() if space else self._place)
            if self._place < len(self._buffer):
                return self._buffer[self._place]
            if not self._read_on():
                return ""

    def take(self, mark: str) -> None:
        found = self.peek()
        if not found:
            raise BrokenArray(self.line, f"ends where {mark!r} is expected")
        if found != mark:
            raise BrokenArray(self.line, f"has {found!r} where {mark!r} is expected")
        self._place += 1

    def value(self) -> Any:
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._place)
            except json.JSONDecodeError as error:
                if self._is_cut(error) and self._read_on():
                    continue
                line = self.line + self._buffer.count("\n", self._place, error.pos)
                raise BrokenArray(line, f"is not JSON ({error.msg})") from None
            except (ValueError, RecursionError) as error:
                raise BrokenArray(self.line, f"is not JSON ({error})") from None
            # At the end of the buffer a number may go on: -1 as -1.5e-7.
            if end < len(self._buffer) - _LONGEST_WORD or not self._read_on():
                self._go_to(end)
                return value

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether the value may only be unfinished: a wrong one must not read on to the end.

        A string that is cut is named by its start. One that was never closed ends at its line.
        """
        near_end = error.pos >= len(self._buffer.rstrip()) - _LONGEST_WORD
        return near_end or error.msg.startswith("Unterminated string")

    def _go_to(self, place: int) -> None:
        self.line += self._buffer.count("\n", self._place, place)
        self._place = place

    def _read_on(self) -> bool:
        """Read as much again as there is, so that a long value is not tried again and again."""
        more = self._file.read(max(_CHUNK, len(self._buffer) - self._place))
        if more:
            self._buffer, self._place = self._buffer[self._place :] + more, 0
        return bool(more)
