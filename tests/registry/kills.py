"""Edits that are killed: at random moments, and before each of their file operations.

``python kills.py FOLDER KILLS SEED``. A program of its own, without threads: it forks. Every kill
is followed by a look at what is there, by another edit and by ``gc``. Prints one JSON object: how
many edits were killed, and after how many the registry was the old or the new one.
"""

from __future__ import annotations

import collections
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli
from writers import fork, move_alias, train

from adapter_hub.registry.gc import find_garbage, remove_garbage
from adapter_hub.registry.history import history
from adapter_hub.registry.renames import rename_adapter
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import (
    damage,
    remove_adapter,
    remove_version,
)

_OPERATIONS = ("open", "os.", "shutil.", "tempfile.")

Edit = Callable[[Registry], Any]


def _remove(registry: Registry) -> None:
    adapter = registry.adapter("sums")
    remove_version(registry, adapter, adapter.versions[2])


EDITS: dict[str, Edit] = {
    "train": lambda registry: train(registry, "sums", random.Random(1)),
    "train_new": lambda registry: train(registry, "new", random.Random(1)),
    "alias": lambda registry: move_alias(registry, "sums", "prod", 2),
    "rename": lambda registry: rename_adapter(registry, "sums", "zeta"),
    "remove_version": _remove,
    "remove_adapter": lambda registry: remove_adapter(registry, "sums"),
}


class Trial:
    """One edit after the other on copies of one registry, each killed."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self._template = folder / "template"
        self._make_template()
        self.old = self._state(self._template)
        self.new: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}
        self.operations: dict[str, int] = {}
        self.found: collections.Counter[str] = collections.Counter()
        for kind in EDITS:
            self._learn(kind)

    def _make_template(self) -> None:
        self._template.mkdir()
        path = self._template / "registry.toml"
        path.write_text('# ours\nschema = 1\n\n[bases.tiny] # kept\nsource = "plugin:tiny"\n')
        for number, name in enumerate(("alpha", "sums", "sums", "sums")):
            train(Registry.open(path), name, random.Random(-number))
        move_alias(Registry.open(path), "sums", "prod", 1)

    def _learn(self, kind: str) -> None:
        """What an edit makes of the registry when nothing stops it, and how long it takes."""
        times = []
        for _ in range(3):
            self.reset()
            child, start = self._start(kind)
            assert os.waitpid(child, 0)[1] == 0, kind
            times.append(time.monotonic() - start)
        self.seconds[kind] = sorted(times)[1]
        self.new[kind] = self._state(self.home)
        assert self.new[kind] != self.old
        self.reset()
        count = self.home / "count"
        child, _ = self._start(kind, lambda: _counting(count))
        assert os.waitpid(child, 0)[1] == 0
        self.operations[kind] = len(count.read_bytes())

    def reset(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self._template, self.home)

    def _start(self, kind: str, before: Callable[[], None] = lambda: None) -> tuple[int, float]:
        """The process, once it is about to begin."""
        ready, written = os.pipe()

        def work() -> None:
            registry = Registry.open(self.home)
            before()
            os.write(written, b".")
            EDITS[kind](registry)

        child = fork(work)
        os.read(ready, 1)
        for each in (ready, written):
            os.close(each)
        return child, time.monotonic()

    def kill_after(self, kind: str, seconds: float) -> bool:
        """Whether the edit was killed: it may be done before."""
        self.reset()
        child, start = self._start(kind)
        while time.monotonic() - start < seconds:
            pass  # a sleep would end much later than it says
        os.kill(child, signal.SIGKILL)
        return self._look(kind, child)

    def kill_before(self, kind: str, operation: int) -> bool:
        self.reset()
        child, _ = self._start(kind, lambda: _kill_before(operation))
        return self._look(kind, child)

    def _look(self, kind: str, child: int) -> bool:
        status = os.waitpid(child, 0)[1]
        state = self._state(self.home)
        assert state in (self.old, self.new[kind]), (kind, state)
        if status == 0:
            assert state == self.new[kind], kind
            return False
        assert os.WIFSIGNALED(status), f"{kind} failed"
        assert os.WTERMSIG(status) == signal.SIGKILL, f"{kind} failed"
        self.found["old" if state == self.old else "new"] += 1
        self._go_on(state)
        return True

    def _go_on(self, state: Any) -> None:
        """The next edit works as if nothing had been, and gc leaves only what is named."""
        registry = Registry.open(self.home)
        number, _ = train(registry, "alpha", random.Random(2))
        assert number == 2
        remove_adapter(registry, "alpha")
        assert self._state(self.home) == {name: state[name] for name in state if name != "alpha"}
        removed = remove_garbage(registry, find_garbage(registry))
        assert not removed.kept, removed.kept
        assert not find_garbage(registry).garbage
        folders = {
            f"{adapter.parent.name}/{adapter.name}" for adapter in self.home.glob("adapters/*/*")
        }
        assert folders == {
            f"{n}/{v}" for n in registry.adapter_names() for v in registry.versions(n)
        }
        left = {each.name for each in self.home.iterdir()}
        assert left <= {"registry.toml", ".registry.toml.lock", "registry.journal", "adapters"}, (
            left
        )
        for name in registry.adapter_names():
            history(name, registry=registry)

    def _state(self, home: Path) -> dict[str, Any]:
        """What the registry says, when all that it names is whole."""
        text = (home / "registry.toml").read_text()
        assert text.startswith("# ours\nschema = 1\n\n[bases.tiny] # kept\n"), text
        registry = Registry.open(home)
        for adapter in registry.adapters():
            for number, version in adapter.versions.items():
                assert not damage(registry.version_folder(adapter.name, number), version)
        adapters: dict[str, Any] = tomli.loads(text).get("adapters", {})
        return adapters


def _counting(path: Path) -> None:
    """Have this process note each file operation as one byte of the file."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def hook(event: str, _: Any) -> None:
        if event.startswith(_OPERATIONS):
            os.write(descriptor, b".")

    sys.addaudithook(hook)


def _kill_before(operation: int) -> None:
    """Have this process end as if by the system before a file operation, counted from 0."""
    left = operation

    def hook(event: str, _: Any) -> None:
        nonlocal left
        if event.startswith(_OPERATIONS):
            left -= 1  # first: the kill is an operation itself
            if left == -1:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main(folder: Path, kills: int, seed: int) -> None:
    trial, draw = Trial(folder), random.Random(seed)
    at_operations = sum(
        trial.kill_before(kind, operation)
        for kind, operations in trial.operations.items()
        for operation in range(operations)
    )
    told = {"operations": at_operations, "old": trial.found["old"], "new": trial.found["new"]}
    killed = 0
    while killed < kills:
        kind = draw.choice(list(EDITS))
        killed += trial.kill_after(kind, draw.uniform(0, 1.1) * trial.seconds[kind])
    told |= {f"random_{state}": count - told[state] for state, count in trial.found.items()}
    print(json.dumps({**told, "random": killed}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:4]))
