"""``python -m adapter_hub.loading.unpickle SOURCE TARGET``: pickled tensors as safetensors.

Run in a process of its own, for what others have pickled: torch takes tensors and nothing else
(``weights_only``), and should that ever fail, this process may open no connection, start no program
and write no file but TARGET. Exits with 3 and one line on stderr when the file is refused.
"""

from __future__ import annotations

import re
import sys
from typing import Any

REFUSED = 3
_FORBIDDEN = (
    "ctypes.",
    "os.exec",
    "os.fork",
    "os.kill",
    "os.posix_spawn",
    "os.putenv",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.spawn",
    "os.startfile",
    "os.symlink",
    "os.system",
    "pty.",
    "shutil.",
    "socket.",
    "subprocess.",
    "urllib.",
)


def main(source: str, target: str) -> None:
    import torch
    from safetensors.torch import save_file

    _lock_up(target)
    try:
        found = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        _refuse(_reason(error))
    if not isinstance(found, dict) or not found:
        _refuse("it is not a table of tensors")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            _refuse(f"{str(name)[:80]!r} in it is not a tensor")
    # Each in memory of its own: safetensors stores none twice.
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in found.items()}
    try:
        save_file(tensors, target, metadata={"format": "pt"})
    except Exception as error:
        _refuse(_reason(error))


def _lock_up(target: str) -> None:
    """From here on this process can do nothing but read, and write ``target``. It cannot be undone."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_FORBIDDEN):
            raise PermissionError(f"it tries {event}")
        if event == "open" and arguments[0] != target and _writes(*arguments[1:3]):
            raise PermissionError(f"it tries to write {str(arguments[0])[:80]!r}")

    sys.addaudithook(hook)


def _writes(mode: Any, flags: Any) -> bool:
    """Whether an ``open`` event is for writing; os.open has no mode, and flags instead."""
    import os

    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _reason(error: Exception) -> str:
    text = str(error)
    named = re.search(r"(?i)unsupported (?:global|class):? (?:global )?([\w.]+)", text)
    if named:
        return f"it would call {named[1]}"
    if text.startswith("Weights only load failed"):
        return "it holds something else than tensors"  # torch's text goes on to advise running it
    return next(iter(text.strip().splitlines()), type(error).__name__)[:200]


def _refuse(why: str) -> None:
    print(why, file=sys.stderr)
    sys.exit(REFUSED)


if __name__ == "__main__":
    main(*sys.argv[1:])
