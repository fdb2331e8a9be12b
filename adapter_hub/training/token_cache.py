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
from datetime import date
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

Say = Callable[[str], None]
Encode = Callable[[Path], EncodedData]

FORMAT = 1
"""To be raised by every change of what rows are encoded to."""
SMALL = 100_000
"""Bytes of a file that is encoded sooner than it is looked up."""
_DAY = 86_400.0
_UNUSED, _UNFINISHED = 30 * _DAY, _DAY
"""Seconds after which an entry goes, and what a killed run was writing."""
_ROWS, _TOLD, _WRITING = "rows.arrow", "told.json", ".unfinished-"
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth", ".onnx", ".h5", ".msgpack")
_LARGE = 100 << 20
"""Bytes of a file beside the weights that is told by its marks: no tokenizer's is as large."""
_TAIL = 1 << 20
"""The last bytes of the rows, where Arrow says what lies where."""
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
        self, decides: list[Any], day: str, encode: Encode, scratch: Path, say: Say
    ) -> tuple[EncodedData, bool]:
        """Its rows, encoded as what ``decides`` says, and whether that was done before.

        ``day`` is that of the chat template, see ``template_day``.
        """
        kept = False
        if self._small:
            encoded = encode(scratch)
        else:
            key = entry_key({"file": self.digest, "name": self._path.name, "decides": decides})
            encoded, kept = kept_or_encoded(key, day, encode, scratch, self._unchanged, say)
        return dataclasses.replace(encoded, file=self.digest), kept

    def _now(self) -> tuple[int, ...]:
        found = self._path.stat()
        return (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def _unchanged(self) -> bool:
        """Its bytes are read, too: two changes can be too close for the clock of the disk."""
        try:
            return self._now() == self._mark and file_digest(self._path) == self.digest
        except OSError:
            return False


def tokenizer_digest(folder: Path) -> str:
    """Over every file of a base but its weights: any of them can change what text becomes."""
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.suffix not in _WEIGHTS
    )
    told = [f"{path.relative_to(folder).as_posix()} {_content(path)}" for path in files]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _content(path: Path) -> str:
    found = path.stat()
    if found.st_size <= _LARGE:
        # What cannot be read cannot change what text becomes.
        with contextlib.suppress(OSError):
            return file_digest(path)
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


def template_day(template: Any) -> str:
    """Today, where a chat template asks for the day to write it into conversations; else empty."""
    return date.today().isoformat() if "strftime_now" in str(template) else ""


def entry_key(parts: Mapping[str, Any]) -> str:
    """The name of an entry, from all that decides what is in it but the day."""
    packages = ("transformers", "tokenizers", "datasets", "pyarrow")
    versions = {name: metadata.version(name) for name in packages}
    told = json.dumps({"format": FORMAT, "versions": versions, **parts}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def kept_or_encoded(
    key: str, day: str, encode: Encode, scratch: Path, unchanged: Callable[[], bool], say: Say
) -> tuple[EncodedData, bool]:
    """The entry's rows, and whether they were there; else what ``encode(path)`` makes, kept.

    It is not kept when the file is not ``unchanged()`` by then. Where the cache cannot be written
    the rows go to ``scratch``. Raises what ``encode`` raises.
    """
    try:
        folder = cache_folder() / "encoded" / key
        found = _opened(folder, day)
        if found is not None:
            return found, True
        folder.parent.mkdir(parents=True, exist_ok=True)
        writing = Path(tempfile.mkdtemp(prefix=_WRITING, dir=folder.parent))
    except (OSError, RuntimeError) as error:  # the second for a user without a home
        say(_not_kept(error))
        return encode(scratch), False
    try:
        encoded = _encoded_and_kept(writing, folder, day, encode, unchanged, say)
    except TrainingError as error:
        # The disk of the cache is full, perhaps that of the scratch folder is not.
        say(_not_kept(error.__cause__ or error))
        return encode(scratch), False
    _forget(folder.parent)
    return encoded, False


def _encoded_and_kept(
    writing: Path,
    folder: Path,
    day: str,
    encode: Encode,
    unchanged: Callable[[], bool],
    say: Say,
) -> EncodedData:
    try:
        encoded = encode(writing / _ROWS)
        if unchanged():
            try:
                _keep(writing, folder, day, encoded)
            except (OSError, TypeError, ValueError, RecursionError) as error:
                say(_not_kept(error))
        return encoded
    finally:
        # What is mapped stays readable without its name.
        shutil.rmtree(writing, ignore_errors=True)


def _not_kept(error: BaseException) -> str:
    return f"the encoded rows are not kept for the next run: {error}"


def _keep(writing: Path, folder: Path, day: str, encoded: EncodedData) -> None:
    """Raises OSError; TypeError, ValueError or RecursionError for rows that JSON has no words for."""
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
        "tail": _tail(rows),
        "day": day,
    }
    text = json.dumps(told)
    if _rows_of(json.loads(text)) != encoded.first_rows:
        raise ValueError("JSON changes them")
    with (writing / _TOLD).open("wb") as file:
        file.write(_sealed(text.encode()))
        file.flush()
        os.fsync(file.fileno())
    if folder.exists():  # damaged, of another day, or another process was faster
        shutil.rmtree(folder, ignore_errors=True)
    writing.rename(folder)


def _opened(folder: Path, day: str) -> EncodedData | None:
    """An entry as it was kept; None where there is none, or not the one that was written."""
    rows = folder / _ROWS
    try:
        told = json.loads(_unsealed((folder / _TOLD).read_bytes()))
        if told.pop("mark") != _mark(rows) or told.pop("tail") != _tail(rows):
            return None
        if told.pop("day") != day and told["style"] == "chat":
            return None
        table = pa.ipc.open_file(pa.memory_map(str(rows))).read_all()
        # Reads where rows begin and end, and no token: memory outside of the file is out of reach.
        table.validate(full=True)
        told["first_rows"] = _rows_of(told)
        encoded = EncodedData(table=table, **told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        return None
    with contextlib.suppress(OSError):  # somebody else's cache can be read all the same
        os.utime(folder / _TOLD)
    return encoded


def _sealed(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def _unsealed(content: bytes) -> bytes:
    """Raises ValueError for anything that ``_sealed`` did not write."""
    told = content.partition(b"\n")[2]
    if _sealed(told) != content:
        raise ValueError("damaged")
    return told


def _mark(path: Path) -> list[int]:
    """What changes when somebody writes to the file. A rename leaves it as it is."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(-min(_TAIL, path.stat().st_size), os.SEEK_END)
        return hashlib.sha256(file.read()).hexdigest()


def _forget(parent: Path) -> None:
    """Delete entries that nobody has used for long, and what killed runs were writing."""
    now = time.time()
    with contextlib.suppress(OSError):
        for path in list(parent.iterdir()):
            with contextlib.suppress(OSError):
                age = now - _last_use(path)
                if age > (_UNFINISHED if path.name.startswith(_WRITING) else _UNUSED):
                    shutil.rmtree(path, ignore_errors=True)


def _last_use(path: Path) -> float:
    """Of an entry; of one that is not whole, when it was last written to. Raises OSError."""
    told = path / _TOLD
    touched = [told] if told.is_file() else [path, *path.iterdir()]
    return max(each.stat().st_mtime for each in touched)


def _as_json(row: TrainingRow) -> dict[str, Any]:
    return {"kind": type(row).__name__, **dataclasses.asdict(row)}


def _rows_of(told: Mapping[str, Any]) -> tuple[TrainingRow, ...]:
    return tuple(_from_json(each) for each in told["first_rows"])


def _from_json(told: Mapping[str, Any]) -> TrainingRow:
    content = {key: value for key, value in told.items() if key != "kind"}
    kind = _KINDS[told["kind"]]
    if kind is Chat:
        return Chat(tuple(content["messages"]))
    row: TrainingRow = kind(**content)
    return row
