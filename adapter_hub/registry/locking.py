"""The lock under which a registry is edited, and how long to wait for it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from adapter_hub.errors import ConflictError
from adapter_hub.registry.files import cannot_write


@contextlib.contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock of the registry at ``path``.

    ``seconds`` is the longest wait in which nobody else gets an edit done: a queue that moves is
    worth waiting in. Raises ConflictError when that is over, RegistryError.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=seconds)
    before = _mark(path)
    while True:
        try:
            lock.acquire()
            break
        except Timeout:
            last, before = before, _mark(path)
            if before == last:
                raise ConflictError(
                    f"{path} is locked by another process; nothing was written.",
                    hint="wait for it to end, then run the command again",
                ) from None
        except OSError as error:
            raise cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _mark(path: Path) -> tuple[int, int] | None:
    """What every replacing of the file changes."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
