"""What commands cost in a large registry, beside reading the same file with tomli alone.

    python benchmarks/registry.py [--rounds N] [--adapters N,N,…]

Whole processes in turns with ``python -c "tomli.loads(…)"`` of the same file; medians, and the
ratio of the two, of wall time and of peak memory. A command that edits does it to the same file
again and again; ``list`` is measured with no index (it is deleted before each) and with one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from startup import registry_text

PARSE = "import tomli; tomli.loads(open('registry.toml', encoding='utf-8').read())"
COMMAND = "from adapter_hub.cli.main import main; main()"
ADD_VERSION = """
import sys, tempfile
from datetime import datetime, timezone
from pathlib import Path
from adapter_hub.model import Version
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digests, publish_version, staging_folder
registry = Registry.open()
with staging_folder(registry, sys.argv[1]) as folder:
    (folder / "adapter_config.json").write_text("{}")
    files = file_digests(folder)
    created = datetime.now(timezone.utc).replace(microsecond=0)
    publish_version(registry, sys.argv[1], folder, Version(number=1, created=created, files=files))
"""
"""What ``train`` and ``pull`` do with the registry when the files are there."""


@dataclass
class Cost:
    """Of one kind of process: seconds and peak bytes, one of each for a round."""

    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def add(self, figures: tuple[float, float]) -> None:
        self.seconds.append(figures[0])
        self.memory.append(figures[1])


def main() -> None:
    """Generate a registry of each size, and print one line for each command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--adapters", default="1000,10000,100000", help="sizes, by commas")
    arguments = parser.parse_args()
    for size in map(int, arguments.adapters.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), size, arguments.rounds)


def measure(folder: Path, size: int, rounds: int) -> None:
    """Print what each command costs in a registry of ``size`` adapters."""
    path = folder / "registry.toml"
    path.write_text(registry_text(size), encoding="utf-8")
    name = next(
        line[len("[adapters.") : -1]
        for line in path.read_text("utf-8").splitlines()[size * 4 :]
        if line.startswith("[adapters.") and ".versions." not in line
    )
    parse, costs = Cost(), {label: Cost() for label in commands(name, folder)}
    for number in range(rounds):
        parse.add(run(["-c", PARSE], folder))
        for label, (prepare, arguments) in commands(name, folder, number).items():
            prepare()
            costs[label].add(run(arguments, folder))
    whole, memory = statistics.median(parse.seconds), statistics.median(parse.memory)
    print(
        f"{size:,} adapters, {path.stat().st_size / 1e6:.1f} MB: tomli alone {whole:.2f} s, ",
        end="",
    )
    print(f"{memory / 1e6:.0f} MB")
    for label, cost in costs.items():
        ratio = statistics.median(cost.seconds) / whole
        print(
            f"  {label:24} {statistics.median(cost.seconds):7.2f} s  {ratio:5.2f}   "
            f"memory {statistics.median(cost.memory) / memory:5.2f}",
            flush=True,
        )


def commands(
    name: str, folder: Path, number: int = 0
) -> dict[str, tuple[Callable[[], None], list[str]]]:
    """By label: what comes before, and the arguments of the interpreter."""

    def nothing() -> None:
        pass

    def drop_index() -> None:
        shutil.rmtree(folder / "cache", ignore_errors=True)

    def command(*words: str) -> list[str]:
        return ["-c", COMMAND, *words]

    return {
        "list, no index": (drop_index, command("list")),
        "list, warm index": (nothing, command("list")),
        f"show {name}": (nothing, command("show", name)),
        "status of it": (nothing, command("status", name)),
        "status of all": (nothing, command("status")),
        "one alias move": (nothing, command("alias", name, f"at-{number}")),
        "one added version": (nothing, ["-c", ADD_VERSION, name]),
    }


def run(arguments: list[str], folder: Path) -> tuple[float, float]:
    """The wall time in seconds and the peak memory in bytes of one process."""
    settings = {
        **os.environ,
        "ADAPTER_HUB_CACHE": str(folder / "cache"),
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
    }
    settings.pop("ADAPTER_HUB_REGISTRY", None)
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=settings, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(arguments[2:])} failed")
    return seconds, usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
