"""Where things stand in a TOML text: headers and key/value statements with their spans.

This does not check TOML: tomli does that first. It finds, for a text that tomli accepted, the
offsets that a splice edit needs and the line numbers that an error message names.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from functools import cached_property

Path = tuple[str, ...]

_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}'  # multi-line strings
    r'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\''  # strings on one line
    r"|#[^\n]*|[\[\]{}]|\n|[^\"'#\[\]{}\n]+",
    re.DOTALL,
)
_KEY_PART = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*""")
_BLANK = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)")


@dataclass(frozen=True)
class Header:
    """``[a.b]`` or ``[[a.b]]``: ``start`` and ``end`` of its line, ``index`` among all headers.

    ``key_start`` and ``key_end`` are the offsets behind the opening and of the closing bracket.
    """

    path: Path
    start: int
    key_start: int
    key_end: int
    end: int
    index: int


@dataclass(frozen=True)
class Statement:
    """``key = value`` at the absolute ``path``: its whole lines, and the value alone."""

    path: Path
    start: int
    end: int
    value_start: int
    value_end: int
    header: int  # index of the header it stands under, -1 above the first one


class Scan:
    """All headers and statements of ``text``, which tomli has accepted."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.headers: list[Header] = []
        self.statements: list[Statement] = []
        self._read()
        self.header_at = {header.path: header for header in self.headers}
        self.statement_at = {statement.path: statement for statement in self.statements}

    def block_end(self, header: Header) -> int:
        """The offset behind the header's block: its last statement and the comments that touch it.

        What stands behind a blank line belongs to nobody, and the next header's lead-in to that.
        """
        limit = len(self.text)
        if header.index + 1 < len(self.headers):
            limit = self.lead_in(self.headers[header.index + 1])
        end = self._last_end[header.index]
        while end < limit:
            below = self._line_end(end)
            if not self.text[end:below].lstrip(" \t").startswith("#"):
                break
            end = below
        return end

    def lead_in(self, header: Header) -> int:
        """The offset of the comment lines that stand directly above a header, or its own."""
        start = header.start
        # A line that looks like a comment may be the end of a string.
        floor = self._last_end.get(header.index - 1, 0)
        while start > floor:
            above = self.text.rfind("\n", 0, start - 1) + 1
            if not self.text[above:start].lstrip(" \t").startswith("#"):
                break
            start = above
        return start

    def line_of(self, path: Path) -> int | None:
        """The 1-based line where ``path``, or the nearest table above it, is written."""
        for length in range(len(path), 0, -1):
            prefix = path[:length]
            place: Header | Statement | None
            place = self.statement_at.get(prefix) or self.header_at.get(prefix)
            if place is None:
                # [a.b] and a.b = 1 are lines of a, too.
                every: list[Header | Statement] = [*self.headers, *self.statements]
                place = next((each for each in every if each.path[:length] == prefix), None)
            if place is not None:
                return self.line(place.start)
        return None

    def line(self, offset: int) -> int:
        """The 1-based number of the line that holds ``offset``."""
        return bisect.bisect_right(self._line_starts, offset)

    @cached_property
    def _last_end(self) -> dict[int, int]:
        """By index of a header: where its last statement ends, or its own line."""
        ends = {header.index: header.end for header in self.headers}
        return ends | {statement.header: statement.end for statement in self.statements}

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def _read(self) -> None:
        text, position = self.text, 0
        under: Path = ()
        while position < len(text):
            blank = _BLANK.match(text, position)
            if blank:
                position = blank.end()
                continue
            first = position
            while text[first] in " \t":
                first += 1
            if text[first] == "[":
                under, position = self._read_header(position, first)
            else:
                position = self._read_statement(position, under)

    def _read_header(self, start: int, bracket: int) -> tuple[Path, int]:
        brackets = 2 if self.text.startswith("[[", bracket) else 1
        key_start = bracket + brackets
        path, key_end = _read_key(self.text, key_start)
        end = self._line_end(bracket)
        self.headers.append(Header(path, start, key_start, key_end, end, len(self.headers)))
        return path, end

    def _read_statement(self, start: int, under: Path) -> int:
        key, equals = _read_key(self.text, start)
        value_start = equals + 1
        while self.text[value_start] in " \t":
            value_start += 1
        value_end, end = self._value_end(value_start)
        header = len(self.headers) - 1
        self.statements.append(Statement(under + key, start, end, value_start, value_end, header))
        return end

    def _value_end(self, position: int) -> tuple[int, int]:
        """The end of the value that starts at ``position``, and the end of its last line."""
        depth, value_end = 0, position
        for token in _TOKEN.finditer(self.text, position):
            piece = token[0]
            if piece == "\n" and depth == 0:
                return value_end, token.end()
            if piece in "[{":
                depth += 1
            elif piece in "]}":
                depth -= 1
            if piece != "\n" and not piece.startswith("#"):
                value_end = token.start() + len(piece.rstrip())
        return value_end, len(self.text)

    def _line_end(self, position: int) -> int:
        newline = self.text.find("\n", position)
        return len(self.text) if newline < 0 else newline + 1


def _read_key(text: str, position: int) -> tuple[Path, int]:
    """A dotted key and the offset of what follows it (``=`` or ``]``)."""
    parts: list[str] = []
    while True:
        match = _KEY_PART.match(text, position)
        assert match is not None, "tomli accepted a key that the scanner cannot read"
        quoted, literal, bare = match.groups()
        parts.append(
            _unescape(quoted) if quoted is not None else literal if literal is not None else bare
        )
        position = match.end()
        if text[position : position + 1] != ".":
            return tuple(parts), position
        position += 1


def _unescape(quoted: str) -> str:
    if "\\" not in quoted:
        return quoted
    import tomli

    return str(tomli.loads(f'key = "{quoted}"')["key"])


def line_end(text: str) -> str:
    """What ends the lines of ``text``."""
    return "\r\n" if "\r\n" in text[:4096] else "\n"
