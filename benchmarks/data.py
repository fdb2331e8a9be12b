"""What a run's start takes of many rows, the first time and the second, beside reading the file.

    python benchmarks/data.py [--megabytes N] [--rounds N]

A file of generated rows and the embedded base; each start is a process of its own that goes as far
as ``train`` does before it loads weights. Prints seconds and the peak of memory over that of a start
with forty rows, and the ratio of the second start to the first.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

START = """
import json, resource, sys, time
from pathlib import Path
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.training.plan import Changes, make_plan
from adapter_hub.training.prepare import prepare
registry, catalog = Registry.open(), load_catalog()
training = {"steps": 10}
plan = make_plan(registry, "a", Changes(base="tiny", data=sys.argv[1], training=training), catalog)
began = time.perf_counter()
job = prepare(plan, registry, catalog, Path(sys.argv[2]), lambda text: None)
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": seconds, "peak": peak, "rows": job.data.rows}))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3, help="second starts; the median counts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "registry.toml").write_text(
            'schema = 1\n\n[bases.tiny]\nsource = "plugin:tiny"\n'
        )
        (folder / "adapters").mkdir()
        write_rows(folder / "few.jsonl", 8_000)
        write_rows(folder / "many.jsonl", arguments.megabytes * 1_000_000)
        bare = start(folder, "few.jsonl")
        first = start(folder, "many.jsonl")
        later = [start(folder, "many.jsonl") for _ in range(arguments.rounds)]
        seconds = statistics.median(each["seconds"] for each in later)
        peak = max(each["peak"] for each in later)
        print(f"{arguments.megabytes} MB, {first['rows']:,} rows")
        print(f"few rows      {bare['seconds']:8.1f} s")
        print(
            f"first start   {first['seconds']:8.1f} s  {(first['peak'] - bare['peak']) / 1e6:6.0f} MB more"
        )
        print(f"second start  {seconds:8.1f} s  {(peak - bare['peak']) / 1e6:6.0f} MB more")
        print(f"second to first, over a start with few rows: "
              f"{(seconds - bare['seconds']) / (first['seconds'] - bare['seconds']):.4f}")  # fmt: skip


def start(folder: Path, data: str) -> dict[str, float]:
    scratch = Path(tempfile.mkdtemp(dir=folder))
    cache = {"ADAPTER_HUB_CACHE": str(folder / "cache")}
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", START, data, str(scratch)],
        cwd=folder, env={**os.environ, **cache, **quiet}, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    result: dict[str, float] = json.loads(done.stdout)
    return result


def write_rows(path: Path, size: int) -> None:
    """So many bytes of rows of a sentence or a few."""
    draw = random.Random(0)
    words = [
        "the",
        "king",
        "and",
        "queen",
        "went",
        "to",
        "the",
        "old",
        "castle",
        "by",
        "a",
        "river",
        "in",
        "the",
        "dark",
        "wood",
    ]
    with path.open("w") as file:
        while file.tell() < size:
            prompt = " ".join(draw.choices(words, k=draw.randint(10, 90)))
            completion = " " + " ".join(draw.choices(words, k=draw.randint(5, 40)))
            file.write(json.dumps({"prompt": prompt, "completion": completion}) + "\n")


if __name__ == "__main__":
    main()
