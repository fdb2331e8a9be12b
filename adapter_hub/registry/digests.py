"""Digests of files that were hashed before: ``status`` need not read gigabytes to find no change.

They are kept in ``adapters/.digests.json``, which can be deleted at any time. ``verify`` never
looks there: it reads every byte, and finds also what a failing disk did to a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from adapter_hub.registry.atomic import replace_file
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digest

_FORMAT = 1
_SETTLED_NS = 3_000_000_000
"""Times on disk can be as coarse as two seconds: a younger file could change and look the same."""


class Digests:
    """Digests by path, each good for as long as the file's marks stay what they were.

    The marks are size, times, inode and device. A program can set the time of the last change of
    the content at will, but not the time of the last change of the inode (``st_ctime``), which
    every write moves too. Windows keeps another time there, so files are always read there.
    """

    def __init__(self, registry: Registry) -> None:
        self._file = registry.folder / "adapters" / ".digests.json"
        self._root = f"{registry.folder}{os.sep}"
        self._known = _read(self._file)
        self._used: dict[str, list[Any]] = {}
        self._found: dict[Path, str] = {}
        self._news = False

    def read(self, paths: Iterable[Path]) -> None:
        """Hash those that must be, several at once; ``of`` then gives the digests."""
        # Where registry.toml came with git, none of the files is there: nothing to start threads for.
        new = [path for path in paths if not self._is_kept(path) and os.path.isfile(path)]
        with ThreadPoolExecutor() as pool:
            # Hashing lets go of the interpreter's lock. What cannot be read, `of` says.
            list(pool.map(self._try, new))

    def of(self, path: Path) -> str:
        """``sha256:…`` of the file's bytes. Raises OSError."""
        digest = self._found.get(path)
        if digest is None:
            digest = self._found[path] if self._is_kept(path) else self._hash(path)
        return digest

    def _is_kept(self, path: Path) -> bool:
        key = self._key(path)
        known = self._known.get(key)
        if not isinstance(known, list) or os.name != "posix":
            return False
        try:
            same: bool = known[:-1] == _mark(os.stat(path))
        except OSError:
            return False
        if same:
            self._used[key], self._found[path] = known, str(known[-1])
        return same

    def _hash(self, path: Path) -> str:
        mark, now = _mark(os.stat(path)), time.time_ns()
        digest = self._found[path] = file_digest(path)
        if _mark(os.stat(path)) == mark and max(mark[1:3]) + _SETTLED_NS < now:
            self._used[self._key(path)] = [*mark, digest]
            self._news = True
        return digest

    def _try(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            self._hash(path)

    def _key(self, path: Path) -> str:
        return str(path).removeprefix(self._root)

    def keep(self, *, all_were_asked: bool) -> None:
        """Write down what is new; a folder that cannot be written is no reason to complain.

        What was not asked for goes, when ``all_were_asked``.
        """
        kept = self._used if all_were_asked else {**self._known, **self._used}
        if not self._news or not self._file.parent.is_dir():
            return
        with contextlib.suppress(OSError):
            content = json.dumps({"format": _FORMAT, "files": kept}, separators=(",", ":"))
            replace_file(self._file, content.encode())


def _mark(found: os.stat_result) -> list[int]:
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
        files = content["files"] if content["format"] == _FORMAT else {}
        return files if isinstance(files, dict) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
