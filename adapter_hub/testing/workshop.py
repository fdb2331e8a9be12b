"""A registry whose bases lie beside it, and short real runs in it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapter_hub.training.train import TrainResult

BASES = ("llama", "gpt2", "chatty")
SUMS = [
    {"prompt": f"Q: {n} plus one?\nA:", "completion": f" {n + 1}" + " the cat" * (n % 7)}
    for n in range(40)
]


def make_workshop(folder: Path, bases: Mapping[str, Path], *names: str) -> Path:
    """Copies of some ``bases`` in ``folder/bases``, a registry that names them so, and rows.

    ``rows.jsonl`` has forty prompts with completions, ``chats.jsonl`` forty conversations.
    Returns ``folder``.
    """
    text = "schema = 1\n"
    for name in names or BASES:
        shutil.copytree(bases[name], folder / "bases" / name)
        text += f'\n[bases.{name}]\nsource = "path:bases/{name}"\n'
    (folder / "registry.toml").write_text(text, encoding="utf-8")
    write_rows(folder / "rows.jsonl", SUMS)
    write_rows(
        folder / "chats.jsonl",
        [
            {
                "messages": [
                    {"role": "user", "content": f"what is {n}?"},
                    {"role": "assistant", "content": f"it is {n}"},
                ]
            }
            for n in range(40)
        ],
    )
    return folder


def write_rows(path: Path, rows: Iterable[Any]) -> Path:
    """Write a JSON-lines file and return its path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run_training(
    folder: Path, name: str = "sums", *, resume: bool = False, **how: Any
) -> TrainResult:
    """Train the adapter ``name`` of the registry in ``folder`` on its rows, for six steps.

    ``how`` are fields of ``Changes`` (``base``, ``method``, ``options``, ``data``, …), settings of
    the training (``steps``, ``learning_rate``, …), and arguments of ``train`` such as ``catalog``.
    No sample answers are made unless ``run_options`` says so: they take longer than the rest.
    Raises what ``train`` raises.
    """
    from adapter_hub.registry.store import Registry
    from adapter_hub.training.plan import Changes
    from adapter_hub.training.run_options import RunOptions
    from adapter_hub.training.train import train

    own = ("say", "on_step", "catalog", "restart", "run_options", "start", "trial", "bench")
    arguments: dict[str, Any] = {"run_options": RunOptions(samples=0)}
    arguments |= {key: how.pop(key) for key in own if key in how}
    fields = {each.name for each in dataclasses.fields(Changes)}
    changes = {key: how.pop(key) for key in fields & how.keys()}
    settings = {"steps": 6, "learning_rate": 0.05, "dtype": "float32", "max_length": 64, **how}
    return train(
        name,
        Changes(**{"base": "llama", "data": "rows.jsonl", **changes}, training=settings),
        registry=Registry.open(folder),
        resume=resume,
        **arguments,
    )
