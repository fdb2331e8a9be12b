"""Folders: whether they can be written, locked, and have room; what the caches hold."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from adapter_hub.bases.cache import cache_folder
from adapter_hub.doctor.findings import Finding, State, size
from adapter_hub.registry.store import Registry

_LITTLE, _NONE = 2_000_000_000, 100_000_000
_SECONDS = 3.0
"""The longest that files of one cache are counted."""


def lock(registry: Registry) -> Iterator[Finding]:
    """Whether the registry's lock is free, and whether locks exclude where it lies."""
    path = registry.path.with_name(f".{registry.path.name}.lock")
    if path.exists():
        try:
            with FileLock(path, timeout=0.5):
                yield Finding("lock", "ok", f"{path} is free")
        except Timeout:
            text = f"{path} is held by another process"
            yield Finding(
                "lock", "warning", text, f"wait for it to end; which it is: fuser -v {path}"
            )
        except OSError as error:
            text = f"{path} cannot be opened: {error.strerror or error}"
            yield Finding("lock", "problem", text, f"ls -l {path}")
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=registry.folder) as folder:
            excludes = _excludes(Path(folder) / "lock")
    except OSError as error:
        text = f"{registry.folder} cannot be written: {error.strerror or error}"
        yield Finding("lock", "problem", text, f"ls -ld {registry.folder}")
        return
    if excludes:
        yield Finding("lock", "ok", f"{registry.folder} can be written, and locks exclude there")
    else:
        text = f"a lock in {registry.folder} was given twice: its file system has no real locks"
        step = "let one process at a time edit the registry, or move it to another disk"
        yield Finding("lock", "problem", text, step)


def disk(registry: Registry | None) -> Iterator[Finding]:
    """Room where versions are written."""
    folder = registry.folder if registry else Path.cwd()
    free = shutil.disk_usage(folder).free
    yield Finding("disk", _room(free), f"{size(free)} free at {folder}", _make_room(free))


def caches() -> Iterator[Finding]:
    """adapter-hub's and the Hub's client's: size, room, and whether they can be written."""
    from huggingface_hub import constants

    for what, folder in {
        "adapter-hub": cache_folder(),
        "Hub": Path(constants.HF_HUB_CACHE),
    }.items():
        place = next(each for each in (folder, *folder.parents) if each.exists())
        free = shutil.disk_usage(place).free
        told = f"{what}: {folder}, {_held(folder)}, {size(free)} free"
        if not os.access(place, os.W_OK):
            variable = "ADAPTER_HUB_CACHE" if what == "adapter-hub" else "HF_HOME"
            step = f"set {variable} to a folder that you may write to"
            yield Finding("cache", "problem", f"{told}; it cannot be written", step)
        else:
            yield Finding("cache", _room(free), told, _make_room(free))


def _excludes(path: Path) -> bool:
    """Whether a second handle is refused what a first one holds."""
    with FileLock(path, timeout=0):
        try:
            with FileLock(path, timeout=0):
                return False
        except Timeout:
            return True


def _held(folder: Path) -> str:
    """The bytes in a folder; links are not followed, so that nothing counts twice."""
    if not folder.is_dir():
        return "not made yet"
    end, total = time.monotonic() + _SECONDS, 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
        if time.monotonic() > end:
            return f"more than {size(total)}"
    return size(total)


def _room(free: int) -> State:
    return "problem" if free < _NONE else "warning" if free < _LITTLE else "ok"


def _make_room(free: int) -> str | None:
    return None if free >= _LITTLE else "make room on that disk"
