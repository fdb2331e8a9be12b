"""What makes a base *that* base, read from its files without loading it.

PEFT attaches an adapter to any base whose shapes fit. These digests tell two bases of the same
shape apart, and a damaged one from a sound one.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapter_hub.errors import BaseModelError

SAMPLED_BYTES = 64 << 20
"""Weight bytes that go into the fingerprint, shared evenly among the tensors."""

# Written by whoever saved the model; they say nothing about what it computes.
_VOLATILE_CONFIG_KEYS = (
    "_name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "use_cache",
)
_MAX_HEADER = 100 << 20


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
    names = {
        "config": "configuration",
        "weights": "weights",
        "tokenizer": "tokenizer",
        "chat_template": "chat template",
    }
    now = asdict(found)
    return [names[key] for key in names if recorded.get(key) and recorded[key] != now[key]]


def safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """The JSON header of a safetensors file and the offset of its data.

    The format: 8 bytes little-endian length, that much JSON, then the tensors
    (github.com/huggingface/safetensors, "Format"). Raises BaseModelError when it is not one.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_HEADER:
                raise ValueError("its header is too long")
            content = file.read(length)
        if len(content) < length:
            raise ValueError("it ends inside its header")
        header = json.loads(content)
        if not isinstance(header, dict):
            raise ValueError("its header is not a table")
    except (OSError, ValueError, struct.error) as error:
        raise BaseModelError(f"{path} is not a safetensors file: {error}.") from None
    header.pop("__metadata__", None)
    return header, 8 + length


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder, by name."""
    return sorted(
        path for path in folder.glob("*.safetensors") if not path.name.startswith("adapter_")
    )


def _weights_fingerprint(folder: Path) -> str:
    """sha256 over every tensor's name, type and shape, and the first bytes of each."""
    files = [(path, *safetensors_header(path)) for path in weight_files(folder)]
    count = sum(len(header) for _, header, _ in files)
    if not count:
        return ""
    digest = hashlib.sha256()
    for name, kind, shape, sample in sorted(_samples(files, SAMPLED_BYTES // count)):
        digest.update(json.dumps([name, kind, shape]).encode())
        digest.update(sample)
    return f"sha256:{digest.hexdigest()}"


def _samples(
    files: list[tuple[Path, dict[str, Any], int]], budget: int
) -> Iterator[tuple[str, str, list[int], bytes]]:
    for path, header, data_start in files:
        try:
            with path.open("rb") as file:
                for name, entry in header.items():
                    start, end = entry["data_offsets"]
                    file.seek(data_start + end - 1 if end > start else data_start)
                    if end > start and not file.read(1):
                        raise ValueError(f"it ends before {name} does")
                    file.seek(data_start + start)
                    sample = hashlib.sha256(file.read(min(end - start, budget))).digest()
                    yield name, entry["dtype"], entry["shape"], sample
        except (OSError, KeyError, TypeError, ValueError) as error:
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
    except ValueError as error:
        raise BaseModelError(f"{path} is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise BaseModelError(f"{path} is not a JSON object.")
    return content
