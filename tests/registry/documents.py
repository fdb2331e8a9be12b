"""TOML texts for Hypothesis, written in every way that a person might, not only in ours."""

from __future__ import annotations

import string
from dataclasses import dataclass

from hypothesis import strategies as st

# What a careless scanner trips over, and letters between.
TRICKY = "ab1 \t\"'#[]{}=,.\\-_é☃"
VALUES = st.recursive(
    st.one_of(st.text(TRICKY), st.integers(), st.floats(allow_nan=False), st.booleans()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(TRICKY), inner, max_size=3),
    max_leaves=6,
)
"""What a document may hold, as Python has it."""
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


@dataclass(frozen=True)
class HandMade:
    """A registry in mixed forms: its parts in order, each with the adapter that it is of, or None.

    ``plain`` are the adapters that are written as blocks with headers.
    """

    parts: list[tuple[str | None, str]]
    names: list[str]
    mark: str = ""
    plain: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        return "".join(part for _, part in self.parts)


KEY_FORMS = st.sampled_from(["{}", '"{}"', "'{}'", ' "{}" '])


@st.composite
def key_of(draw: st.DrawFn, name: str) -> str:
    """A name as a key: quoted where it must be, and sometimes where it need not be."""
    form = draw(KEY_FORMS)
    return form.format(name) if "." not in name or form != "{}" else f'"{name}"'


@st.composite
def entry_statements(draw: st.DrawFn, prefix: str, newline: str) -> str:
    """Keys of an adapter, behind ``prefix``; tables inline, dotted or over lines."""
    lines = [
        draw(
            st.sampled_from(
                [
                    'base = "b" # why',
                    "base='b'",
                    '"base"  =  """b"""',
                    "base = '''\n[adapters.x]'''",
                ]
            )
        ),
        draw(st.sampled_from(["", "options = { r = 8 }", "options.r = 8", 'options."a.b" = 1'])),
        draw(
            st.sampled_from(
                ["", "training.steps = 3", "training = {steps=3,\tseed=1}", "training.'seed' = 1"]
            )
        ),
        draw(
            st.sampled_from(
                [
                    "",
                    'tags = [ # ]\n  "t", # é ☃\n\n]',
                    'tags = ["a", "b",]',
                    "aliases = { prod = 1 }",
                ]
            )
        ),
    ]
    text = ""
    for line in filter(None, lines):
        text += draw(comments(newline)) if not prefix else ""
        text += prefix + line.replace("\n", newline) + newline
    if draw(st.booleans()):
        text += draw(statements(f"{prefix}unknown", newline))
    return text


def _led(lead: str, name: str, block: str) -> list[tuple[str | None, str]]:
    """A block below its comments: those above a blank line are nobody's."""
    lines = lead.splitlines(keepends=True)
    free = max((index + 1 for index, line in enumerate(lines) if not line.strip()), default=0)
    return [*((None, line) for line in lines[:free]), (name, "".join(lines[free:]) + block)]


@st.composite
def hand_made(draw: st.DrawFn) -> HandMade:
    """Adapters as headers, dotted keys and inline tables; their blocks apart from each other."""
    newline = draw(NEWLINES)
    names = draw(st.lists(NAMES, unique_by=str.casefold, min_size=1, max_size=4))
    top: list[tuple[str | None, str]] = []
    section: list[tuple[str | None, str]] = []
    blocks: dict[str, list[list[tuple[str | None, str]]]] = {}
    version = f"created = 2026-01-02T03:04:05Z{newline}files = {{}}{newline}"
    for name in names:
        form = draw(st.sampled_from(["header", "header", "header", "dotted", "section", "inline"]))
        key = draw(key_of(name))
        if form == "dotted":
            top.append((name, draw(entry_statements(f"adapters.{key}.", newline))))
            continue
        if form == "section":
            section.append((name, draw(entry_statements(f"{key}.", newline))))
            continue
        if form == "inline":
            inline = (
                '{ base = "b", versions = { 1 = { created = 2026-01-01T00:00:00Z, files = {} } } }'
            )
            section.append((name, f"{key} = {inline} # all of it{newline}"))
            continue
        gap = draw(st.sampled_from(["", " "]))
        path = f"{gap}adapters{gap}.{key}"
        own = [f"[{path}{gap}]{newline}" + draw(entry_statements("", newline))]
        if draw(st.booleans()) and "options" not in own[0]:
            own.append(f"[{path}.options]{newline}r = 8 # rank{newline}")
        for number in draw(st.lists(st.sampled_from(["1", "2", '"10"', "'3'"]), unique=True)):
            own.append(f"[{path}.versions.{number}] # v{newline}{version}")
            if draw(st.booleans()):
                own.append(f"[{path}.versions.{number}.metrics]{newline}eval_loss = 1.5{newline}")
        blocks[name] = [_led(draw(comments(newline)), name, block) for block in own]
    parts: list[tuple[str | None, str]] = [
        (None, draw(comments(newline)) + f"schema = 1{newline}"),
        *top,
    ]
    if section:
        parts += [(None, f"{newline}[adapters]{newline}"), *section]
    if draw(st.booleans()):
        parts.append((None, f"{newline}[tool.'our s']{newline}" + draw(statements("k", newline))))
    left = {name: list(own) for name, own in blocks.items()}
    together = draw(st.booleans())
    while left:
        name = next(iter(left)) if together else draw(st.sampled_from(sorted(left)))
        parts += [(None, newline), *left[name].pop(0)]
        if not left[name]:
            del left[name]
    if draw(st.booleans()):
        parts.append((None, f"{newline}# the end"))
    return HandMade(parts, names, draw(st.sampled_from(["", "", "\ufeff"])), frozenset(blocks))
