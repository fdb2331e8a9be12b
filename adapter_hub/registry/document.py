"""The content of ``registry.toml`` as text and as tables; every error names file and line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import RegistryError, RegistryNotFoundError
from adapter_hub.registry.tables import SchemaError, check_document

if TYPE_CHECKING:
    from adapter_hub.registry.scan import Scan

LARGE = 100_000
"""Characters of a registry above which reading in blocks is worth it."""


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
    import tomli

    from adapter_hub.registry.lines import refuse_long

    try:
        meaning = tomli.loads(text)
        refuse_long(text, meaning)
    except (ValueError, RecursionError) as error:  # also an integer too long for Python
        raise _not_toml(path, error) from None
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
    """The error that names the line where ``error`` is. Raises RegistryError, as ``scan``."""
    from adapter_hub.registry.splice import dotted

    line = scan(path, text).line_of(error.path)
    place = f"{path}:{line}" if line else str(path)
    return RegistryError(
        f"{place}: {dotted(error.path)}: {error.problem}.",
        hint="mend that line; nothing was changed",
    )


def scan(path: Path, text: str) -> Scan:
    """Where things stand in ``text``, of which perhaps not all was read. Raises RegistryError."""
    import tomli

    from adapter_hub.registry.scan import Scan

    try:
        tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise _not_toml(path, error) from None
    return Scan(text)


def _not_toml(path: Path, error: Exception) -> RegistryError:
    return RegistryError(
        f"{path} is not valid TOML: {error}.", hint="mend that line; nothing was changed"
    )
