"""Replacing a file so that a crash leaves the old one or the new one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from adapter_hub.errors import ConflictError


def replace_file(path: Path, content: bytes, *, expect: bytes | None = None) -> None:
    """Replace ``path`` by ``content`` so that a crash leaves the old file or the new one.

    ``expect`` is what the file must still hold just before; else ConflictError. Raises OSError.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A temporary file is private; the one it becomes keeps its mode, or gets the usual one.
        os.chmod(temporary, path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~umask())
        if expect is not None and path.read_bytes() != expect:
            raise ConflictError(
                f"{path} was changed by somebody else in this moment; nothing was written.",
                hint="run the command again",
            )
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def umask() -> int:
    """The modes that the user does not want on new files; it can be read only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
