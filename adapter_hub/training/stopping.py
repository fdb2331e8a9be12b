"""Ctrl-C and SIGTERM during a run: it ends between two steps, with its state saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C or SIGTERM asks to stop after this step; the second stops at once."""
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    # What was started to ignore them, as by nohup, goes on.
    before = {each: handler for each, handler in before.items() if handler != signal.SIG_IGN}

    def request(number: int, _frame: object) -> None:
        if requested.is_set():
            raise KeyboardInterrupt
        requested.set()

    for each in before:
        signal.signal(each, request)
    try:
        yield requested.is_set
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
