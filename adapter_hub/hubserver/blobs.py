"""Content by its sha256: written under a temporary name, made durable, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path
from types import TracebackType

from adapter_hub.registry.atomic import sync_folder

_PIECE = 1 << 20


class Incoming:
    """Content on its way in. ``keep`` makes it a blob; otherwise it leaves no trace."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._path = blobs.temporary / secrets.token_hex(16)
        self._file = self._path.open("xb")
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._sha256.update(piece)
        self.size += len(piece)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def keep(self) -> str:
        """Make it durable under its digest, and return that."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        target = self._blobs.path(self.sha256)
        if not target.parent.exists():
            target.parent.mkdir(exist_ok=True)
            sync_folder(target.parent.parent)
        os.replace(self._path, target)
        sync_folder(target.parent)
        return self.sha256

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


class Blobs:
    """The blobs of one repository. ``temporary`` is a folder of the same file system."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.folder = folder
        self.temporary = temporary

    def path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def size(self, sha256: str) -> int | None:
        """None where there is no such blob."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def renew(self, sha256: str) -> None:
        """Let it count as new: a commit that names it is announced."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path(sha256))

    def incoming(self) -> Incoming:
        return Incoming(self)

    def add(self, content: bytes) -> str:
        """Store what is in memory already; returns its sha256."""
        with self.incoming() as incoming:
            incoming.write(content)
            return incoming.keep()

    def git_id(self, sha256: str) -> str:
        """The id that git gives to this content. Reads it once."""
        path = self.path(sha256)
        digest = git_hash(path.stat().st_size)
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        return digest.hexdigest()


def git_hash(size: int) -> hashlib._Hash:
    """git's digest of a blob of this size, before its content."""
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
