"""``adapters/.runs``: a folder for each run, with its checkpoint and its scratch folder."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from adapter_hub.errors import ConflictError, RegistryError
from adapter_hub.registry.store import Registry
from adapter_hub.training.processes import process_index

CHECKPOINT = "checkpoint.safetensors"


@contextlib.contextmanager
def workspace(registry: Registry, name: str, trial: str = "") -> Iterator[Path]:
    """``adapters/.runs/NAME``, for one run at a time: its checkpoint, and a scratch folder.

    ``trial`` tells the trials of a sweep apart: they may run beside each other. Yields the folder;
    the scratch folder in it is gone afterwards, the checkpoint stays.
    """
    from filelock import FileLock, Timeout

    # No adapter's name has a plus in it.
    folder = registry.folder / "adapters" / ".runs" / (f"{name}+{trial}" if trial else name)
    lock = FileLock(folder / "lock", blocking=False)
    if not os.access(registry.folder, os.W_OK):
        raise RegistryError(f"{registry.folder} cannot be written, so nothing could be registered.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not process_index():
            lock.acquire()
        (folder / scratch_name()).mkdir(exist_ok=True)
    except Timeout:
        raise ConflictError(
            f"{name!r} is being trained by another process.",
            hint="wait for it, or train under another name",
        ) from None
    except OSError as error:
        raise RegistryError(f"{folder} cannot be written: {error.strerror or error}.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder / scratch_name(), ignore_errors=True)
        lock.release()
        if trial and not (folder / CHECKPOINT).exists():
            shutil.rmtree(folder, ignore_errors=True)


def scratch_name() -> str:
    """Each process encodes the rows for itself: several machines may share no disk cache."""
    return f"scratch-{process_index()}"
