"""What travels of a version, and what must never: paths and secrets of this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adapter_hub.errors import UsageError
from adapter_hub.hub.card import BEGIN
from adapter_hub.loading.folders import ADAPTER_FILES, CONFIG, RECORD, read_record, recorded
from adapter_hub.loading.heads import TOKENIZER_CONFIG
from adapter_hub.loading.identity import read_json
from adapter_hub.loading.private import refuse_private, without_paths
from adapter_hub.loading.recorded import base_of
from adapter_hub.model import Base
from adapter_hub.registry.store import Registry

CARD = "README.md"
CARD_IN_RECORD = "card"
Content = Path | bytes
State = Literal["new", "changed", "same", "removed"]


@dataclass(frozen=True)
class RemoteFile:
    """A file of a commit: its bytes as git names them, and as LFS does where it is kept there."""

    size: int
    blob_id: str
    sha256: str | None = None

    def holds(self, content: Content) -> bool:
        """Whether it has these bytes."""
        if size_of(content) != self.size:
            return False
        if self.sha256:
            return _hash(hashlib.sha256(), content) == self.sha256
        return git_blob_id(content) == self.blob_id


@dataclass(frozen=True)
class FileChange:
    """One line of a push: what becomes of a file, and how many bytes travel for it."""

    path: str
    state: State
    bytes: int


def base_to_name(registry: Registry, folder: Path, base_repo: Base | None) -> Base:
    """The base as everybody can find it.

    Raises UsageError for one that is on this machine only, unless ``base_repo`` says what to write.
    """
    base = base_repo or base_of(read_json(folder / CONFIG), read_record(folder), folder, registry)
    if base.source.kind == "path":
        raise UsageError(
            f"base {base.name!r} exists on this machine only, so nobody could load the adapter.",
            hint="say where it is on the Hub: --base-repo OWNER/NAME",
        )
    return base


def outgoing(folder: Path, base: Base) -> dict[str, Content]:
    """The files that travel, without the card, by name; the base written as others find it.

    Raises UsageError for a configuration or record that names a path of this machine.
    """
    files: dict[str, Content] = {
        name: folder / name for name in ADAPTER_FILES if (folder / name).is_file() and name != CARD
    }
    config, record = read_json(folder / CONFIG), read_record(folder)
    hub = base.source.kind == "hf"
    named = base.source.location if hub else str(base.source)
    revision = base.revision if hub else None
    _rewrite(files, CONFIG, folder, config, base_model_name_or_path=named, revision=revision)
    if record:
        told = {"source": str(base.source), "revision": base.revision}
        tables = {"base": {**recorded(record, "base"), **told}}
        if "recipe" in record:
            tables["recipe"] = {**recorded(record, "recipe"), "base": told}
        _rewrite(files, RECORD, folder, record, **tables, **_own_card(folder))
    if TOKENIZER_CONFIG in files:
        kept = without_paths(read_json(folder / TOKENIZER_CONFIG))
        if kept is not None:
            files[TOKENIZER_CONFIG] = kept
    for name in (CONFIG, RECORD, TOKENIZER_CONFIG):
        if name in files:
            refuse_private(name, json.loads(_bytes(files[name])))
    return files


def _own_card(folder: Path) -> dict[str, str]:
    """The version's README.md, which the pushed card takes the place of, for the record.

    With it ``sync`` makes the version's files again, as they were. A card from a Hub is none.
    """
    try:
        text = (folder / CARD).read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    return {} if BEGIN in text else {CARD_IN_RECORD: text}


def compare(files: Mapping[str, Content], there: Mapping[str, RemoteFile]) -> list[FileChange]:
    """What a push of ``files`` would do to a commit that has ``there``.

    Files of an adapter that this version does not have, such as a tokenizer, would be taken for
    its own, so they go; other files are not ours.
    """
    changes = []
    for name, content in files.items():
        found = there.get(name)
        if found is not None and found.holds(content):
            changes.append(FileChange(name, "same", 0))
        else:
            changes.append(FileChange(name, "changed" if found else "new", size_of(content)))
    gone = [name for name in ADAPTER_FILES if name in there and name not in files]
    return changes + [FileChange(name, "removed", 0) for name in gone]


def size_of(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def git_blob_id(content: Content) -> str:
    """How git names these bytes: sha1 of ``blob SIZE\\0`` and the bytes (git-scm.com, "Git Objects")."""
    return _hash(hashlib.sha1(b"blob %d\0" % size_of(content)), content)


def _hash(digest: Any, content: Content) -> str:
    if isinstance(content, bytes):
        digest.update(content)
    else:
        with content.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return str(digest.hexdigest())


def _bytes(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _rewrite(
    files: dict[str, Content], name: str, folder: Path, old: dict[str, Any], **values: Any
) -> None:
    """Put a changed copy of a JSON file in its place; the file itself where nothing changes."""
    new = {**old, **values}
    if new != old:
        text = json.dumps(new, indent=2, ensure_ascii=False, sort_keys=name == CONFIG)
        files[name] = (text + "\n").encode()
    else:
        files[name] = folder / name
