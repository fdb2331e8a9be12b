"""A registry whose bases lie beside it, and short real runs in it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

BASES = ("llama", "gpt2", "chatty")
ADAPTER_HUB = [sys.executable, "-m", "adapter_hub"]


def make_workshop(folder: Path, bases: dict[str, Path], *names: str) -> Path:
    """Copies of some bases in ``folder/bases``, a registry that names them so, and rows."""
    text = "schema = 1\n"
    for name in names or BASES:
        shutil.copytree(bases[name], folder / "bases" / name)
        text += f'\n[bases.{name}]\nsource = "path:bases/{name}"\n'
    (folder / "registry.toml").write_text(text, encoding="utf-8")
    write_rows(
        folder / "rows.jsonl",
        [
            {"prompt": f"Q: {n} plus one?\nA:", "completion": f" {n + 1}" + " the cat" * (n % 7)}
            for n in range(40)
        ],
    )
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


def offering(name: str, factory: Any, **about: Any) -> Any:
    """A catalog with a dataset of a plugin in it, registered with ``about``."""
    from adapter_hub.hookspecs import hookimpl
    from adapter_hub.plugins import load_catalog

    def register_datasets(register: Any) -> None:
        register(name, factory, **about)

    module = ModuleType("a_plugin")
    module.register_datasets = hookimpl(register_datasets)  # type: ignore[attr-defined]
    catalog = load_catalog()
    catalog.add_plugin(module, "a_plugin", "a-plugin", "1")
    return catalog


def write_rows(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run_training(folder: Path, name: str = "sums", *, resume: bool = False, **how: Any) -> Any:
    """Train ``name`` on rows for a few steps; ``how`` are Changes, and settings of the training."""
    from adapter_hub.registry.store import Registry
    from adapter_hub.training.plan import Changes
    from adapter_hub.training.train import train

    listeners = {
        key: how.pop(key) for key in ("say", "on_step", "catalog", "restart") if key in how
    }
    changes = {
        key: how.pop(key)
        for key in (
            *("base", "method", "options"),
            *("data", "data_options", "eval_data", "column_map"),
        )
        if key in how
    }
    settings = {"steps": 6, "learning_rate": 0.05, "dtype": "float32", "max_length": 64, **how}
    return train(
        name,
        Changes(**{"base": "llama", "data": "rows.jsonl", **changes}, training=settings),
        registry=Registry.open(folder),
        resume=resume,
        **listeners,
    )


def flip_byte(path: Path, place: int = -5) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)


def edit_json(path: Path, **values: Any) -> None:
    content = {**json.loads(path.read_text(encoding="utf-8")), **values}
    path.write_text(json.dumps(content), encoding="utf-8")
