"""Forked processes that edit one registry where the lock is granted to everybody.

``python unlocked.py REGISTRY WRITERS EDITS KILLED``: so many writers each count up one number and
train, and others are killed all the time while they do the same. Prints one JSON object.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import filelock
from writers import fork, train

from adapter_hub.errors import ConflictError
from adapter_hub.registry.store import Registry


def count_up(registry: Registry) -> None:
    """Read, add one, write: what is lost when two do it at once from the same content."""

    def change(entry: dict[str, Any]) -> None:
        entry["options"]["r"] += 1

    registry.edit_adapter("sums", change)


def write(path: Path, number: int, edits: int) -> None:
    draw = random.Random(number)
    done: collections.Counter[str] = collections.Counter()
    while done["counted"] < edits:
        try:
            count_up(Registry.open(path))
        except ConflictError:
            done["conflicts"] += 1
            continue
        done["counted"] += 1
        with contextlib.suppress(ConflictError):
            train(Registry.open(path), "sums", draw)
            done["trained"] += 1
    path.with_name(f"done-{number}.json").write_text(json.dumps(done))


def be_killed(path: Path, number: int) -> None:
    """Train again and again; of the processes that do so, each ends in the middle of it."""
    draw = random.Random(-number)
    while not path.with_name("stop").exists():
        child = fork(lambda: [train(Registry.open(path), "others", draw) for _ in range(100)])
        time.sleep(draw.uniform(0.01, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def main(path: Path, writers: int, edits: int, killed: int) -> None:
    filelock.FileLock.acquire = lambda self, *_, **__: None  # type: ignore[assignment, method-assign, return-value]
    writing = [fork(lambda n=n: write(path, n, edits)) for n in range(writers)]
    killing = [fork(lambda n=n: be_killed(path, n)) for n in range(killed)]
    failed = sum(os.waitpid(each, 0)[1] != 0 for each in writing)
    path.with_name("stop").touch()
    if failed + sum(os.waitpid(each, 0)[1] != 0 for each in killing):
        sys.exit("a process failed")
    done = [path.with_name(f"done-{number}.json").read_text() for number in range(writers)]
    print(json.dumps(sum(map(collections.Counter, map(json.loads, done)), collections.Counter())))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
