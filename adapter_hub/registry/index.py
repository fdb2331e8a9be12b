"""The summaries of a large registry, kept in the user's cache so that ``list`` need not read it.

An index belongs to one content of the file, by its digest: of any other content nothing in it is
used. It is never more than that; to delete it costs the next ``list`` some time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from adapter_hub.bases.cache import cache_folder
from adapter_hub.registry.atomic import replace_file

_FORMAT = "adapter-hub index 1"
_KEPT = 16
"""Registries of which the cache keeps an index: those that were listed last after a change."""

Summaries = list[dict[str, Any]]


def indexed(path: Path, text: str, read: Callable[[], Summaries]) -> Summaries:
    """What ``read`` makes of ``text``, the content of the registry at ``path``: kept, or read."""
    file = index_file(path)
    head = f"{_FORMAT} {hashlib.sha256(text.encode()).hexdigest()}\n"
    summaries = _kept(file, head)
    if summaries is None:
        summaries = read()
        # A cache that cannot be written makes nothing wrong, only slower.
        with contextlib.suppress(OSError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            content = json.dumps(summaries, default=datetime.isoformat)
            replace_file(file, (head + content).encode())
            _drop_oldest(file.parent)
    return summaries


def index_file(path: Path) -> Path:
    """Where the index of the registry at ``path`` lies."""
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    return cache_folder() / "index" / f"{name}.json"


def _kept(file: Path, head: str) -> Summaries | None:
    """None when there is no index, or one of another content, or one that is damaged."""
    try:
        with file.open(encoding="utf-8") as lines:
            summaries: Summaries | None = json.load(lines) if lines.readline() == head else None
            for each in summaries or ():
                each["created"] = each["created"] and datetime.fromisoformat(each["created"])
        return summaries
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _drop_oldest(folder: Path) -> None:
    """Registries go and are moved. Raises OSError."""
    files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
    for file in files[:-_KEPT]:
        file.unlink()
