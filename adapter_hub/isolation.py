"""Other people's code: what it prints is talk, what it raises is one line, its time can be traced."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator

from adapter_hub.errors import PluginError

TRACE_VARIABLE = "ADAPTER_HUB_TRACE_PLUGINS"


@contextlib.contextmanager
def talk_on_stderr() -> Iterator[None]:
    """Code that prints must not get into a command's data, by whatever way it prints.

    ``print`` follows ``sys.stdout``; ``os.write``, extension modules and child processes know
    only the file descriptor.
    """
    with contextlib.redirect_stdout(sys.stderr), _descriptor_1_is_2():
        yield


@contextlib.contextmanager
def traced(what: str) -> Iterator[None]:
    """With ``ADAPTER_HUB_TRACE_PLUGINS=1``, one line on stderr with the milliseconds it took."""
    start = time.perf_counter()
    try:
        yield
    finally:
        if os.environ.get(TRACE_VARIABLE) == "1" and sys.stderr is not None:
            print(f"trace: {what}: {(time.perf_counter() - start) * 1e3:.1f} ms", file=sys.stderr)


def one_line(error: BaseException) -> str:
    """What went wrong, as the end of a sentence, without its full stop."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    try:
        text = " ".join(str(error).split()).rstrip(".")
    except Exception:  # an error of somebody else's class
        text = ""
    if isinstance(error, PluginError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def _descriptor_1_is_2() -> Iterator[None]:
    _flush()
    try:
        before = os.dup(1)
    except OSError:  # it is closed
        yield
        return
    try:
        with contextlib.suppress(OSError):
            os.dup2(2, 1)
        yield
    finally:
        _flush()
        os.dup2(before, 1)
        os.close(before)


def _flush() -> None:
    """What waits in the buffer goes where the descriptor leads now."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.__stdout__.flush()  # type: ignore[union-attr]
