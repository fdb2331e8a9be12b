"""What ``init`` writes: a new registry, and what git is to ignore beside it."""

from __future__ import annotations

import os
from pathlib import Path

from adapter_hub.errors import ConflictError, RegistryError

FILE_NAME = "registry.toml"


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

    Its other bytes stay, whatever their encoding.
    """
    from adapter_hub.registry.atomic import replace_file

    path = Path(os.path.realpath(folder / ".gitignore"))
    try:
        content = path.read_bytes() if path.exists() else b""
        lines = {line.strip() for line in content.splitlines()}
        wanted = (b"adapters/", f".{FILE_NAME}.lock".encode(), *map(str.encode, more))
        missing = [line for line in wanted if line not in lines]
        if missing:
            end = b"\r\n" if b"\r\n" in content else b"\n"
            lead = content + (end if content and not content.endswith(b"\n") else b"")
            replace_file(path, lead + b"".join(line + end for line in missing))
    except OSError as error:
        raise RegistryError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="let git ignore adapters/ by hand",
        ) from error


def cannot_write(path: Path, error: OSError) -> RegistryError:
    """The error to raise when nothing of a change got to disk."""
    return RegistryError(
        f"{path} cannot be written: {error.strerror or error}; nothing was changed."
    )
