"""What ``train --dry-run`` says a run takes of memory, beside what the run then takes.

    python benchmarks/memory.py [--only NAME …]

Models of several shapes with random weights, and the embedded base; each run is a process of its
own, measured from outside by its largest resident size. The ratio is estimate to measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ADAPTER_HUB = [sys.executable, "-m", "adapter_hub"]
SHAPES = {
    "tiny": None,
    "wide": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 8, "heads": 12},
    "deep": {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 24, "heads": 6},
    "gpt2": {"n_embd": 512, "n_layer": 8, "n_head": 8},
}
RUNS: dict[str, list[str]] = {
    "as it is": [],
    "all-linear, batch 4": ["--batch-size", "4", "-o", "target_modules=all-linear"],
    "batch 16": ["--batch-size", "16"],
    "bfloat16": ["--dtype", "bfloat16", "-o", "target_modules=all-linear"],
    "long rows": ["--max-length", "512", "--data", "long.jsonl", "--train-on", "all"],
    "checkpointed": [
        "--checkpoint-activations", "--data", "long.jsonl", "--max-length", "512",
    ],
    "4 bits": ["--quantize", "4bit"],
}  # fmt: skip


def main() -> None:
    """Measure every run on every shape and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_registry(folder, arguments.only)
        print(f"{'':8}{'':24}estimate  measured  ratio", flush=True)
        for base in arguments.only:
            for name, flags in RUNS.items():
                told, taken = one(folder, base, flags)
                print(
                    f"{base:8}{name:24}{told / 1e6:6.0f}MB  {taken / 1e6:6.0f}MB {told / taken:6.2f}",
                    flush=True,
                )


def one(folder: Path, base: str, flags: list[str]) -> tuple[int, int]:
    """Estimated and measured bytes of a run of three steps."""
    command = [*ADAPTER_HUB, "train", "a", "--base", base, "--steps", "3", "--samples", "0"]
    command += [] if "--data" in flags else ["--data", "rows.jsonl"]
    command += [] if "--dtype" in flags else ["--dtype", "float32"]
    told = subprocess.run(
        [*command, *flags, "--dry-run", "--json"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    process = subprocess.Popen([*command, *flags, "-q"], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{base} {flags} failed")
    (folder / "registry.toml").write_text((folder / "registry.before").read_text())
    return json.loads(told.stdout)["memory_bytes"], usage.ru_maxrss * 1024


def write_registry(folder: Path, names: list[str]) -> None:
    text = "schema = 1\n"
    for name in names:
        source = "plugin:tiny" if name == "tiny" else f"path:{name}"
        text += f'\n[bases.{name}]\nsource = "{source}"\n'
        if name != "tiny":
            save_model(folder / name, SHAPES[name] or {})
    (folder / "registry.toml").write_text(text)
    (folder / "registry.before").write_text(text)
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
    for name, size in (("rows", 60), ("long", 300)):
        rows = [
            {
                "prompt": " ".join(draw.choices(words, k=draw.randint(size // 2, size))),
                "completion": " " + " ".join(draw.choices(words, k=20)),
            }
            for _ in range(64)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines)


def save_model(folder: Path, shape: dict[str, Any]) -> None:
    """A model of random weights with the embedded base's tokenizer and 32,000 tokens."""
    import transformers

    from adapter_hub.loading.bases import base_folder
    from adapter_hub.model import Base, parse_source
    from adapter_hub.plugins import load_catalog

    ends = {"bos_token_id": 0, "eos_token_id": 0, "vocab_size": 32_000}
    heads = shape.get("heads")
    config: Any = (
        transformers.GPT2Config(**shape, **ends)
        if heads is None
        else transformers.LlamaConfig(
            **{key: value for key, value in shape.items() if key != "heads"},
            num_attention_heads=heads, num_key_value_heads=heads // 3, **ends,
        )
    )  # fmt: skip
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tiny = base_folder(Base("tiny", parse_source("plugin:tiny"), None), load_catalog(), Path())
    transformers.AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)


if __name__ == "__main__":
    main()
