"""What makes a base *that* base, read from its files without loading it.

PEFT attaches an adapter to any base whose shapes fit. These digests tell two bases of the same
shape apart, and a damaged one from a sound one.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapter_hub.errors import BaseModelError

SAMPLED_BYTES = 64 << 20
"""The most weight bytes that go into the fingerprint."""
_BLOCK = 16 << 10

# Written by whoever saved the model; they say nothing about what it computes.
_VOLATILE_CONFIG_KEYS = (
    "_name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "use_cache",
)
_MAX_HEADER = 100 << 20
PARTS = {
    "config": "configuration",
    "weights": "weights",
    "tokenizer": "tokenizer",
    "chat_template": "chat template",
}
"""The parts of an identity, as people call them."""


@dataclass(frozen=True)
class BaseIdentity:
    """Digests of a base folder: ``sha256:…`` each, empty where the folder has no such file."""

    config: str
    weights: str
    tokenizer: str
    chat_template: str

    def as_record(self) -> dict[str, str]:
        return {key: value for key, value in asdict(self).items() if value}


def base_identity(folder: Path) -> BaseIdentity:
    """The identity of the base in ``folder``. Raises BaseModelError when files cannot be read."""
    return BaseIdentity(
        config=_config_digest(folder / "config.json"),
        weights=_weights_fingerprint(folder),
        tokenizer=_files_digest(
            folder, "tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model"
        ),
        chat_template=_template_digest(folder),
    )


def differences(recorded: dict[str, str], found: BaseIdentity) -> list[str]:
    """Which parts of a recorded identity the base at hand does not have."""
    now = asdict(found)
    return [PARTS[key] for key in PARTS if recorded.get(key) and recorded[key] != now[key]]


def safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """The JSON header of a safetensors file and the offset of its data.

    Raises BaseModelError when it is not one.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size

            def read(start: int, length: int) -> bytes:
                file.seek(start)
                # Python makes room for all that it is asked for.
                return file.read(max(0, min(length, size - start)))

            return read_header(read, str(path))
    except (OSError, ValueError) as error:  # also a name that no file can have
        raise BaseModelError(f"{path} is not a safetensors file: {error}.") from None


def read_header(read: Callable[[int, int], bytes], what: str) -> tuple[dict[str, Any], int]:
    """``safetensors_header`` of what ``read(start, length)`` gives bytes of, wherever it lies.

    The format: 8 bytes little-endian length, that much JSON, then the tensors
    (github.com/huggingface/safetensors, "Format"). Raises BaseModelError.
    """
    try:
        (length,) = struct.unpack("<Q", read(0, 8))
        if length > _MAX_HEADER:
            raise ValueError("its header is too long")
        content = read(8, length) if length else b""
        if len(content) < length:
            raise ValueError("it ends inside its header")
        header = json.loads(content)
        if not isinstance(header, dict):
            raise ValueError("its header is not a table")
    except (ValueError, RecursionError, struct.error) as error:
        raise BaseModelError(f"{what} is not a safetensors file: {error}.") from None
    header.pop("__metadata__", None)
    return header, 8 + length


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder that transformers loads, by name.

    The one that the configuration names, else ``model.safetensors``, else what its index names:
    other files may lie beside them. Raises BaseModelError.
    """
    config = folder / "config.json"
    named = read_json(config).get("transformers_weights") if config.is_file() else None
    for name in (named, "model.safetensors", "model.safetensors.index.json"):
        if isinstance(name, str) and (folder / name).is_file():
            return _indexed(folder, name) if name.endswith(".json") else [folder / name]
    return []


def _indexed(folder: Path, index: str) -> list[Path]:
    shards = read_json(folder / index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(each, str) for each in shards.values()):
        raise BaseModelError(f"{folder / index} does not map weights to files.")
    return sorted({folder / name for name in shards.values()})


def _weights_fingerprint(folder: Path) -> str:
    """sha256 over every tensor's name, type and shape, and a digest of its bytes.

    All bytes, where the weights have at most SAMPLED_BYTES. Of larger ones each tensor's first
    and last block, and blocks spread evenly between, in proportion to its size: so any
    re-training or re-quantising is seen, and most damage; a single byte between the blocks is
    not. How the tensors are spread over files makes no difference. Registries keep it as a
    base's revision: another definition would be another revision of every base.
    """
    files = [(path, *safetensors_header(path)) for path in weight_files(folder)]
    spans = _Spans([each for _, header, _ in files for each in header.values()])
    digest = hashlib.sha256()
    for name, kind, shape, sample in sorted(_samples(files, spans)):
        digest.update(json.dumps([name, kind, shape]).encode())
        digest.update(sample)
    return f"sha256:{digest.hexdigest()}" if spans.count else ""


class _Spans:
    """Which bytes of a tensor are read, given all tensors of the model."""

    def __init__(self, entries: list[Any]) -> None:
        self.count = len(entries)
        self._total = sum(_size(entry) for entry in entries)
        # At most half of the bytes for the ends of tensors, and half for what is between.
        self._block = max(1, min(_BLOCK, SAMPLED_BYTES // (4 * max(1, self.count))))

    def of(self, size: int) -> list[tuple[int, int]]:
        """(start, length) of each part of a tensor of ``size`` bytes."""
        block = self._block
        between = size * (SAMPLED_BYTES // 2) // max(1, self._total) // block
        if self._total <= SAMPLED_BYTES or size <= (2 + between) * block:
            return [(0, size)]
        last = 1 + between
        return [(step * (size - block) // last, block) for step in range(last + 1)]


def _size(entry: Any) -> int:
    """Bytes of a tensor, 0 where the header makes no sense: reading it will say so."""
    try:
        start, end = entry["data_offsets"]
        return max(0, int(end) - int(start))
    except (KeyError, OverflowError, TypeError, ValueError):
        return 0


def _samples(
    files: list[tuple[Path, dict[str, Any], int]], spans: _Spans
) -> Iterator[tuple[str, str, list[int], bytes]]:
    for path, header, data_start in files:
        try:
            with path.open("rb") as file:
                for name, entry in header.items():
                    start, end = entry["data_offsets"]
                    kind, shape = entry["dtype"], entry["shape"]
                    if type(kind) is not str or not all(type(each) is int for each in shape):
                        raise ValueError(f"{name} has no type or no shape")
                    file.seek(data_start + end - 1 if end > start else data_start)
                    if end > start and not file.read(1):
                        raise ValueError(f"it ends before {name} does")
                    sample = hashlib.sha256()
                    for place, length in spans.of(end - start):
                        file.seek(data_start + start + place)
                        sample.update(file.read(length))
                    yield name, kind, shape, sample.digest()
        except (OSError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise BaseModelError(f"{path} is damaged: {error}.") from None


def _config_digest(path: Path) -> str:
    config = read_json(path)
    for key in _VOLATILE_CONFIG_KEYS:
        config.pop(key, None)
    return _digest(json.dumps(config, sort_keys=True).encode())


def _template_digest(folder: Path) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return _digest(file.read_bytes())
    config = folder / "tokenizer_config.json"
    template = read_json(config).get("chat_template") if config.is_file() else None
    return _digest(json.dumps(template, sort_keys=True).encode()) if template else ""


def _files_digest(folder: Path, *names: str) -> str:
    present = [folder / name for name in names if (folder / name).is_file()]
    return _digest(b"".join(path.read_bytes() for path in present)) if present else ""


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises BaseModelError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BaseModelError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        raise BaseModelError(f"{path} is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise BaseModelError(f"{path} is not a JSON object.")
    return content
