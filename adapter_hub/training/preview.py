"""``data preview``: rows as the model will see them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from adapter_hub.datasets.files import BadRow
from adapter_hub.errors import DataError
from adapter_hub.loading.bases import base_folder, context_length, load_config, load_tokenizer
from adapter_hub.model import Base
from adapter_hub.plugins import Catalog
from adapter_hub.prompts.encode import Encoder, Example
from adapter_hub.prompts.rows import TrainingRow, style_of
from adapter_hub.registry.store import Registry
from adapter_hub.training.data import Encoding
from adapter_hub.training.sources import DataSource, open_rows

SHOWN_BAD_ROWS = 5
STREAM_ROWS = 10_000
"""Of what may be endless, the totals are over so many rows."""


def preview_data(
    registry: Registry,
    base: Base,
    source: DataSource,
    catalog: Catalog,
    shown: int,
    max_length: int,
    train_on: Literal["completion", "all"],
    column_map: Mapping[str, str],
) -> dict[str, Any]:
    """The first rows, token by token, and totals over all rows: of a stream, over its beginning.

    Raises DataError, BaseModelError.
    """
    folder = base_folder(base, catalog, registry.folder)
    tokenizer = load_tokenizer(folder, base.trust_remote_code)
    config = load_config(folder, base.trust_remote_code)
    max_length = min(max_length, context_length(config) or max_length)

    def make_encoder(row: TrainingRow) -> Encoder:
        style = style_of(row, bool(tokenizer.chat_template))
        return Encoder(tokenizer, style, max_length, train_on)

    work = Encoding(None, make_encoder, column_map)
    first: list[dict[str, Any]] = []
    bad_rows: list[BadRow] = []
    lengths: Counter[int] = Counter()  # how many examples are so long: it stays small
    bad = truncated = loss_tokens = 0
    rows = open_rows(source, registry.folder)
    for each in work.run(itertools.islice(rows, STREAM_ROWS if source.is_stream else None)):
        if isinstance(each, BadRow):
            bad += 1
            if len(bad_rows) < SHOWN_BAD_ROWS:
                bad_rows.append(each)
            continue
        example = Example(each["input_ids"], each["loss"], each["full_length"])
        if len(first) < shown:
            first.append(_shown(tokenizer, each["where"], example))
        lengths[len(example.input_ids)] += 1
        truncated += example.full_length > max_length
        loss_tokens += example.loss_tokens
    if work.encoder is None:
        reason = f" ({bad_rows[0].where}: {bad_rows[0].reason})" if bad_rows else ""
        raise DataError(f"{source} has no usable row{reason}.")
    return {
        "data": source.name,
        "base": base.name,
        "style": work.encoder.style,
        "max_length": max_length,
        "rows": work.rows,
        "whole": next(rows, None) is None,
        "examples": lengths.total(),
        "tokens": sum(length * count for length, count in lengths.items()),
        "loss_tokens": loss_tokens,
        "lengths": {
            "min": min(lengths),
            "median": _median(lengths),
            "max": max(lengths),
        },
        "truncated": truncated,
        "bad": bad,
        "bad_rows": [{"where": each.where, "reason": each.reason} for each in bad_rows],
        "first": first,
    }


def _median(lengths: Counter[int]) -> int:
    """The middle one; between two in the middle, the lower one."""
    passed, middle = 0, (lengths.total() + 1) // 2
    for length in sorted(lengths):
        passed += lengths[length]
        if passed >= middle:
            return length
    raise ValueError("there are no lengths")


def _shown(tokenizer: Any, where: str, example: Example) -> dict[str, Any]:
    """One example: its counts, its ids, and its text in pieces with and without loss."""
    pairs = list(zip(example.input_ids, example.loss, strict=True))
    pieces = [
        {
            "loss": loss,
            "text": tokenizer.decode([token for token, _ in group], skip_special_tokens=False),
        }
        for loss, group in itertools.groupby(pairs, key=lambda pair: pair[1])
    ]
    return {
        "where": where,
        "tokens": len(example.input_ids),
        "loss_tokens": example.loss_tokens,
        "full_length": example.full_length,
        "input_ids": example.input_ids,
        "pieces": pieces,
    }
