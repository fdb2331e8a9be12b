"""``registry.journal``: what happened to adapters and when, one JSON object a line, oldest first.

Each line has ``when`` (UTC), ``event``, ``adapter`` and what belongs to the event::

    {"when": "2026-11-26T19:22:04.123Z", "event": "alias", "adapter": "sums", "alias": "prod", "from": 1, "to": 2}

========  ===========================================================================
alias     ``alias``, ``from`` and ``to``: version numbers; null where there was or is none
train     ``version``
import    ``version``
pull      ``version``, ``repo``, ``revision``
push      ``version``, ``repo``, ``revision``
merge     ``version``
copy      ``version`` (null for a recipe alone), ``from``: ``NAME@VERSION`` or ``NAME``
rename    ``from``: the name before
remove    ``version``; null for the adapter with all its versions
========  ===========================================================================

The registry is what counts: the journal is written after it, under its lock, and may lack what a
crash or a full disk took. It goes into git beside the registry, so no person, machine or folder is
in it. Git merges two of them by keeping the lines of both (``merge=union``), hence the order is by
``when`` and not by place.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from adapter_hub.registry.files import JOURNAL_NAME

Event = Mapping[str, Any]
Events = Callable[[], Iterable[Event]]
"""What an edit tells the journal, asked for when the edit is done."""

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT
# A link in a repository could lead to any file of whoever runs this, and a pipe would never answer.
_FLAGS |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def append(folder: Path, events: Iterable[Event]) -> None:
    """Add lines to the journal of the registry in ``folder``, whose lock is held.

    A journal that cannot be written is warned of and no error: the registry is changed already.
    """
    when = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    lines = "".join(
        json.dumps({"when": when, **event}, ensure_ascii=False) + "\n" for event in events
    )
    if not lines:
        return
    path = folder / JOURNAL_NAME
    try:
        _append(path, lines.encode())
    except OSError as error:
        import logging

        logging.getLogger("adapter_hub").warning(
            "Warning: %s cannot be written: %s; the registry is changed, and history will not tell it.",
            path,
            error.strerror or error,
        )


def read_journal(folder: Path, *words: str) -> Iterator[dict[str, Any]]:
    """The events of the lines that have one of ``words`` in quotes, in the file's order.

    ``when`` is a datetime in UTC. What is no event (a line torn by a crash, one with a merge's
    marks) is passed over; so is a journal that is not there. Raises OSError.
    """
    path = folder / JOURNAL_NAME
    if not path.is_file():
        return
    needles = [f'"{word}"'.encode() for word in words]
    with path.open("rb") as file:
        for line in file:
            if any(needle in line for needle in needles):
                event = _read(line)
                if event is not None:
                    yield event


def _append(path: Path, lines: bytes) -> None:
    new = not os.path.lexists(path)
    descriptor = os.open(path, _FLAGS, 0o666)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is no regular file")
        if found.st_size:
            os.lseek(descriptor, -1, os.SEEK_END)
            if os.read(descriptor, 1) != b"\n":
                lines = b"\n" + lines  # the last line was torn
        if os.write(descriptor, lines) != len(lines):
            raise OSError("there is no room for the whole line")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        from adapter_hub.registry.atomic import sync_folder

        sync_folder(path.parent)


def _read(line: bytes) -> dict[str, Any] | None:
    """A line's event; None when it is none."""
    try:
        told = json.loads(line)
        if not isinstance(told, dict):
            return None
        when, event, adapter = (told.get(key) for key in ("when", "event", "adapter"))
        if not (isinstance(when, str) and isinstance(event, str) and isinstance(adapter, str)):
            return None
        moment = datetime.fromisoformat(when.replace("Z", "+00:00"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        json.dumps(told, ensure_ascii=False).encode()  # no halves of characters
        return {**told, "when": moment.astimezone(timezone.utc)}
    except (ValueError, OverflowError, RecursionError):
        return None
