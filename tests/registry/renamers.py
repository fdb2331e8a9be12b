"""Forked processes that publish to two names while others rename what has these names.

``python renamers.py REGISTRY PUBLISHERS RENAMERS EDITS``. Prints how many versions were published
and how many renames were made.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
from pathlib import Path

from writers import fork, train

from adapter_hub.errors import UnknownNameError
from adapter_hub.registry.renames import rename_adapter
from adapter_hub.registry.store import Registry


def main(path: Path, publishers: int, renamers: int, edits: int) -> None:
    renames, written = os.pipe()

    def publish(number: int) -> None:
        draw = random.Random(number)
        for _ in range(edits):
            train(Registry.open(path), draw.choice(("ping", "pong")), draw)

    def rename(number: int) -> None:
        done, draw = 0, random.Random(-number)
        while not (path.parent / "stop").exists():
            with contextlib.suppress(UnknownNameError):
                old = draw.choice(("ping", "pong"))
                rename_adapter(Registry.open(path), old, f"moved-{number}-{done}")
                done += 1
        os.write(written, f"{done}\n".encode())

    publishing = [fork(lambda n=n: publish(n)) for n in range(publishers)]
    renaming = [fork(lambda n=n: rename(n)) for n in range(renamers)]
    failed = sum(os.waitpid(each, 0)[1] != 0 for each in publishing)
    (path.parent / "stop").touch()
    if failed + sum(os.waitpid(each, 0)[1] != 0 for each in renaming):
        sys.exit("a process failed")
    os.close(written)
    with os.fdopen(renames) as file:
        print(publishers * edits, sum(map(int, file)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
