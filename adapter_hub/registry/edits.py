"""One edit of a registry's text: the whole document is changed, or a few entries of a large one.

A large registry in plain form is edited through windows: the changed entries and their direct
neighbours are parsed, spliced, parsed again and compared with what was intended, and all the rest
is neither parsed nor altered. Any other text is one window.
"""

from __future__ import annotations

import copy
from collections.abc import Container, ItemsView, Iterator, MutableMapping, ValuesView
from pathlib import Path
from typing import Any

import tomli

from adapter_hub.errors import RegistryError
from adapter_hub.registry.blocks import Blocks, find_blocks
from adapter_hub.registry.document import check, is_large, parse
from adapter_hub.registry.lines import LazyEntries, refuse_long
from adapter_hub.registry.scan import line_end
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
from adapter_hub.registry.tables import SCHEMA, SchemaError, check_document

Key = tuple[str, str]
"""Section and name of an entry."""
Changes = dict[Key, Any]
"""The table that an entry has now; None where there is none any more."""


class Entries(MutableMapping[str, Any]):
    """The tables of a section, to be changed in place; one is parsed when it is looked at.

    ``items`` and ``values`` give those that nobody looked at yet as tables to read only. Looking
    at one raises ValueError where its text is not TOML.
    """

    def __init__(self, blocks: Blocks, section: str) -> None:
        self._blocks = blocks
        self._section = section
        self._unread = LazyEntries(blocks, section)
        self._before: dict[str, Any] = {}
        self._now: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        self._look_at(name)
        return self._now[name]

    def __setitem__(self, name: str, table: Any) -> None:
        self._look_at(name)
        self._now[name] = table

    def __delitem__(self, name: str) -> None:
        self._look_at(name)
        del self._now[name]

    def __contains__(self, name: object) -> bool:
        return name in self._now or (name in self._unread and name not in self._before)

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in self._unread if name in self)
        yield from (name for name in self._now if name not in self._unread)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def items(self) -> ItemsView[str, Any]:
        return {
            name: self._now[name] if name in self._now else self._unread[name] for name in self
        }.items()

    def values(self) -> ValuesView[Any]:
        return dict(self.items()).values()

    def changes(self) -> Changes:
        """What is otherwise than it was."""
        names = dict.fromkeys((*self._before, *self._now))
        return {
            (self._section, name): self._now.get(name)
            for name in names
            if not same(self._before.get(name), self._now.get(name))
        }

    def keep_some(self) -> bool:
        """Whether one is left of those that were there, beside which others have their place."""
        return any(name in self for name in self._unread)

    def _look_at(self, name: str) -> None:
        if name in self._unread and name not in self._before:
            text = self._blocks.entry(self._section, name)
            self._before[name] = tomli.loads(text)[self._section][name]
            refuse_long(text, self._before[name])
            self._now[name] = copy.deepcopy(self._before[name])


class Draft:
    """A registry's ``document``, to be changed in place, and the text that it then has.

    Raises RegistryError for a text that cannot be read; of a large one, ValueError later, when a
    part is looked at.
    """

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._blocks = _plain_blocks(text)
        self._before = dict(_top(self._blocks) if self._blocks else parse(path, text))
        self.document: dict[str, Any] = copy.deepcopy(self._before)
        if self._blocks:
            self.document |= {each: Entries(self._blocks, each) for each in self._blocks.places}

    def text(self) -> str:
        """The text for what ``document`` is now; the same one when that is what it was.

        Raises RegistryError where ``splice`` does, or when it would not be a registry.
        """
        sections = {k: v for k, v in self.document.items() if isinstance(v, Entries)}
        rest = {k: v for k, v in self.document.items() if k not in sections}
        changes = {k: v for entries in sections.values() for k, v in entries.changes().items()}
        is_rest_same = same(rest, self._before)
        if is_rest_same and not changes:
            return self._text
        if self._blocks is None:
            return _spliced_whole(self._path, self._text, self._before, rest)
        is_section_lost = len(sections) < len(self._blocks.places)
        if is_rest_same and not is_section_lost and all(map(Entries.keep_some, sections.values())):
            return _spliced(self._path, self._blocks, changes)
        before = dict(parse(self._path, self._text))
        after = {k: dict(before[k]) if k in sections else v for k, v in self.document.items()}
        return _spliced_whole(self._path, self._text, before, _put_all(after, changes))


def renamed(path: Path, text: str, old: str, new: str) -> str:
    """``text`` with adapter ``old`` as ``new``. Raises RegistryError as ``rename_entry`` does."""
    blocks = _plain_blocks(text)
    if blocks is None or old not in blocks.places.get("adapters", {}):
        text = rename_entry(text, "adapters", old, new)
        parse(path, text)
        return text
    key = ("adapters", old)
    start, end = _window(blocks, *_places(blocks, key))
    window, must_move = rename_headers(text[start:end], "adapters", old, new)
    if not must_move:
        return text[:start] + rename_entry(text[start:end], "adapters", old, new) + text[end:]
    window, block = cut_entry(window, "adapters", new)
    rest = find_blocks(text[:start] + window + text[end:])
    if rest is None:
        raise AssertionError("without one entry a text has the form that it had")
    start, end = _window(rest, *_places(rest, ("adapters", new)))
    after = put_entry(rest.text[start:end], "adapters", new, block)
    intended = tomli.loads(rest.text[start:end])
    table = tomli.loads(blocks.entry(*key))["adapters"][old]
    require_meaning(after, _put_all(intended, {("adapters", new): table}))
    return rest.text[:start] + after + rest.text[end:]


def _plain_blocks(text: str) -> Blocks | None:
    """The blocks of a text where they are worth it, and its top is all that stands outside them."""
    blocks = find_blocks(text) if is_large(text) else None
    try:
        return blocks if blocks and blocks.places.keys().isdisjoint(_top(blocks)) else None
    except (ValueError, RecursionError, SchemaError, RegistryError):
        return None


def _top(blocks: Blocks) -> dict[str, Any]:
    """What stands above the first entry. Raises ValueError, SchemaError, RegistryError."""
    top = tomli.loads(blocks.top)
    refuse_long(blocks.top, top)
    check_document(top)
    return top


def _spliced_whole(path: Path, text: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    text = splice(text, before, after)
    check(path, text, after)
    return text


def _spliced(path: Path, blocks: Blocks, changes: Changes) -> str:
    """The text of ``blocks`` with the ``changes``."""
    newline, parts, done = line_end(blocks.text), [], 0
    for first, last, inside in _windows(blocks, changes):
        start, end = blocks.span(first, last)
        window = blocks.text[start:end]
        before = tomli.loads(window)
        after = _put_all(copy.deepcopy(before), {key: changes[key] for key in inside})
        parts += [blocks.text[done:start], splice(window, before, after, newline)]
        done = end
    text = "".join([*parts, blocks.text[done:]])
    names: dict[str, Any] = {
        section: {name: {} for name in places} for section, places in blocks.places.items()
    }
    check(path, text, {"schema": SCHEMA, **_put_all(names, changes)})
    return text


def _windows(blocks: Blocks, changes: Changes) -> list[tuple[int, int, list[Key]]]:
    """The places of the entries to look at: first, last, and which changes lie between them."""
    windows: list[tuple[int, int, list[Key]]] = []
    gone = {key for key, table in changes.items() if table is None}
    for first, last, key in sorted((*_places(blocks, key, gone), key) for key in changes):
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


def _places(blocks: Blocks, key: Key, gone: Container[Key] = ()) -> tuple[int, int]:
    """The place of an entry, first and last, or the places that a new one comes between.

    Those that are ``gone`` with the same edit have no say in where.
    """
    section, name = key
    places = blocks.places[section]
    if name in places:
        return places[name], places[name]
    places = {each: place for each, place in places.items() if (section, each) not in gone}
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
