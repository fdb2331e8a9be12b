"""A large registry read in blocks: a block's lines, and each value, when somebody looks.

tomli needs longer for a thousand adapters than Python needs to start, and ``list`` looks at a few
keys of each. What goes unnoticed is an error in a block or value that nobody looks at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from adapter_hub.registry.blocks import Blocks, find_blocks

_VERSION = re.compile(r"\.versions\.([1-9][0-9]*)\]")
# A value that begins and ends so cannot go on in the next line, if it is valid; and without the
# same marks inside, it is not two statements whose line end was lost.
_BLOCK = re.compile(
    r"(?:(?:[A-Za-z0-9_-]+ = "
    r'(?:"[^"\n]*"|\[[^\[\]\n]*\]|\{[^{}\n]*\}|[A-Za-z0-9:.+-]+)|#.*|)\n)*'
)
_STATEMENT = re.compile(r"^([A-Za-z0-9_-]+) = (.*)", re.MULTILINE)
_STRING = re.compile(r'"[^"\\\x00-\x1f\x7f]*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?")
_SCALAR = rf"{_STRING.pattern}|{_NUMBER.pattern}"
_PAIR = re.compile(rf"([A-Za-z0-9_-]+) = ({_SCALAR})")
_TABLE = re.compile(rf"\{{ (?:[A-Za-z0-9_-]+ = (?:{_SCALAR})(?:, (?!\}})| (?=\}})))+\}}")
_ARRAY = re.compile(rf"\[{_STRING.pattern}(?:, {_STRING.pattern})*\]")
_LONGEST = 13_288
"""Bits of 4,000 digits. Python reads longer integers that are not decimal, and cannot write them."""
_LONG = re.compile(r"0(?:x[0-9A-Fa-f_]{999}|o[0-7_]{999}|b[01_]{999})")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class LazyTable(Mapping[str, Any]):
    """A block's table. Looking into it raises ValueError where its text is not TOML."""

    __slots__ = ("_body", "_parsed", "_written", "tables")

    def __init__(self, body: str | None = None) -> None:
        self._body = body
        self._written: dict[str, str] = {}
        self._parsed: dict[str, Any] = {}
        self.tables: dict[str, Mapping[str, Any]] = {}

    def __getitem__(self, key: str) -> Any:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """As everywhere; TOML has no None."""
        if self._body is not None:
            self._read()
        written = self._written.get(key)
        if written is not None:
            return _value(written)
        return self._parsed[key] if key in self._parsed else self.tables.get(key, default)

    def __contains__(self, key: object) -> bool:
        if self._body is not None:
            self._read()
        return key in self._written or key in self._parsed or key in self.tables

    def __iter__(self) -> Iterator[str]:
        if self._body is not None:
            self._read()
        return iter((*self._written, *self._parsed, *self.tables))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _read(self) -> None:
        body, self._body = str(self._body), None
        written = _statements(body)
        if written is None:
            self._parsed = _parsed(body)
        else:
            self._written = written
        if not self.tables.keys().isdisjoint(written or self._parsed):
            raise ValueError("a table and a value have the same key")


class LazyEntries(Mapping[str, Any]):
    """The tables of a section by name, each made when it is looked at."""

    def __init__(self, blocks: Blocks, section: str) -> None:
        self._blocks = blocks
        self._section = section
        self._tables: dict[str, Mapping[str, Any]] = {}

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        table = self._tables.get(name)
        if table is None:
            table = _read_entry(self._blocks.entry(self._section, name), self._section, name)
            self._tables[name] = table
        return table

    def __contains__(self, name: object) -> bool:
        return name in self._blocks.places[self._section]

    def __iter__(self) -> Iterator[str]:
        return iter(self._blocks.places[self._section])

    def __len__(self) -> int:
        return len(self._blocks.places[self._section])


def read_lines(text: str) -> LazyTable | None:
    """The document that ``text`` means; None when it is for tomli to read, or to refuse."""
    blocks = find_blocks(text)
    if blocks is None:
        return None
    document = LazyTable(f"{blocks.top}\n")
    document.tables.update({section: LazyEntries(blocks, section) for section in blocks.places})
    return document


def _read_entry(text: str, section: str, name: str) -> Mapping[str, Any]:
    """An entry's table: by lines when it is one block and one for each version. Raises ValueError."""
    first, *blocks = text.split("\n[")
    header, _, body = first.partition("\n")
    prefix = header.rstrip("\r")[1:-1]
    if prefix not in (f"{section}.{name}", f'{section}."{name}"'):
        return _read_whole(text, section, name)
    table, versions = LazyTable(f"{body}\n"), LazyTable()
    for block in blocks:
        header, _, body = block.partition("\n")
        number = _VERSION.fullmatch(header[len(prefix) :])
        if not number or not header.startswith(prefix) or number[1] in versions.tables:
            return _read_whole(text, section, name)
        versions.tables[number[1]] = LazyTable(f"{body}\n")
    if blocks:
        table.tables["versions"] = versions
    return table


def _read_whole(text: str, section: str, name: str) -> Mapping[str, Any]:
    table: Mapping[str, Any] = _parsed(text)[section][name]
    return table


def _statements(body: str) -> dict[str, str] | None:
    """The keys and values of a block of comments and bare keys with values on one line each."""
    if not _BLOCK.fullmatch(body):
        return None
    pairs = _STATEMENT.findall(body)
    written = dict(pairs)
    return written if len(written) == len(pairs) else None


def _value(text: str) -> Any:
    """The commonest forms at once, anything else by tomli. Raises ValueError."""
    first = text[0]
    if first == '"':
        if _STRING.fullmatch(text):
            return text[1:-1]
    elif first == "{":
        if _TABLE.fullmatch(text):
            pairs = _PAIR.findall(text)
            table = {key: _scalar(value) for key, value in pairs}
            if len(table) == len(pairs):
                return table
    elif first == "[":
        if _ARRAY.fullmatch(text):
            return text[2:-2].split('", "')
    elif _NUMBER.fullmatch(text):
        return _number(text)
    elif _TIME.fullmatch(text):
        return datetime.fromisoformat(f"{text[:-1]}+00:00")
    return _parsed(f"value = {text}")["value"]


def _parsed(text: str) -> dict[str, Any]:
    """What tomli reads. Raises ValueError, also for what is nested too deep for it."""
    import tomli

    try:
        meaning = tomli.loads(text)
    except RecursionError as error:
        raise ValueError(str(error)) from None
    refuse_long(text, meaning)
    return meaning


def refuse_long(text: str, meaning: Any) -> None:
    """Raises ValueError for an integer in ``meaning``, which ``text`` means, that is too long.

    TOML promises 64 bits. What is far from that cannot even be named in an error's message.
    """
    if _LONG.search(text) and _has_long(meaning):
        raise ValueError("an integer of more than 4,000 digits")


def _has_long(value: Any) -> bool:
    if isinstance(value, (Mapping, list)):
        return any(map(_has_long, value.values() if isinstance(value, Mapping) else value))
    return isinstance(value, int) and value.bit_length() > _LONGEST


def _scalar(text: str) -> str | int | float:
    return text[1:-1] if text[0] == '"' else _number(text)


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdecimal() else float(text)
