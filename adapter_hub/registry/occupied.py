"""Folders that say for themselves that a process is at work in them.

The process holds a shared ``flock`` of the folder itself: no file has to be put into it, renaming
it loses nothing, and the lock ends with the process, however that ends. Where such locks are
missing or have no effect (Windows, some network file systems), nobody can tell, and age decides.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover (Windows)
    fcntl = None  # type: ignore[assignment]

_ATTEMPTS = 10


@contextlib.contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Say that this process works in ``folder``, until the body ends; several may do so at once."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            descriptor = _open(folder, stack)
            if descriptor is not None:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


def occupied_folder(make: Callable[[], Path], stack: contextlib.ExitStack) -> Path:
    """The folder that ``make`` makes, occupied until ``stack`` ends. Raises OSError.

    It is made again where somebody cleaned up before this process could say that it is here.
    """
    for attempt in range(_ATTEMPTS):
        try:
            folder = make()
        except FileNotFoundError:
            if attempt == _ATTEMPTS - 1:
                raise
            continue
        stack.enter_context(occupied(folder))
        if folder.is_dir():
            break
    return folder


@contextlib.contextmanager
def taken(path: Path) -> Iterator[bool | None]:
    """Have a folder or lock file to oneself, if nobody works there.

    Yields whether that is so, for as long as the body runs; None when it cannot be told.
    """
    with contextlib.ExitStack() as stack:
        answer: bool | None = None
        try:
            first, second = _open(path, stack), _open(path, stack)
            if first is not None and second is not None:
                # Two openings of one file exclude each other, where locks have an effect.
                answer = _lock(first) and (None if _lock(second) else True)
        except OSError:
            answer = None
        yield answer


def _open(path: Path, stack: contextlib.ExitStack) -> int | None:
    if fcntl is None:
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    stack.callback(os.close, descriptor)
    return descriptor


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
