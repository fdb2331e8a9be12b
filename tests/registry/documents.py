"""TOML texts for Hypothesis, written in every way that a person might, not only in ours."""

from __future__ import annotations

import string
from dataclasses import dataclass

from hypothesis import strategies as st

# What a careless scanner trips over, and letters between.
TRICKY = "ab1 \t\"'#[]{}=,.\\-_é☃"
NEWLINES = st.sampled_from(["\n", "\r\n"])
SPACES = st.sampled_from(["", " ", "  ", "\t"])
BARE = string.ascii_letters + string.digits + "_-"
NAMES = st.sampled_from(["alpha", "Beta", "gamma.2", "d-3", "e_4"])


def _basic(text: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\t": "\\t", "é": "\\u00e9"}
    return '"' + "".join(escapes.get(each, each) for each in text) + '"'


def keys() -> st.SearchStrategy[str]:
    """Keys as they are written: bare, quoted, literal."""
    return st.one_of(
        st.text(BARE, min_size=1, max_size=5),
        st.text(TRICKY, max_size=5).map(_basic),
        st.text(TRICKY.replace("'", "").replace("\t", ""), max_size=5).map(lambda key: f"'{key}'"),
    )


def plain_values() -> st.SearchStrategy[str]:
    """Values that stand on one line."""
    inline = st.text(TRICKY, max_size=8)
    return st.one_of(
        inline.map(_basic),
        inline.map(lambda text: "'" + text.replace("'", "") + "'"),
        st.integers().map(str),
        st.floats(allow_nan=False).map(repr),
        st.sampled_from(["true", "false", "inf", "-inf", "+7", "0xFF", "1_000"]),
        st.sampled_from(["2026-01-02", "07:32:00", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00"]),
        st.sampled_from(["1979-05-27T00:32:00.5-07:00", "[]", "{}"]),
    )


@st.composite
def arrays(draw: st.DrawFn, newline: str) -> str:
    """Arrays on one line or several, with comments between, nested."""
    inner = st.one_of(plain_values(), multi_line_strings(newline))
    items = draw(st.lists(st.one_of(inner, st.just("[[1, 2], ['#]']]")), max_size=3))
    between = draw(st.sampled_from(["", " ", newline, f" # ] '\" comment{newline}  "]))
    ending = draw(st.sampled_from(["", ","])) if items else ""
    return f"[{between}{f',{between}'.join(items)}{between}{ending}{between}]"


@st.composite
def inline_tables(draw: st.DrawFn) -> str:
    """Inline tables, with dotted and quoted keys."""
    names = draw(st.lists(keys(), max_size=3, unique_by=lambda key: key.strip("'\"")))
    pairs = [f"k{index}.{key} = {draw(plain_values())}" for index, key in enumerate(names)]
    return "{ " + ", ".join(pairs) + " }"


@st.composite
def multi_line_strings(draw: st.DrawFn, newline: str) -> str:
    """Strings of several lines, full of what looks like headers, comments and ends."""
    lines = draw(
        st.lists(st.text(TRICKY.replace('"', "").replace("\\", ""), max_size=6), max_size=3)
    )
    lines += draw(
        st.lists(st.sampled_from(["[adapters.x]", "key = 1", "# no comment", ""]), max_size=2)
    )
    body = newline.join(lines)
    if draw(st.booleans()):
        return "'''" + body.replace("'", "") + draw(st.sampled_from(["'''", "''''", "'''''"]))
    quotes = draw(st.sampled_from(['"', '""', '\\"', "\\\\", f"\\{newline}   "]))
    return f'"""{body}{quotes}x{draw(st.sampled_from(["", chr(34), chr(34) * 2]))}"""'


def values(newline: str) -> st.SearchStrategy[str]:
    return st.one_of(plain_values(), arrays(newline), inline_tables(), multi_line_strings(newline))


def comments(newline: str) -> st.SearchStrategy[str]:
    """What may stand between two statements."""
    return st.lists(
        st.sampled_from(["", "  ", "# [adapters.alpha]", '  # "', "#key = 1"]), max_size=2
    ).map(lambda lines: "".join(line + newline for line in lines))


@st.composite
def statements(draw: st.DrawFn, key: str, newline: str) -> str:
    before, around = draw(SPACES), draw(SPACES)
    comment = draw(st.sampled_from(["", " # a = 1", "\t#'''", "  "]))
    return f"{before}{key}{around}={around}{draw(values(newline))}{comment}{newline}"


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Any TOML text: headers of all kinds, dotted keys, arrays of tables. A few are invalid."""
    newline = draw(NEWLINES)
    paths = draw(st.lists(st.lists(keys(), min_size=1, max_size=3), max_size=4))
    headers = [""]
    for index, path in enumerate(paths):
        gap = draw(SPACES)
        inside = f"{gap}.{gap}".join([f"t{index}", *path])
        brackets = draw(st.sampled_from(["[{}]", "[[{}]]", "  [ {} ]"]))
        headers.append(brackets.format(inside) + draw(st.sampled_from(["", " # ]"])) + newline)
    text = ""
    for header in headers:
        text += draw(comments(newline)) + header
        for key in draw(st.lists(keys(), max_size=3, unique_by=lambda key: key.strip("'\""))):
            dotted = draw(st.sampled_from(["{}", "{}.sub", "'q.' . {} . x"]))
            text += draw(comments(newline)) + draw(statements(dotted.format(key), newline))
    return draw(st.sampled_from([text, text.rstrip()]))


@dataclass(frozen=True)
class RegistryText:
    """A registry's text and what a change may be aimed at."""

    text: str
    names: list[str]
    newline: str


@st.composite
def registries(draw: st.DrawFn) -> RegistryText:
    """A registry with comments, unknown keys and hand-made formatting; names sorted or not."""
    newline = draw(NEWLINES)
    names = draw(st.lists(NAMES, unique_by=str.casefold, max_size=4))
    text = draw(comments(newline)) + f"schema = 1{newline}"
    for name in names:
        quoted = f'"{name}"' if "." in name else name
        text += newline + draw(comments(newline)) + f"[adapters.{quoted}]" + newline
        text += draw(comments(newline)) + f'base = "b"  # why{newline}'
        if draw(st.booleans()):
            text += draw(statements("unknown", newline))
        if draw(st.booleans()):
            text += f"options={{r=8}}{newline}"
        for number in range(1, draw(st.integers(1, 4))):
            text += draw(comments(newline)) + f"[adapters.{quoted}.versions.{number}]{newline}"
            text += f"created = 2026-01-02T03:04:05Z{newline}files = {{}}{newline}"
            text += draw(statements("note", newline))
    if draw(st.booleans()):
        text += f"{newline}[tool.ours]{newline}" + draw(statements("key", newline))
    return RegistryText(text, names, newline)
