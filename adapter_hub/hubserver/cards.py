"""Model cards: the metadata at their head, and the text; and what lists can be filtered by."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from adapter_hub.hubserver.records import Commit
from adapter_hub.hubserver.repository import Repository

_LARGEST = 1 << 20
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def read_card(repository: Repository, commit: Commit) -> tuple[dict[str, Any], str]:
    """Metadata and text of README.md; empty where there is none or it is too large."""
    file = commit.tree.get("README.md")
    if file is None or file.size > _LARGEST:
        return {}, ""
    return _read(repository.blobs.path(file.sha256))


@lru_cache(maxsize=256)
def _read(blob: Path) -> tuple[dict[str, Any], str]:
    """A blob never changes."""
    return split(blob.read_text(encoding="utf-8", errors="replace"))


def split(text: str) -> tuple[dict[str, Any], str]:
    """Metadata and the rest; a card whose metadata cannot be read has none."""
    text = text.replace("\r\n", "\n")
    head, end, rest = text.removeprefix("---\n").partition("\n---\n")
    if not text.startswith("---\n") or not end:
        return {}, text
    try:
        return parse(head), rest
    except ValueError:
        return {}, rest


def parse(head: str) -> dict[str, Any]:
    """Raises ValueError with the reason."""
    import yaml

    try:
        # An alias of an alias of an alias makes a small text a huge object.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(head)):
            raise ValueError("The metadata has aliases.")
        told = yaml.safe_load(head)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"The metadata is not YAML: {error}") from None
    if told is None:
        return {}
    if not isinstance(told, dict):
        raise ValueError("The metadata is not a mapping.")
    plain: dict[str, Any] = _plain(told)
    return plain


def _plain(value: Any) -> Any:
    """YAML's dates and other keys, as JSON has them."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value - value != 0:
        return None  # JSON has no infinity and no NaN
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def tags(repository: Repository, commit: Commit) -> list[str]:
    """What lists can be filtered by, from the card; of an adapter also from its configuration.

    As on the Hub, an adapter_config.json makes a repository one of PEFT, and its base model's
    relation ``adapter``, whatever its card leaves out.
    """
    card, _ = read_card(repository, commit)
    bases, relation = _texts(card.get("base_model")), card.get("base_model_relation")
    told = [*_texts(card.get("library_name"))]
    config = commit.tree.get("adapter_config.json")
    if config is not None:
        told = told or ["peft"]
        relation = relation or "adapter"
        bases = bases or _base_of_config(repository.blobs.path(config.sha256), config.size)
    if any(path.endswith(".safetensors") for path in commit.tree):
        told.append("safetensors")
    return list(dict.fromkeys([*told, *_tags(card), *_base_tags(bases, relation)]))


def _tags(card: dict[str, Any]) -> Iterator[str]:
    yield from _texts(card.get("pipeline_tag"))
    yield from _texts(card.get("tags"))
    yield from _texts(card.get("language"))
    for key, prefix in (("license", "license:"), ("datasets", "dataset:")):
        yield from (prefix + each for each in _texts(card.get(key)))


def _base_tags(bases: list[str], relation: Any) -> Iterator[str]:
    for base in bases:
        yield f"base_model:{base}"
        if isinstance(relation, str):
            yield f"base_model:{relation}:{base}"


@lru_cache(maxsize=256)
def _base_of_config(blob: Path, size: int) -> list[str]:
    """The base that an adapter_config.json names, where that is a repository."""
    if size > _LARGEST:
        return []
    try:
        config = json.loads(blob.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return []
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    return [base] if isinstance(base, str) and _REPO.fullmatch(base) else []


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]
