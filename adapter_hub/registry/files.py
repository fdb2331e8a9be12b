"""What ``init`` writes: a new registry, and what git is to ignore beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from adapter_hub.errors import ConflictError, RegistryError

FILE_NAME = "registry.toml"
JOURNAL_NAME = "registry.journal"


def create_registry(folder: Path, text: str) -> Path:
    """Write a new registry into ``folder``. Raises ConflictError when there is one already."""
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise ConflictError(
            f"{path} is already there; nothing was changed.", hint="adapter-hub list"
        ) from None
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def ignore_in_git(folder: Path, *more: str) -> None:
    """Add ``adapters/``, the lock and ``more`` to ``.gitignore`` if they are not there.

    Raises RegistryError.
    """
    wanted = (b"adapters/", f".{FILE_NAME}.lock".encode(), *map(str.encode, more))
    _add_lines(
        folder / ".gitignore",
        lambda lines: [line for line in wanted if line not in lines],
        "let git ignore adapters/ by hand",
    )


def merge_journal_in_git(folder: Path) -> None:
    """Have git keep the lines of both sides when it merges journals: each line stands for itself.

    Never the registry: of it such a merge would be no registry, or another one. A line about the
    journal that is in ``.gitattributes`` already stays as it is. Raises RegistryError.
    """
    wanted = f"{JOURNAL_NAME} merge=union".encode()
    _add_lines(
        folder / ".gitattributes",
        lambda lines: [] if any(_is_of_journal(line) for line in lines) else [wanted],
        f"write into it: {wanted.decode()}",
    )


def _is_of_journal(line: bytes) -> bool:
    return line.split()[:1] in ([JOURNAL_NAME.encode()], [b"/" + JOURNAL_NAME.encode()])


def _add_lines(path: Path, missing: Callable[[set[bytes]], list[bytes]], by_hand: str) -> None:
    """Add to the lines of a file those that are missing. Its other bytes stay, in any encoding."""
    from adapter_hub.registry.atomic import replace_file

    path = Path(os.path.realpath(path))
    try:
        content = path.read_bytes() if path.exists() else b""
        new = missing({line.strip() for line in content.splitlines()})
        if new:
            end = b"\r\n" if b"\r\n" in content else b"\n"
            lead = content + (end if content and not content.endswith(b"\n") else b"")
            replace_file(path, lead + b"".join(line + end for line in new))
    except OSError as error:
        raise RegistryError(
            f"{path} cannot be written: {error.strerror or error}.", hint=by_hand
        ) from error


def cannot_write(path: Path, error: OSError) -> RegistryError:
    """The error to raise when nothing of a change got to disk."""
    return RegistryError(
        f"{path} cannot be written: {error.strerror or error}; nothing was changed."
    )
