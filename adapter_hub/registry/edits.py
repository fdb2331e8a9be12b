"""One edit of a registry's text: the whole document is changed, or a few entries of a large one.

A large registry in plain form is edited through windows: the changed entries and their direct
neighbours are parsed, spliced, parsed again and compared with what was intended, and all the rest
is neither parsed nor altered. Any other text is one window.
"""

from __future__ import annotations

import copy
from collections.abc import ItemsView, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import tomli

from adapter_hub.registry import schema
from adapter_hub.registry.blocks import Blocks, find_blocks
from adapter_hub.registry.document import LARGE, parse
from adapter_hub.registry.lines import LazyEntries
from adapter_hub.registry.splice import (
    cut_entry,
    put_entry,
    rename_entry,
    rename_headers,
    require_meaning,
    same,
    sibling_rank,
    splice,
)
from adapter_hub.registry.tables import SchemaError, check_document

Changes = dict[tuple[str, str], Any]
"""By section and name, the table that an entry has now; None where there is none any more."""


class Entries(MutableMapping[str, Any]):
    """The tables of a section, to be changed in place; one is parsed when it is looked at.

    ``items`` and ``values`` give those that nobody looked at yet as tables to read only.
    """

    def __init__(self, blocks: Blocks, section: str) -> None:
        self._blocks = blocks
        self._section = section
        self._unread = LazyEntries(blocks, section)
        self._before: dict[str, Any] = {}
        self._now: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._now and name in self._unread and name not in self._before:
            text = self._blocks.entry(self._section, name)
            self._before[name] = tomli.loads(text)[self._section][name]
            self._now[name] = copy.deepcopy(self._before[name])
        return self._now[name]

    def __setitem__(self, name: str, table: Any) -> None:
        if name in self._unread:
            self[name]  # what it was before
        self._now[name] = table

    def __delitem__(self, name: str) -> None:
        self[name]
        del self._now[name]

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in self._unread if name in self._now or name not in self._before)
        yield from (name for name in self._now if name not in self._unread)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def items(self) -> ItemsView[str, Any]:
        return {
            name: self._now[name] if name in self._now else self._unread[name] for name in self
        }.items()

    def changes(self) -> Changes:
        """What is otherwise than it was."""
        names = dict.fromkeys((*self._before, *self._now))
        return {
            (self._section, name): self._now.get(name)
            for name in names
            if not same(self._before.get(name), self._now.get(name))
        }


class Draft:
    """A registry's ``document``, to be changed in place, and the text that it then has.

    Raises RegistryError for a text that cannot be read.
    """

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._blocks = _blocks(text)
        self._before = _top(self._blocks) if self._blocks else parse(path, text)
        self.document: dict[str, Any] = copy.deepcopy(dict(self._before))
        if self._blocks:
            self.document |= {each: Entries(self._blocks, each) for each in self._blocks.places}

    def text(self) -> str:
        """The text for what ``document`` is now. Raises RegistryError as ``splice`` does."""
        sections = {k: v for k, v in self.document.items() if isinstance(v, Entries)}
        rest = {k: v for k, v in self.document.items() if k not in sections}
        changes = {k: v for entries in sections.values() for k, v in entries.changes().items()}
        is_rest_changed = not same(rest, self._before)
        if not changes and not is_rest_changed:
            return self._text
        if self._blocks and not is_rest_changed:
            with told_with_line(self._path, self._text):
                schema.check_names(_put_all({}, changes))
            return _spliced(self._blocks, changes)
        before = parse(self._path, self._text)
        after = rest | {section: dict(before[section]) for section in sections}
        text = splice(self._text, before, _put_all(after, changes))
        parse(self._path, text)
        return text


def renamed(path: Path, text: str, old: str, new: str) -> str:
    """``text`` with adapter ``old`` as ``new``. Raises RegistryError as ``rename_entry`` does."""
    blocks = _blocks(text)
    if blocks is None:
        text = rename_entry(text, "adapters", old, new)
        parse(path, text)
        return text
    place = blocks.places["adapters"][old]
    start, end = _window(blocks, place, place)
    window, must_move = rename_headers(text[start:end], "adapters", old, new)
    if not must_move:
        window = rename_entry(text[start:end], "adapters", old, new)
        return text[:start] + window + text[end:]
    window, block = cut_entry(window, "adapters", new)
    rest = find_blocks(text[:start] + window + text[end:])
    assert rest is not None, "without one entry a text has the form that it had"
    start, end = _window(rest, *_neighbours(rest, "adapters", new))
    window = put_entry(rest.text[start:end], "adapters", new, block)
    table = tomli.loads(blocks.entry("adapters", old))["adapters"][old]
    require_meaning(window, _put_all(tomli.loads(rest.text[start:end]), {("adapters", new): table}))
    return rest.text[:start] + window + rest.text[end:]


def _blocks(text: str) -> Blocks | None:
    """The blocks of a text that is so large that they are worth it, and what stands above alone."""
    blocks = find_blocks(text) if len(text) >= LARGE else None
    try:
        return blocks if blocks and blocks.places.keys().isdisjoint(_top(blocks)) else None
    except (ValueError, SchemaError):
        return None


def _top(blocks: Blocks) -> dict[str, Any]:
    """What stands above the first entry. Raises ValueError, SchemaError, RegistryError."""
    top = tomli.loads(blocks.top)
    check_document(top)
    return top


def _spliced(blocks: Blocks, changes: Changes) -> str:
    """The text of ``blocks`` with the ``changes``, window by window from its end."""
    text = blocks.text
    for first, last, inside in reversed(_windows(blocks, changes)):
        start, end = blocks.span(first, last)
        before = tomli.loads(text[start:end])
        after = _put_all(copy.deepcopy(before), {key: changes[key] for key in inside})
        text = text[:start] + splice(text[start:end], before, after) + text[end:]
    return text


def _windows(blocks: Blocks, changes: Changes) -> list[tuple[int, int, list[tuple[str, str]]]]:
    """The places of the entries to look at: first, last, and which changes lie between them."""
    windows: list[tuple[int, int, list[tuple[str, str]]]] = []
    for first, last, key in sorted((*_neighbours(blocks, *key), key) for key in changes):
        first, last = max(first - 1, 0), min(last + 1, len(blocks.starts) - 1)
        if windows and first <= windows[-1][1]:
            low, high, inside = windows.pop()
            windows.append((low, max(high, last), [*inside, key]))
        else:
            windows.append((first, last, [key]))
    return windows


def _window(blocks: Blocks, first: int, last: int) -> tuple[int, int]:
    """The offsets of some entries and of their direct neighbours: blank lines are theirs, too."""
    return blocks.span(max(first - 1, 0), min(last + 1, len(blocks.starts) - 1))


def _neighbours(blocks: Blocks, section: str, name: str) -> tuple[int, int]:
    """The place of an entry, or the places that a new one comes between."""
    places = blocks.places[section]
    if name in places:
        return places[name], places[name]
    rank = sibling_rank(name)
    later = next((place for each, place in places.items() if sibling_rank(each) > rank), None)
    if later is None:
        last = max(places.values())
        return last, last
    return max(later - 1, 0), later


def _put_all(document: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Apply ``changes`` to ``document`` and return it."""
    for (section, name), table in changes.items():
        if table is None:
            document[section].pop(name)
        else:
            document.setdefault(section, {})[name] = table
    return document
