"""Edits of a TOML text that change one place and keep every other byte.

``splice(text, old, new)`` turns a text that means ``old`` into one that means ``new``. It looks
only at what differs, so comments, unknown keys and hand-made formatting elsewhere survive.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Container, Mapping
from typing import Any

import tomli

from adapter_hub.errors import RegistryError
from adapter_hub.registry.scan import Header, Path, Scan, line_end
from adapter_hub.registry.values import dotted, format_value

KEY_ORDER = (
    *("schema", "source", "revision"),
    *("base", "method", "options", "data", "data_options"),
    *("eval_data", "column_map", "training"),
    *("description", "tags", "aliases", "versions"),
    *("created", "recipe", "files", "metrics", "hub"),
)
"""The order of keys in a block; keys that are not listed come last, by name."""

_PLAIN_FORM = "write the entry as [adapters.NAME] with one key a line, then try again"
_BLANK_LINE = re.compile(r"[ \t]*\r?\n")
_BLANK_LINES = re.compile(r"(?:[ \t]*\r?\n)+")
_BLANK_LINES_AT_END = re.compile(r"(?<=\n)(?:[ \t]*\r?\n)+\Z")


def splice(
    text: str, old: Mapping[str, Any], new: Mapping[str, Any], newline: str | None = None
) -> str:
    """``text``, which means ``old``, changed to mean ``new``; ``newline`` ends the lines it writes.

    Raises RegistryError when the place is written in a form that cannot be edited in place, or
    when the result would not mean exactly ``new``.
    """
    newline = newline or line_end(text)
    for path, value in _changes((), old, new, Scan(text).header_at):
        scan = Scan(text)
        inline = _inline_above(scan, path)
        if inline is not None:
            path, value = inline, functools.reduce(lambda table, key: table[key], inline, new)
        text = _apply(scan, path, value, newline)
    require_meaning(text, new)
    return text


def rename_entry(text: str, section: str, old: str, new: str) -> str:
    """Make ``[section.old]`` and its sub-tables ``[section.new]``, comments and all.

    The block moves only when its new name sorts elsewhere. Raises RegistryError as ``splice``.
    """
    renamed, must_move = rename_headers(text, section, old, new)
    if must_move:
        rest, block = cut_entry(renamed, section, new)
        renamed = put_entry(rest, section, new, block)
    meaning = tomli.loads(text)
    entries = dict(meaning[section])
    entries[new] = entries.pop(old)
    require_meaning(renamed, {**meaning, section: entries})
    return renamed


def rename_headers(text: str, section: str, old: str, new: str) -> tuple[str, bool]:
    """``rename_entry`` where the block stands, and whether its name sorts elsewhere now."""
    headers = _headers_below(Scan(text), (section, old))
    if not headers:
        raise _cannot_edit((section, old), Scan(text))
    for header in reversed(headers):
        renamed = dotted((section, new, *header.path[2:]))
        text = text[: header.key_start] + renamed + text[header.key_end :]
    scan = Scan(text)
    headers = _headers_below(scan, (section, new))
    return text, _contiguous(headers) and _must_move(scan, headers, old)


def cut_entry(text: str, section: str, name: str) -> tuple[str, str]:
    """``text`` without an entry whose blocks stand together, and those blocks with their comments."""
    scan = Scan(text)
    headers = _headers_below(scan, (section, name))
    start, end = scan.lead_in(headers[0]), scan.block_end(headers[-1])
    return _cut(text, start, end), text[start:end]


def put_entry(text: str, section: str, name: str, block: str) -> str:
    """``text`` with the blocks of an entry where its name sorts."""
    return _insert_block(Scan(text), (section, name), block, line_end(block))


def same(left: Any, right: Any) -> bool:
    """Whether two values of TOML are one: NaN is itself, and ``1`` is neither ``1.0`` nor true."""
    if left is right:
        return True
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if type(left) is not type(right):
        return False
    return bool(left == right or (left != left and right != right))


def format_block(path: Path, table: Mapping[str, Any], newline: str = "\n") -> str:
    """A table as ``[path]`` with one key a line, and one block for each of its versions."""
    keys = [key for key in sorted(table, key=_key_rank) if not _is_block((*path, key), table[key])]
    lines = [
        f"[{dotted(path)}]",
        *(f"{dotted((key,))} = {format_value(table[key])}" for key in keys),
    ]
    block = newline.join(lines) + newline
    for number, version in table.get("versions", {}).items():
        block += newline + format_block((*path, "versions", number), version, newline)
    return block


def _is_block(path: Path, value: Any) -> bool:
    """Versions get blocks of their own; everything else stays inline."""
    return len(path) == 3 and path[2] == "versions" and isinstance(value, Mapping)


def _changes(
    path: Path, old: Mapping[str, Any], new: Mapping[str, Any], headers: Container[Path]
) -> list[tuple[Path, Any]]:
    """What to set (path, value) or remove (path, None), at entry or key level."""
    found: list[tuple[Path, Any]] = []
    for key in [*(key for key in old if key not in new), *new]:
        here = (*path, key)
        before, after = old.get(key), new.get(key)
        if key in old and key in new and same(before, after):
            continue
        is_table_below = len(here) > 2 and here in headers and isinstance(before, Mapping)
        is_inside = is_table_below or _is_edited_inside(here, key in old)
        if is_inside and isinstance(after, Mapping):
            found += _changes(here, before or {}, after, headers)
        else:
            found.append((here, after))
    return found


def _is_edited_inside(path: Path, exists: bool) -> bool:
    """Sections and ``versions`` always; one entry or one version only when it is there already."""
    if path[0] not in ("bases", "adapters"):
        return False
    depth = len(path)
    if depth in (1, 3):
        return depth == 1 or path[2] == "versions"
    return exists and (depth == 2 or (depth == 4 and path[2] == "versions"))


def _apply(scan: Scan, path: Path, value: Any, newline: str) -> str:
    text = scan.text
    statement = scan.statement_at.get(path)
    if value is None:
        return _remove(scan, path, newline)
    if statement is not None:
        return text[: statement.value_start] + format_value(value) + text[statement.value_end :]
    if any(each.path[: len(path)] == path for each in scan.headers):
        return _apply(Scan(_remove(scan, path, newline)), path, value, newline)
    if any(each.path[: len(path)] == path for each in scan.statements):
        return _put_in_one(scan, path, value, newline)
    if isinstance(value, Mapping) and (path[-2:-1] == ("versions",) or len(path) == 2):
        return _insert_block(scan, path, format_block(path, value, newline), newline)
    return _insert_key(scan, path, value, newline)


def _inline_above(scan: Scan, path: Path) -> Path | None:
    """The inline table on one line that holds ``path``: all of it is written anew."""
    for held in (path[:length] for length in range(1, len(path))):
        statement = scan.statement_at.get(held)
        if statement and "\n" not in scan.text[statement.value_start : statement.value_end]:
            return held
    return None


def _remove(scan: Scan, path: Path, newline: str) -> str:
    """Drop the statements at or below ``path`` and the blocks of the headers at or below it."""
    text = scan.text
    depth = len(path)
    headers = _headers_below(scan, path)
    inside = {header.index for header in headers}
    spans = [(scan.lead_in(header), scan.block_end(header)) for header in headers]
    spans += [
        (statement.start, statement.end)
        for statement in scan.statements
        if statement.path[:depth] == path and statement.header not in inside
    ]
    if not spans:
        raise _cannot_edit(path, scan)
    for start, end in sorted(spans, reverse=True):
        text = _cut(text, start, end) if headers else text[:start] + text[end:]
    return text


def _put_in_one(scan: Scan, path: Path, value: Any, newline: str) -> str:
    """Write dotted keys anew as one inline table, where the first of them stands.

    There, and not where it would stand in the order: git sees that another branch changed it too.
    """
    text = scan.text
    first, *others = [each for each in scan.statements if each.path[: len(path)] == path]
    for each in reversed(others):
        text = text[: each.start] + text[each.end :]
    above = scan.headers[first.header].path if first.header >= 0 else ()
    line = f"{dotted(path[len(above) :])} = {format_value(value)}"
    end = text[first.value_end : first.end] or newline
    return text[: first.start] + line + end + text[first.end :]


def _insert_key(scan: Scan, path: Path, value: Any, newline: str) -> str:
    header = scan.header_at.get(path[:-1])
    if header is None:
        raise _cannot_edit(path, scan)
    depth, rank = len(path) - 1, _key_rank(path[-1])
    own = [each for each in scan.statements if each.header == header.index]
    before = [each.end for each in own if _key_rank(each.path[depth]) < rank]
    position = before[-1] if before else header.end
    return _insert(
        scan.text, position, f"{dotted(path[-1:])} = {format_value(value)}{newline}", newline
    )


def _insert_block(scan: Scan, path: Path, block: str, newline: str) -> str:
    """Put a block where its name sorts among its siblings, or behind them all."""
    parent, rank = path[:-1], sibling_rank(path[-1])
    siblings = [
        header
        for header in scan.headers
        if header.path[: len(parent)] == parent and len(header.path) >= len(path)
    ]
    if any(path[:length] in scan.statement_at for length in range(1, len(path))):
        raise _cannot_edit(path, scan)
    later = next(
        (header for header in siblings if sibling_rank(header.path[len(parent)]) > rank), None
    )
    if later is not None:
        position = scan.lead_in(later)
        before, after = scan.text[:position], scan.text[position:]
        return before + _gap(before, newline) + block.rstrip("\r\n") + newline * 2 + after
    above = siblings or next(
        (
            found
            for end in range(len(parent), -1, -1)
            if (found := _headers_below(scan, path[:end]))
        ),
        [],
    )
    position = scan.block_end(above[-1]) if above else len(scan.text)
    before, after = scan.text[:position], scan.text[position:]
    between = "" if not after or _BLANK_LINE.match(after) else newline
    lead = before + _gap(before, newline)
    return lead + block.rstrip("\r\n") + newline + between + after


def _cut(text: str, start: int, end: int) -> str:
    """``text`` without a block, and without the blank lines that parted it from its neighbours."""
    before, after = text[:start], text[end:]
    if not _gap(before, "\n"):
        after = _BLANK_LINES.sub("", after, count=1) if _BLANK_LINE.match(after) else after
    if not after:
        before = _BLANK_LINES_AT_END.sub("", before)
    return before + after


def _gap(before: str, newline: str) -> str:
    """What makes a blank line behind ``before``, where there is none."""
    if not before or re.search(r"(?:\A|\n)[ \t]*\r?\n\Z", before):
        return ""
    return newline if before.endswith("\n") else newline * 2


def _insert(text: str, position: int, line: str, newline: str) -> str:
    ended = position == 0 or text[position - 1] == "\n"
    return text[:position] + ("" if ended else newline) + line + text[position:]


def _headers_below(scan: Scan, path: Path) -> list[Header]:
    return [header for header in scan.headers if header.path[: len(path)] == path]


def _must_move(scan: Scan, headers: list[Header], old: str) -> bool:
    """Whether a block sorted with its neighbours under its old name, and no longer does."""
    section, new = headers[0].path[:2]
    siblings = [each for each in scan.headers if each.path[0] == section and len(each.path) > 1]
    place = siblings.index(headers[0])
    was, now = sibling_rank(old), sibling_rank(new)
    above = [sibling_rank(each.path[1]) for each in siblings[max(place - 1, 0) : place]]
    below = [sibling_rank(each.path[1]) for each in siblings[place + len(headers) :][:1]]
    return any(now < rank < was for rank in above) or any(was < rank < now for rank in below)


def _contiguous(headers: list[Header]) -> bool:
    return headers[-1].index - headers[0].index == len(headers) - 1


def _key_rank(key: str) -> tuple[int, str]:
    return (KEY_ORDER.index(key) if key in KEY_ORDER else len(KEY_ORDER), key)


def sibling_rank(key: str) -> tuple[int, str, str]:
    """By what entries and versions are sorted. Versions sort as numbers, names without case."""
    return (int(key), "", "") if key.isdecimal() else (-1, key.casefold(), key)


def require_meaning(text: str, intended: Mapping[str, Any]) -> None:
    """The check that makes splicing safe: what is about to be written must mean what was wanted."""
    try:
        meaning = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise RegistryError(
            f"the edit would have broken registry.toml ({error}); nothing was written.",
            hint=_PLAIN_FORM,
        ) from error
    if not same(_without_empty(meaning), _without_empty(_plain(intended))):
        raise RegistryError(
            "the edit could not be made without changing something else; nothing was written.",
            hint=_PLAIN_FORM,
        )


def _without_empty(meaning: Mapping[str, Any]) -> dict[str, Any]:
    """A section or a ``versions`` table without entries means the same as none."""
    adapters = {
        name: {key: value for key, value in table.items() if key != "versions" or value}
        for name, table in meaning.get("adapters", {}).items()
    }
    plain = {
        key: value for key, value in meaning.items() if value or key not in ("bases", "adapters")
    }
    return {**plain, "adapters": adapters} if adapters else plain


def _plain(value: Any) -> Any:
    """``value`` as tomli would give it back: lists for tuples, no subclasses of numbers."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _cannot_edit(path: Path, scan: Scan) -> RegistryError:
    line = scan.line_of(path)
    place = f" (line {line})" if line else ""
    return RegistryError(
        f"{dotted(path)} is written in a form that cannot be edited in place{place}; nothing was written.",
        hint=f"write it as [{dotted(path[:2])}] with one key a line, then try again",
    )
