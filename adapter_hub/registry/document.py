"""The content of ``registry.toml`` as text and as tables; every error names file and line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli

from adapter_hub.errors import RegistryError, RegistryNotFoundError
from adapter_hub.registry.tables import SchemaError, check_document

LARGE = 100_000
"""Characters of a registry above which reading in blocks is worth it."""

_LOWER_MARK = re.compile(r"(?:\|{7}|={7}|>{7})(?: |\s*\Z)")
_LINE = re.compile(r"\(at line (\d+)")


def without_mark(content: str) -> str:
    """Some editors begin a file with a byte order mark, which TOML does not know."""
    return content.removeprefix("\ufeff")


def read_text(path: Path) -> str:
    """The file's content. Raises RegistryNotFoundError, RegistryError."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise RegistryNotFoundError(
            f"there is no registry at {path}.", hint="adapter-hub init"
        ) from None
    except UnicodeDecodeError as error:
        raise RegistryError(f"{path} is not UTF-8 text (byte {error.start}).") from None
    except OSError as error:
        raise RegistryError(f"{path} cannot be read: {error.strerror}.") from error


def is_large(text: str) -> bool:
    """Whether it is worth it to read only what somebody looks at."""
    return len(text) >= LARGE


def read_meaning(path: Path, text: str) -> Mapping[str, Any]:
    """The document for reading, in blocks where its form allows it. Raises RegistryError."""
    if not is_large(text):
        return parse(path, text)
    from adapter_hub.registry.lines import read_lines

    meaning = read_lines(text)
    if meaning is None:
        return parse(path, text)
    try:
        check_document(meaning, are_tables=True)
    except SchemaError as error:
        raise at_line(path, text, error) from None
    except ValueError:
        return parse(path, text)
    return meaning


def parse(path: Path, text: str) -> Mapping[str, Any]:
    """The document, all of it read and its names checked. Raises RegistryError."""
    from adapter_hub.registry.lines import refuse_long

    try:
        meaning = tomli.loads(text)
        refuse_long(text, meaning)
    except (ValueError, RecursionError) as error:  # also an integer too long for Python
        raise _not_toml(path, text, error) from None
    check(path, text, meaning)
    return meaning


def check(path: Path, text: str, meaning: Mapping[str, Any]) -> None:
    """Check the sections and names of what ``text`` means. Raises RegistryError naming the line."""
    from adapter_hub.registry import schema

    try:
        check_document(meaning)
        schema.check_names(meaning)
    except SchemaError as error:
        raise at_line(path, text, error) from None


def at_line(path: Path, text: str, error: SchemaError) -> RegistryError:
    """The error that names the line where ``error`` is. Raises RegistryError, as ``line_of``."""
    from adapter_hub.registry.values import dotted

    line = line_of(path, text, error.path)
    place = f"{path}:{line}" if line else str(path)
    return RegistryError(
        f"{place}: {dotted(error.path)}: {error.problem}.",
        hint="mend that line; nothing was changed",
    )


def line_of(path: Path, text: str, where: tuple[str, ...]) -> int | None:
    """The 1-based line of ``text`` where something is written, or the nearest table above it.

    Raises RegistryError where the text, or of a large one the entry, is no TOML.
    """
    from adapter_hub.registry.scan import Scan

    start, part = _part(text, where)
    try:
        tomli.loads(part)  # which Scan relies on
    except (ValueError, RecursionError):
        parse(path, text)
        raise
    line = Scan(part).line_of(where)
    return line and line + text.count("\n", 0, start)


def _part(text: str, where: tuple[str, ...]) -> tuple[int, str]:
    """The offset and the text of the entry that holds a place, where it can be had alone."""
    from adapter_hub.registry.blocks import find_blocks

    blocks = find_blocks(text) if is_large(text) and len(where) > 1 else None
    if blocks is None or where[1] not in blocks.places.get(where[0], {}):
        return 0, text
    return blocks.start(*where[:2]), blocks.entry(*where[:2])


def _not_toml(path: Path, text: str, error: Exception) -> RegistryError:
    mark = _mark_of_git(text, error)
    if mark:
        return RegistryError(
            f"{path}:{mark[0]}: git left a conflict here ({mark[1]}): two branches changed the same "
            "lines; nothing was changed.",
            hint="keep what is meant of the lines from <<<<<<< to >>>>>>> and take out the marks, or "
            f"all of one side: git checkout --ours {path.name} (or --theirs); "
            f"then: git add {path.name}",
        )
    return RegistryError(
        f"{path} is not valid TOML: {error}.", hint="mend that line; nothing was changed"
    )


def _mark_of_git(text: str, error: Exception) -> tuple[int, str] | None:
    """The line of the first mark that git wrote where branches disagree, and the mark.

    One of the lower marks alone, left by who mended the rest, is told only where TOML ends: a
    string of many lines may be ruled off so.
    """
    found = _LINE.search(str(error))
    wrong = int(found[1]) if found else 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("<<<<<<< ") or (number == wrong and _LOWER_MARK.match(line)):
            return number, line.rstrip()
    return None
