"""Mutations that keep a text's form: a JSON value for another one, a TOML line for another one.

What changes single bytes seldom gets past a parser; these get past it every time.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

from fuzz.targets import BETWEEN

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 1 << 40, 1 << 70, 0.5, -1e308, float("inf"), float("nan")),
    *("", "x", "1", "a.b", "é\ud800", "\0", "../x", "(", "(a+)+$", "*", "all-linear", "llama"),
    *([], [[]], [None], [1, "x"], [-1, 1 << 70], {}, {"x": 1}, {"": None}, {"1": [2]}),
)
TOML_VALUES = (
    *('""', '"x"', "'é'", '"\\u0000"', '"a.b"', '"""\n[adapters.a]\n"""', "0", "-1", "0x10"),
    *("1e400", "nan", "true", "[]", '["x", 1]', "[[{}]]", "{}", "{ x = 1 }", "{ 1 = {} }"),
    *("2026-01-02T03:04:05Z", "2026-01-02 03:04:05", "2026-01-02", "03:04:05", "0.5", '"hf:o/r"'),
)
TOML_LINES = (
    *("", "# x", "[adapters.a]", "[adapters.a.versions.1]", "[adapters.a.options]", "[adapters]"),
    *('[adapters."b.2".versions.3]', "[[adapters.a.tags]]", "[bases.b]", "[bases.B]", "[tool.x]"),
    *("versions.1.files = {}", "adapters.a.x = 1", "aliases.prod = 1", "[remotes.team]", "x = '''"),
    *("base = 3", "training.epochs = 2", "[ adapters . 'a' ]", "created = 2026-01-01T00:00:00Z"),
)


def mutate_json(data: bytes, random: Random) -> bytes:
    """One value of one of the documents in ``data`` replaced, dropped, doubled or moved."""
    parts = data.split(BETWEEN)
    index = random.randrange(len(parts))
    try:
        document = json.loads(parts[index])
    except (ValueError, RecursionError):
        document = random.choice(ODD)
    parts[index] = json.dumps(_changed(document, random)).encode()
    return BETWEEN.join(parts)


def _changed(value: Any, random: Random) -> Any:
    if not isinstance(value, (dict, list)) or not value or random.random() < 0.1:
        return random.choice(ODD)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = random.choice(keys)
    what = random.random()
    if what < 0.8:
        changed = _changed(value[key], random)
        if isinstance(value, dict):
            return {**value, key: changed}
        return [*value[:key], changed, *value[key + 1 :]]
    if isinstance(value, list):
        return value[:key] + value[key + 1 :] if what < 0.9 else [*value, value[key]]
    rest = {each: value[each] for each in keys if each != key}
    return rest if what < 0.9 else {**rest, random.choice(["x", f"{key}.0", ""]): value[key]}


def mutate_toml(data: bytes, random: Random) -> bytes:
    """One line of ``data`` replaced, dropped, doubled or moved, or the value in it another one."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    index = random.randrange(len(lines))
    what = random.random()
    key, equals, _ = lines[index].partition("=")
    if what < 0.5 and equals:
        lines[index] = f"{key}= {random.choice(TOML_VALUES)}"
    elif what < 0.7:
        lines.insert(index, random.choice(TOML_LINES))
    elif what < 0.8:
        del lines[index]
    elif what < 0.9:
        lines.insert(random.randrange(len(lines)), lines[index])
    else:
        lines[index] = random.choice(TOML_LINES)
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def mutate_edit(data: bytes, random: Random) -> bytes:
    """Another edit, or another registry."""
    head = (data + b"\0\0")[:2]
    if random.random() < 0.3:
        return random.randbytes(2) + data[2:]
    return head + mutate_toml(data[2:], random)


MUTATIONS = {
    "registry": mutate_toml,
    "edit": mutate_edit,
    "safetensors": mutate_json,
    "heads": mutate_json,
}
"""By target."""
