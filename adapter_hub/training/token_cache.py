"""Encoded rows, kept in the user's cache from one run to the next and mapped into memory.

An entry belongs to one content of a data file and to all that decides what becomes of it. It is a
folder that appears whole or not at all, and can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa

from adapter_hub.bases.cache import cache_folder
from adapter_hub.errors import DataError, TrainingError
from adapter_hub.prompts.rows import Chat, Completion, Instruction, Text, TrainingRow
from adapter_hub.registry.digests import Digests
from adapter_hub.registry.versions import file_digest
from adapter_hub.training.data import EncodedData

FORMAT = 1
"""To be raised by every change of what rows are encoded to."""
SMALL = 100_000
"""Bytes of a file that is encoded sooner than it is looked up."""
_DAY = 86_400.0
_UNUSED, _UNFINISHED = 30 * _DAY, _DAY
"""Seconds after which an entry goes, and what a killed run was writing."""
_ROWS, _TOLD, _WRITING = "rows.arrow", "told.json", ".unfinished-"
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth", ".onnx", ".h5", ".msgpack")
_KINDS = {kind.__name__: kind for kind in (Text, Completion, Instruction, Chat)}


class DataFile:
    """A file of rows, as it is before they are read: what changes meanwhile does not count as read.

    Raises DataError when it cannot be read.
    """

    def __init__(self, path: Path, digests: Digests) -> None:
        self._path = path
        try:
            self._mark = self._now()
            # Of a small file a digest is sooner made than looked up.
            self._small = self._mark[0] <= SMALL
            self.digest = file_digest(path) if self._small else digests.of(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error

    def encoded(
        self, decides: list[Any], encode: Callable[[Path], EncodedData], scratch: Path
    ) -> tuple[EncodedData, bool]:
        """Its rows, encoded as what ``decides`` says, and whether that was done before."""
        kept = False
        if self._small:
            encoded = encode(scratch)
        else:
            key = entry_key({"file": self.digest, "name": self._path.name, "decides": decides})
            encoded, kept = kept_or_encoded(key, encode, scratch, self._unchanged)
        return dataclasses.replace(encoded, file=self.digest), kept

    def _now(self) -> tuple[int, ...]:
        found = self._path.stat()
        return (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def _unchanged(self) -> bool:
        try:
            return self._now() == self._mark
        except OSError:
            return False


def tokenizer_digest(folder: Path) -> str:
    """Over every file of a base but its weights: any of them can change what text becomes."""
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.suffix not in _WEIGHTS
    )
    told = [f"{path.relative_to(folder).as_posix()} {file_digest(path)}" for path in files]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def entry_key(parts: Mapping[str, Any]) -> str:
    """The name of an entry, from all that decides what is in it."""
    packages = ("transformers", "tokenizers", "datasets", "pyarrow")
    versions = {name: metadata.version(name) for name in packages}
    told = json.dumps({"format": FORMAT, "versions": versions, **parts}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def kept_or_encoded(
    key: str, encode: Callable[[Path], EncodedData], scratch: Path, unchanged: Callable[[], bool]
) -> tuple[EncodedData, bool]:
    """The entry's rows, and whether they were there; else what ``encode(path)`` makes, kept.

    It is not kept when the file is not ``unchanged()`` by then. Where the cache cannot be written
    the rows go to ``scratch``. Raises what ``encode`` raises.
    """
    folder = cache_folder() / "encoded" / key
    found = _opened(folder)
    if found is not None:
        return found, True
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        writing = Path(tempfile.mkdtemp(prefix=_WRITING, dir=folder.parent))
    except OSError:
        return encode(scratch), False
    try:
        encoded = encode(writing / _ROWS)
        if unchanged():
            with contextlib.suppress(OSError):
                _keep(writing, folder, encoded)
    except (
        TrainingError
    ):  # the disk of the cache is full, perhaps that of the scratch folder is not
        return encode(scratch), False
    finally:
        # What is mapped stays readable without its name.
        shutil.rmtree(writing, ignore_errors=True)
    _forget(folder.parent)
    return encoded, False


def _keep(writing: Path, folder: Path, encoded: EncodedData) -> None:
    rows = writing / _ROWS
    with rows.open("rb") as file:
        os.fsync(file.fileno())
    told = {
        **{
            name: getattr(encoded, name)
            for name in ("style", "fingerprint", "rows", "skipped", "first_skipped")
        },
        "first_rows": [_as_json(row) for row in encoded.first_rows],
        "mark": _mark(rows),
    }
    with (writing / _TOLD).open("w", encoding="utf-8") as file:
        json.dump(told, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    if folder.exists():  # damaged, or another process was faster
        shutil.rmtree(folder, ignore_errors=True)
    writing.rename(folder)


def _opened(folder: Path) -> EncodedData | None:
    """An entry as it was kept; None where there is none, or not the one that was written."""
    try:
        told = json.loads((folder / _TOLD).read_bytes())
        if told.pop("mark") != _mark(folder / _ROWS):
            return None
        table = pa.ipc.open_file(pa.memory_map(str(folder / _ROWS))).read_all()
        rows = tuple(_from_json(each) for each in told.pop("first_rows"))
        encoded = EncodedData(table=table, first_rows=rows, **told)
        os.utime(folder / _TOLD)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        return None
    return encoded


def _mark(path: Path) -> list[int]:
    """What changes when somebody writes to the file. A rename leaves it as it is."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def _forget(parent: Path) -> None:
    """Delete entries that nobody has used for long, and what killed runs were writing."""
    now = time.time()
    for path in parent.iterdir():
        unfinished = path.name.startswith(_WRITING)
        mark = path if unfinished else path / _TOLD
        with contextlib.suppress(OSError):
            if now - mark.stat().st_mtime > (_UNFINISHED if unfinished else _UNUSED):
                shutil.rmtree(path, ignore_errors=True)


def _as_json(row: TrainingRow) -> dict[str, Any]:
    return {"kind": type(row).__name__, **dataclasses.asdict(row)}


def _from_json(told: dict[str, Any]) -> TrainingRow:
    kind = _KINDS[told.pop("kind")]
    if kind is Chat:
        return Chat(tuple(told["messages"]))
    row: TrainingRow = kind(**told)
    return row
