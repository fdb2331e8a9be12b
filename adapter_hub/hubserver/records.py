"""What a repository consists of, and its form as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Literal

from adapter_hub.hubserver.blobs import git_hash

RepoType = Literal["model", "dataset"]

LARGE = 1 << 20
_BINARY = (
    ".7z .arrow .bin .bz2 .ckpt .ftz .gguf .gif .gz .h5 .jpeg .jpg .joblib .mlmodel .model "
    ".msgpack .npy .npz .onnx .ot .parquet .pb .pdf .pickle .pkl .png .pt .pth .rar .safetensors "
    ".tar .tflite .tgz .wasm .webp .xz .zip .zst"
)
BINARY = frozenset(_BINARY.split())
"""Files of these kinds are described as LFS whatever their size, as on the Hub."""


def is_lfs(path: str, size: int) -> bool:
    return size >= LARGE or (size > 0 and PurePosixPath(path).suffix.lower() in BINARY)


@dataclass(frozen=True)
class File:
    """``git`` is the git id of the content itself, also of a file that is described as LFS."""

    sha256: str
    size: int
    git: str
    lfs: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git

    @cached_property
    def pointer(self) -> bytes:
        """What git would store in place of a file that is LFS."""
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\n"
            f"size {self.size}\n"
        ).encode()

    @property
    def blob_id(self) -> str:
        """The id of what git would store."""
        if not self.lfs:
            return self.git
        digest = git_hash(len(self.pointer))
        digest.update(self.pointer)
        return digest.hexdigest()


Tree = Mapping[str, File]


@dataclass(frozen=True)
class Commit:
    id: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    tree: Tree

    @classmethod
    def make(
        cls, parent: str | None, title: str, message: str, author: str, date: str, tree: Tree
    ) -> Commit:
        """A commit whose id is the digest of everything in it."""
        unnamed = cls("", parent, title, message, author, date, dict(sorted(tree.items())))
        digest = hashlib.sha1(unnamed.to_json(), usedforsecurity=False).hexdigest()
        return cls(digest, parent, title, message, author, date, unnamed.tree)

    def to_json(self) -> bytes:
        """Without the id, which is the file's name."""
        fields = {
            "parent": self.parent,
            "title": self.title,
            "message": self.message,
            "author": self.author,
            "date": self.date,
            "tree": {
                path: {"sha256": file.sha256, "size": file.size, "git": file.git, "lfs": file.lfs}
                for path, file in self.tree.items()
            },
        }
        return json.dumps(fields, ensure_ascii=False, sort_keys=True).encode()

    @classmethod
    def from_json(cls, id: str, content: bytes) -> Commit:
        fields = json.loads(content)
        tree = {path: File(**file) for path, file in fields.pop("tree").items()}
        return cls(id=id, tree=tree, **fields)


@dataclass
class Discussion:
    """A pull request has ``base``, the commit of main that it started from."""

    num: int
    title: str
    author: str
    created: str
    status: str = "open"
    base: str | None = None
    merged: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class State:
    """Everything in a repository that can change. One file, replaced in one step.

    The ``id`` is not in the file: it is where the file lies, also after a move.
    """

    id: str
    type: RepoType
    created: str
    private: bool = False
    gated: str | bool = False
    refs: dict[str, str] = field(default_factory=dict)
    tag_messages: dict[str, str] = field(default_factory=dict)
    discussions: list[Discussion] = field(default_factory=list)

    def to_json(self) -> bytes:
        fields = asdict(self)
        del fields["id"]
        return json.dumps(fields, ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_json(cls, id: str, content: bytes) -> State:
        fields = json.loads(content)
        fields["discussions"] = [Discussion(**each) for each in fields["discussions"]]
        return cls(id=id, **fields)


def now() -> str:
    """In the one form that clients parse."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
