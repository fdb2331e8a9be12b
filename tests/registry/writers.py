"""Real processes that edit one registry, as a program of its own: it forks, so it has no threads.

``python writers.py REGISTRY WRITERS EDITS SEED`` lets each writer do its edits and account for
them, while a reader reads all the time. Prints one JSON object: what must be in the registry now.
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
import traceback
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from adapter_hub.errors import ConflictError, UnknownNameError
from adapter_hub.model import Recipe, Version
from adapter_hub.registry.renames import rename_adapter
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import (
    file_digests,
    publish_version,
    remove_version,
    staging_folder,
)

CREATED = datetime(2026, 1, 1, tzinfo=timezone.utc)
SHARED = "shared"


def train(registry: Registry, name: str, draw: random.Random) -> tuple[int, dict[str, str]]:
    """Publish a version of small files as train does; its number and digests."""
    with staging_folder(registry, name) as folder:
        (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
        (folder / "adapter_model.safetensors").write_bytes(draw.randbytes(draw.randint(1, 9000)))
        files = file_digests(folder)
        version = Version(number=0, created=CREATED, files=files)
        return publish_version(registry, name, folder, version, Recipe(base="tiny")), files


def move_alias(registry: Registry, name: str, alias: str, number: int) -> None:
    """Raises UnknownNameError when the version is not there (any more)."""

    def change(entry: dict[str, Any]) -> None:
        if str(number) not in entry.get("versions", {}):
            raise UnknownNameError(f"{name}@{number} is gone.")
        entry.setdefault("aliases", {})[alias] = number

    registry.edit_adapter(name, change)


class Writer:
    """One process: adapters of its own, and versions and an alias of its own in the shared one."""

    def __init__(self, path: Path, number: int, seed: int) -> None:
        self.registry = Registry.open(path)
        self.name = f"own-{number}"
        self.number = number
        self.draw = random.Random(seed * 1000 + number)
        self.own: dict[int, dict[str, str]] = {}
        self.shared: dict[int, dict[str, str]] = {}
        self.aliases: dict[str, dict[str, int]] = {"own": {}, SHARED: {}}
        self.done: collections.Counter[str] = collections.Counter()
        self.slowest = 0.0

    def edit(self) -> None:
        ways = [self.train_own, self.train_shared, self.alias_own, self.alias_shared]
        ways += [self.alias_of_all, self.remove_own, self.remove_shared, self.rename_own]
        while True:
            way = self.draw.choice(ways)
            start = time.monotonic()
            if way():
                self.slowest = max(self.slowest, time.monotonic() - start)
                self.done[way.__name__] += 1
                return

    def train_own(self) -> bool:
        number, files = train(self.registry, self.name, self.draw)
        self.own[number] = files
        return True

    def train_shared(self) -> bool:
        number, files = train(self.registry, SHARED, self.draw)
        assert number not in self.shared
        self.shared[number] = files
        return True

    def alias_own(self) -> bool:
        return self._alias(self.name, "best", self.own, self.aliases["own"])

    def alias_shared(self) -> bool:
        return self._alias(SHARED, f"by-{self.number}", self.shared, self.aliases[SHARED])

    def alias_of_all(self) -> bool:
        return self._alias(SHARED, "prod", self.shared, {})

    def _alias(
        self, name: str, alias: str, versions: dict[int, dict[str, str]], kept: dict[str, int]
    ) -> bool:
        number = self.draw.choice(list(versions) or [0])
        if not number or kept.get(alias) == number:
            return False
        move_alias(self.registry, name, alias, number)
        kept[alias] = number
        return True

    def remove_own(self) -> bool:
        return self._remove(self.name, self.own)

    def remove_shared(self) -> bool:
        return self._remove(SHARED, self.shared)

    def _remove(self, name: str, versions: dict[int, dict[str, str]]) -> bool:
        number = self.draw.choice(list(versions) or [0])
        if not number:
            return False
        adapter = Registry.open(self.registry.path).adapter(name)
        try:
            remove_version(self.registry, adapter, adapter.versions[number])
        except ConflictError as error:
            if "nothing was removed" not in error.message:
                raise
            return False
        del versions[number]
        return True

    def rename_own(self) -> bool:
        if not self.own and not self.aliases["own"]:
            return False
        if not Registry.open(self.registry.path).has_adapter(self.name):
            return False
        new = f"own-{self.number}-{self.draw.randint(0, 10**9)}"
        rename_adapter(self.registry, self.name, new)
        self.name = new
        return True

    def account(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "own": self.own,
            "shared": self.shared,
            "aliases": self.aliases,
            "done": self.done,
            "slowest": self.slowest,
        }


def read_all_the_time(path: Path, reads: int) -> None:
    """Every content of the file parses, and what it names is there, or named no more."""
    stop = False

    def finish(*_: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, finish)
    count = 0
    while not stop:
        missing = set(missing_versions(Registry.open(path)))
        if missing:
            missing &= set(missing_versions(Registry.open(path)))
        assert not missing, missing
        count += 1
    os.write(reads, str(count).encode())


def missing_versions(registry: Registry) -> Iterator[tuple[str, int, str]]:
    for name in registry.adapter_names():
        for number, version in registry.versions(name).items():
            folder = registry.version_folder(name, number)
            with contextlib.suppress(FileNotFoundError):
                if set(os.listdir(folder)) == set(version.files):
                    continue
            yield name, number, str(sorted(version.files.items()))


def fork(work: Any) -> int:
    """A process that does ``work`` and exits 0, or says why not."""
    process = os.fork()
    if process == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return process


def main(path: Path, writers: int, edits: int, seed: int) -> None:
    reads, written = os.pipe()
    reader = fork(lambda: read_all_the_time(path, written))
    processes, accounts = [], []
    for number in range(writers):
        account = path.parent / f"account-{number}.json"

        def work(number: int = number, account: Path = account) -> None:
            writer = Writer(path, number, seed)
            for _ in range(edits):
                writer.edit()
            account.write_text(json.dumps(writer.account()))

        processes.append(fork(work))
        accounts.append(account)
    failed = sum(os.waitpid(each, 0)[1] != 0 for each in processes)
    os.kill(reader, signal.SIGTERM)
    failed += os.waitpid(reader, 0)[1] != 0
    if failed:
        sys.exit(f"{failed} of the processes failed")
    told = [json.loads(each.read_text()) for each in accounts]
    for each in accounts:
        each.unlink()
    print(json.dumps({"accounts": told, "reads": int(os.read(reads, 100))}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
