"""What a recipe on SmolLM2-135M-Instruct learns of WikiSQL: held-out loss and exact answers.

    python benchmarks/wikisql.py FOLDER [--steps N] [FLAGS OF TRAIN]

FOLDER holds ``train-prompt-completion.jsonl`` and ``valid-prompt-completion.jsonl`` (rows of
WikiSQL as ml-explore/mlx-examples samples them in ``lora/data``). Everything is done through the
command line: train, then answer the held-out questions greedily, and count the answers that are
the expected SQL, white space aside.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REGISTRY = 'schema = 1\n\n[bases.smollm2]\nsource = "plugin:smollm2-135m-instruct"\n'
RECIPE = ["-o", "r=16", "-o", "lora_alpha=32", "-o", "target_modules=all-linear"]
TRAINING = ["--learning-rate", "1.5e-3", "--batch-size", "8", "--seed", "0"]


def main() -> None:
    """Train, answer, count, and print one line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="with the two files of rows")
    parser.add_argument("--steps", type=int, default=150)
    arguments, more = parser.parse_known_args()
    rows = arguments.folder.resolve() / "train-prompt-completion.jsonl"
    questions = arguments.folder.resolve() / "valid-prompt-completion.jsonl"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "registry.toml").write_text(REGISTRY, encoding="utf-8")
        data = ["--base", "smollm2", "--data", str(rows), "--eval-data", str(questions)]
        steps = ["--steps", str(arguments.steps)]
        flags = [*data, *RECIPE, *TRAINING, *steps, *more]
        trained = run(folder, "train", "sql", *flags, "--json")
        result = json.loads(trained)
        print(
            f"held-out loss {result['base_eval_loss']:.4f} -> {result['eval_loss']:.4f} "
            f"in {result['steps']} steps, {result['seconds']:.0f} s, "
            f"{result['tokens_per_second']:.0f} tokens/s"
        )
        started = time.perf_counter()
        prompts = ["--prompts", str(questions), "--greedy", "--max-new-tokens", "96"]
        answers = [json.loads(line) for line in run(folder, "run", "sql", *prompts).splitlines()]
        seconds = time.perf_counter() - started
        expected = [json.loads(line) for line in questions.read_text("utf-8").splitlines()]
        exact = sum(map(is_exact, answers, expected))
        print(f"exact answers {exact} of {len(expected)}, {seconds:.0f} s")


def run(folder: str, *arguments: str) -> str:
    """The standard output of a command; its talk is shown. One that fails has said why."""
    command = [sys.executable, "-m", "adapter_hub", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


def is_exact(answer: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether the answer is the expected SQL, white space aside."""
    return bool(answer["text"].split() == row["completion"].split())


if __name__ == "__main__":
    main()
