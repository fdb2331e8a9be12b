"""Runs of three methods in a process of their own: ``python runs.py FOLDER whole|killed|resumed``.

A killed run saves its state after five of ten steps and gets SIGKILL, by itself, after seven.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"lora_dropout": 0.2, "target_modules": "all-linear"},
    "ia3": {},
    "prompt_tuning": {"num_virtual_tokens": 4},
}


def catalog() -> Any:
    from adapter_hub.hookspecs import hookimpl
    from adapter_hub.plugins import load_catalog

    def register_methods(register: Any) -> None:
        register("ia3", "peft:IA3Config", peft_type="IA3")
        register("prompt_tuning", "peft:PromptTuningConfig", peft_type="PROMPT_TUNING")

    module = ModuleType("methods")
    module.register_methods = hookimpl(register_methods)  # type: ignore[attr-defined]
    loaded = load_catalog()
    loaded.add_plugin(module, "methods", "methods", "1")
    return loaded


def run(folder: Path, method: str, how: str) -> None:
    from adapter_hub.registry.store import Registry
    from adapter_hub.training.plan import Changes
    from adapter_hub.training.run_options import RunOptions
    from adapter_hub.training.train import train

    def on_step(progress: Any, _steps: int) -> None:
        if how == "killed" and progress.step == 7:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = {"steps": 10, "learning_rate": 0.01, "max_length": 64, "batch_size": 4, "seed": 3}
    changes = Changes(
        base="llama", method=method, options=METHODS[method], data="rows.jsonl", training=settings
    )
    train(
        method.replace("_", "-"),
        changes,
        registry=Registry.open(folder),
        catalog=catalog(),
        resume=how == "resumed",
        run_options=RunOptions(samples=0, save_every=5),
        on_step=on_step,
    )


def main() -> None:
    folder, how = Path(sys.argv[1]), sys.argv[2]
    warnings.simplefilter("ignore")
    import adapter_hub.training.loop  # so that the children need not import torch again

    assert adapter_hub.training.loop
    for method in METHODS:
        if how != "killed" or not (child := os.fork()):
            run(folder, method, how)
        else:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


if __name__ == "__main__":
    main()
