"""What the headers alone tell of an adapter and of a base: names and shapes, no weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapter_hub.errors import BaseModelError
from adapter_hub.loading.folders import CONFIG, WEIGHTS
from adapter_hub.loading.identity import read_json, safetensors_header, weight_files

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
"""PEFT looks for this one to decide whether an adapter brings a tokenizer of its own."""


@dataclass(frozen=True)
class AdapterHead:
    """An adapter's configuration, and the shapes of its weights by name.

    ``count_tokens`` says how many tokens the adapter's own tokenizer has: 0 when it brings none,
    None when that cannot be told.
    """

    config: Mapping[str, Any]
    tensors: Shapes
    count_tokens: Callable[[], int | None] = field(default=lambda: 0)


@dataclass(frozen=True)
class BaseHead:
    """A base's configuration, and the shapes of its weights by name, of all its files together."""

    config: Mapping[str, Any]
    tensors: Shapes


def adapter_head(folder: Path) -> AdapterHead:
    """The head of the adapter in ``folder``. Raises BaseModelError for files that make no sense."""
    shapes = tensor_shapes(safetensors_header(folder / WEIGHTS)[0], str(folder / WEIGHTS))
    return AdapterHead(read_json(folder / CONFIG), shapes, lambda: count_tokens(folder))


def base_head(folder: Path) -> BaseHead:
    """The head of the base in ``folder``. Raises BaseModelError for files that make no sense."""
    tensors: Shapes = {}
    for path in weight_files(folder):
        tensors.update(tensor_shapes(safetensors_header(path)[0], str(path)))
    return BaseHead(read_json(folder / "config.json"), tensors)


def tensor_shapes(header: Mapping[str, Any], what: str) -> Shapes:
    """The shapes of a safetensors header by name. Raises BaseModelError."""
    shapes: Shapes = {}
    for name, entry in header.items():
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if not isinstance(shape, list) or not all(type(each) is int for each in shape):
            raise BaseModelError(f"{what} is damaged: it gives no shape for {name!r}.")
        shapes[name] = tuple(shape)
    return shapes


def count_tokens(folder: Path) -> int | None:
    """How many tokens the tokenizer in ``folder`` has, as transformers counts them.

    0 without one, None for one without a tokenizer.json. Raises BaseModelError.
    """
    if not (folder / TOKENIZER_CONFIG).is_file():
        return 0
    if not (folder / TOKENIZER).is_file():
        return None
    return tokens_of(read_json(folder / TOKENIZER), read_json(folder / TOKENIZER_CONFIG))


def tokens_of(tokenizer: Mapping[str, Any], config: Mapping[str, Any]) -> int:
    """The distinct tokens of a tokenizer.json, and those that its configuration adds."""
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, (dict, list)):
        vocabulary = []
    # Unigram has a list of [token, score], the others a table.
    tokens = {str(each[0]) if isinstance(each, list) and each else str(each) for each in vocabulary}
    listed = tokenizer.get("added_tokens")
    added = list(listed) if isinstance(listed, list) else []
    table = config.get("added_tokens_decoder")
    added += table.values() if isinstance(table, dict) else ()
    added += [value for key, value in config.items() if key.endswith("_token")]
    for each in added:
        content = each.get("content") if isinstance(each, dict) else each
        if isinstance(content, str):
            tokens.add(content)
    return len(tokens)


def parse_json(content: bytes, what: str) -> dict[str, Any]:
    """A JSON object from bytes. Raises BaseModelError."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BaseModelError(f"{what} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise BaseModelError(f"{what} is not a JSON object.")
    return value
