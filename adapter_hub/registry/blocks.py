"""Where the entries of a large registry stand in its text, found without parsing it.

tomli needs half a minute for a hundred thousand adapters, and most commands look at one of them.
Where there are no multi-line strings, a line that starts with ``[adapters.`` can only be a header
(inside an array it would be no value), so the text from an entry's first header to the next
entry's is a document of its own, and means alone what it means in the whole.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

SECTIONS = ("bases", "adapters", "remotes")

# It begins with what re can search for, which is five times as fast as a line's start.
_HEADER = re.compile(
    rf'\n\[({"|".join(SECTIONS)})\.(?:([A-Za-z0-9_-]+)|"([A-Za-z0-9._-]+)")'
    r"(\.[A-Za-z0-9_.\"-]+)?\](?=\r?\n|\Z)"
)
# Names of other forms are for the schema to refuse. (model.py knows the rule; importing it takes
# as long as reading a thousand adapters.)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*(?<![._-])")
_EXOTIC = ('"""', "'''", *(f"\n{mark * 7}" for mark in "<|=>"))
_INDENTED = re.compile(r"\n[ \t\r]+\[")


@dataclass(frozen=True)
class Blocks:
    """The entries of a text in the order in which they stand there.

    ``places`` has the index of each by section and name; ``starts`` the offsets of their first
    headers. What stands above the first one is the top.
    """

    text: str
    places: dict[str, dict[str, int]]
    entries: list[tuple[str, str]]
    starts: list[int]

    @property
    def top(self) -> str:
        return self.text[: self.starts[0]] if self.starts else self.text

    def start(self, section: str, name: str) -> int:
        """The offset of an entry's first header."""
        return self.starts[self.places[section][name]]

    def entry(self, section: str, name: str) -> str:
        """The text of an entry, from its first header to the next entry's."""
        place = self.places[section][name]
        return self.text[self.starts[place] : self._end(place)]

    def span(self, first: int, last: int) -> tuple[int, int]:
        """The offsets of the entries ``first`` to ``last``, with their comments, and with the top."""
        end = len(self.text) if last + 1 == len(self.starts) else self._lead_in(last + 1)
        return (self._lead_in(first) if first else 0), end

    def _end(self, place: int) -> int:
        return self.starts[place + 1] if place + 1 < len(self.starts) else len(self.text)

    def _lead_in(self, place: int) -> int:
        """The offset of the comment lines directly above an entry's first header, or its own."""
        start = self.starts[place]
        while start > 0:
            above = self.text.rfind("\n", 0, start - 1) + 1
            if not self.text[above:start].lstrip(" \t").startswith("#"):
                break
            start = above
        return start


@functools.lru_cache(maxsize=1)  # a command that edits has read the same text just before
def find_blocks(text: str) -> Blocks | None:
    """The entries of ``text``; None when it is written in a form where only tomli can tell.

    That is: multi-line strings, indented headers, other headers than those of entries, a mark
    that git leaves where branches disagree (in an entry nobody looks at it must be seen), or an
    entry whose blocks do not stand together below its own header. (``schema`` stands above all.)
    """
    if any(each in text for each in _EXOTIC) or _INDENTED.search(text):
        return None
    places: dict[str, dict[str, int]] = {}
    entries: list[tuple[str, str]] = []
    starts: list[int] = []
    count, last = 0, ("", "")
    for match in _HEADER.finditer(text):
        count += 1
        section, bare, quoted, rest = match.groups()
        entry = section, bare or quoted
        if entry != last:
            if rest or not _NAME.fullmatch(entry[1]) or entry[1] in places.setdefault(section, {}):
                return None
            places[section][entry[1]] = len(starts)
            entries.append(entry)
            starts.append(match.start() + 1)
            last = entry
    if count != text.count("\n["):
        return None
    return Blocks(text, places, entries, starts)
