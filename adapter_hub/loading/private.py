"""What must never leave this machine with an adapter: its paths and secrets."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from adapter_hub.errors import UsageError

# C:\…, \\server\…, or /… with a second part: "/" alone or a word after it may be anything.
_ABSOLUTE = re.compile(r"([A-Za-z]:[\\/]|\\\\|~[\\/]|/[^/\s]+/)")


def is_path(value: Any) -> bool:
    """Whether a value is an absolute path, or one from somebody's home."""
    return isinstance(value, str) and bool(_ABSOLUTE.match(value))


def without_paths(tokenizer: Mapping[str, Any]) -> bytes | None:
    """A tokenizer's configuration without values that are paths; None where none is.

    transformers writes down where it found the tokenizer, and does without.
    """
    kept = {key: value for key, value in tokenizer.items() if not is_path(value)}
    if kept == tokenizer:
        return None
    return (json.dumps(kept, indent=2, ensure_ascii=False) + "\n").encode()


def refuse_private(name: str, content: Any) -> None:
    """Raises UsageError for a value that is a path or a secret of this machine."""
    token = os.environ.get("HF_TOKEN")
    for key, value in _strings("", content):
        if is_path(value):
            raise UsageError(
                f"{name} would tell a path of this machine: {key} is {value!r}.",
                hint="train it with a relative path, or take the value out",
            )
        if token and token in value:
            raise UsageError(f"{name} would tell your token: {key} holds it.")


def _strings(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every string in a JSON value, with where it is."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for inner, each in value.items():
            yield from _strings(f"{key}.{inner}".lstrip("."), each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(key, each)
