"""How long a cold command takes beside the imports it cannot do without.

    python benchmarks/startup.py [--pairs N] [--adapters N]

Whole processes of this interpreter, in alternation with ``python -c "import click, tomli,
pluggy"``: what else the machine does hits both alike, and the ratio of the medians stays.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from adapter_hub.registry.splice import format_block

REFERENCE = ["-c", "import click, tomli, pluggy"]
# What the console script does, without depending on where it was installed.
COMMAND = ["-c", "from adapter_hub.cli.main import main; main()"]
WARM_UP = 3
BASES = ("gpt2", "llama-3.2-1b", "qwen3-0.6b", "smollm2", "tiny")
TOPICS = ("sql", "support", "legal", "poems", "summaries", "review", "triage", "medical")
FILES = (
    "README.md",
    "adapter_config.json",
    "adapter_hub.json",
    "adapter_model.safetensors",
    "loss.png",
)


def main() -> None:
    """Generate a registry, time each command against the reference, print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15, help="measured pairs (default: 15)")
    parser.add_argument("--adapters", type=int, default=1000, help="adapters (default: 1000)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "registry.toml"
        path.write_text(registry_text(arguments.adapters), encoding="utf-8")
        size = path.stat().st_size / 1e6
        print(f"registry.toml: {arguments.adapters} adapters, {size:.2f} MB")
        print(f"reference: python {REFERENCE[0]} '{REFERENCE[1]}'; {arguments.pairs} pairs each")
        for command in (["list"], ["list", "--json"], ["--help"]):
            ours, reference = measure(command, Path(folder), arguments.pairs)
            print(
                f"{' '.join(command):12}  {ours * 1e3:6.1f} ms  "
                f"reference {reference * 1e3:6.1f} ms  ratio {ours / reference:.2f}"
            )


def measure(command: list[str], folder: Path, pairs: int) -> tuple[float, float]:
    """The median seconds of the command and of the reference, run in turns."""
    ours, reference = [], []
    for pair in range(WARM_UP + pairs):
        times = seconds([*COMMAND, *command], folder), seconds(REFERENCE, folder)
        if pair >= WARM_UP:
            ours.append(times[0])
            reference.append(times[1])
    return statistics.median(ours), statistics.median(reference)


def seconds(arguments: list[str], folder: Path) -> float:
    """The wall time of one process, from its start to its end."""
    # Both find bytecode, as an installed package does, even from a checkout that has none.
    settings = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    for name in ("ADAPTER_HUB_REGISTRY", "PYTHONDONTWRITEBYTECODE"):
        settings.pop(name, None)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=settings, stdout=subprocess.PIPE, check=True
    )
    return time.perf_counter() - start


def registry_text(count: int) -> str:
    """A registry as a team's years would leave it, the same at every call."""
    text = "# The adapters of a team.\nschema = 1\n"
    for name in BASES:
        table = {"source": f"hf:team/{name}", "revision": digest(name, 40)}
        text += "\n" + format_block(("bases", name), table)
    for number in sorted(range(count), key=adapter_name):
        text += "\n" + format_block(("adapters", adapter_name(number)), adapter_table(number))
    return text


def adapter_name(number: int) -> str:
    return f"{TOPICS[number % len(TOPICS)]}-{number:04}"


def adapter_table(number: int) -> dict[str, Any]:
    """A recipe with one version or two; every third is tagged or aliased."""
    newest = 1 + number % 2
    table: dict[str, Any] = {
        "base": BASES[number % len(BASES)],
        "method": "lora",
        "options": {"lora_alpha": 32, "r": 16, "target_modules": "all-linear"},
        "data": f"data/{adapter_name(number)}.jsonl",
        "training": {"learning_rate": 2e-4, "epochs": 3.0, "seed": number},
        "versions": {str(each): version_table(number, each) for each in range(1, newest + 1)},
    }
    if number % 3 == 0:
        table["tags"] = ["demo", TOPICS[number % len(TOPICS)]]
    if number % 3 == 1:
        table["aliases"] = {"prod": newest}
    return table


def version_table(number: int, version: int) -> dict[str, Any]:
    """Files, digests and metrics; every tenth adapter was pushed."""
    seed = f"{number}@{version}"
    table: dict[str, Any] = {
        "created": datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(hours=number + version),
        "recipe": f"sha256:{digest(seed)}",
        "files": {name: f"sha256:{digest(seed + name)}" for name in FILES},
        "metrics": {"train_loss": 1.5 + number / 1000, "eval_loss": 1.9 + number / 1000},
    }
    if number % 10 == 0:
        table["hub"] = {"repo": f"team/{adapter_name(number)}", "revision": digest(seed, 40)}
    return table


def digest(text: str, length: int = 64) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


if __name__ == "__main__":
    main()
