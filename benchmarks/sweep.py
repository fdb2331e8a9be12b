"""Eight adapters of one base in one process beside eight processes.

    python benchmarks/sweep.py FOLDER [--steps N] [--rounds N] [--adapters N]

FOLDER holds ``train-prompt-completion.jsonl`` (see ``wikisql.py``). LoRA on q_proj and v_proj of
SmolLM2-135M-Instruct at eight learning rates, ``adapter-hub train`` as a command: once with eight
names, once with one name each, in turns. Also told: whether the files are the same, and the time
from the save of one adapter to the first step of the next.
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
from pathlib import Path

HUB = [sys.executable, "-m", "adapter_hub", "-q"]
NEXT = """
import sys, time
from pathlib import Path
from adapter_hub import Registry
from adapter_hub.cli.context import Context
from adapter_hub.training.train import train
from adapter_hub.training.workbench import Workbench
from adapter_hub.training import loop
Context(None, True, False).prepare_libraries()
begun, step = [], loop._step
loop._step = lambda *a: begun.append(time.perf_counter()) or step(*a)
bench, saved = Workbench(), 0.0
for name in sys.argv[1:]:
    begun.clear()
    train(name, registry=Registry.open(), bench=bench)
    if saved:
        print("GAP", begun[0] - saved)
    saved = time.perf_counter()
"""


def main() -> None:
    """Measure both ways in turns and print their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--adapters", type=int, default=8)
    arguments = parser.parse_args()
    names = [f"a{number}" for number in range(arguments.adapters)]
    ratios, gaps = [], []
    with tempfile.TemporaryDirectory() as place:  # unpacks the base, once for this machine
        timed(prepare(Path(place) / "first", arguments, names[:1]), [[*HUB, "train", names[0]]])
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as place:
            one, many = (prepare(Path(place) / each, arguments, names) for each in ("one", "many"))
            together = timed(one, [[*HUB, "train", *names]])
            apart = timed(many, [[*HUB, "train", name] for name in names])
            same = all(digest(one, name) == digest(many, name) for name in names)
            gaps += gaps_in(prepare(Path(place) / "gaps", arguments, names), names[:3])
        ratios.append(together / apart)
        print(
            f"one process {together:.1f} s, {len(names)} processes {apart:.1f} s, same files: {same}",
            flush=True,
        )
    print(f"one process takes {statistics.median(ratios):.2f} of the time of {len(names)}")
    print(f"from a save to the next adapter's first step: {statistics.median(gaps):.2f} s")


def prepare(folder: Path, arguments: argparse.Namespace, names: list[str]) -> Path:
    """A registry with recipes that differ by their learning rates."""
    folder.mkdir()
    rows = (arguments.folder / "train-prompt-completion.jsonl").resolve()
    text = 'schema = 1\n\n[bases.smollm2]\nsource = "plugin:smollm2-135m-instruct"\n'
    for number, name in enumerate(names, 1):
        text += (
            f'\n[adapters.{name}]\nbase = "smollm2"\ndata = "{rows}"\n'
            'options = { target_modules = ["q_proj", "v_proj"] }\n'
            f"training = {{ steps = {arguments.steps}, learning_rate = {number}e-4 }}\n"
        )
    (folder / "registry.toml").write_text(text, encoding="utf-8")
    return folder


def timed(folder: Path, commands: list[list[str]]) -> float:
    start = time.perf_counter()
    for command in commands:
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.DEVNULL,
        )
    return time.perf_counter() - start


def gaps_in(folder: Path, names: list[str]) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", NEXT, *names],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("GAP")]


def digest(folder: Path, name: str) -> str:
    path = folder / "adapters" / name / "1" / "adapter_model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
