"""The user's cache, and bases that are made in it once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from adapter_hub.errors import BaseModelError


def cache_folder() -> Path:
    """Where adapter-hub keeps what can be made again.

    ``$ADAPTER_HUB_CACHE``, else ``$XDG_CACHE_HOME/adapter-hub``, else ``~/.cache/adapter-hub``.
    """
    own = os.environ.get("ADAPTER_HUB_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "adapter-hub"


def built_once(
    name: str,
    build: Callable[[Path], None],
    *,
    is_intact: Callable[[Path], bool] = Path.is_dir,
) -> Path:
    """The folder ``bases/NAME`` of the cache; ``build(folder)`` makes it where it is missing.

    It appears whole or not at all, and of two processes one builds and the other waits. A folder
    of which ``is_intact`` says no is made again. ``name`` should change when ``build`` does.

    Raises BaseModelError when the cache cannot be written, and what ``build`` raises.
    """
    from filelock import FileLock

    folder = cache_folder() / "bases" / name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(folder.name + ".lock")):
            if not is_intact(folder):
                _build(build, folder)
    except OSError as error:
        raise BaseModelError(
            f"base {name} cannot be written into the cache {folder.parent}: "
            f"{error.strerror or error}.",
            hint="make room on the disk, or set ADAPTER_HUB_CACHE to another folder",
        ) from error
    return folder


def _build(build: Callable[[Path], None], folder: Path) -> None:
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as unfinished:
        built = Path(unfinished) / "model"
        built.mkdir()
        build(built)
        for path in built.rglob("*"):
            if path.is_file():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
        if folder.exists():  # damaged
            shutil.rmtree(folder)
        built.rename(folder)
