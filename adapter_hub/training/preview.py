"""``data preview``: rows as the model will see them."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping
from typing import Any, Literal

from adapter_hub.datasets.files import BadRow, SourceRow
from adapter_hub.errors import DataError
from adapter_hub.loading.bases import base_folder, context_length, load_config, load_tokenizer
from adapter_hub.model import Base
from adapter_hub.plugins import Catalog
from adapter_hub.prompts.encode import Encoder, Example
from adapter_hub.prompts.rows import RowError, read_row, style_of
from adapter_hub.registry.store import Registry
from adapter_hub.training.data import encode_row, open_rows

SHOWN_BAD_ROWS = 5


def preview_data(
    registry: Registry,
    base: Base,
    data: str,
    catalog: Catalog,
    shown: int,
    max_length: int,
    train_on: Literal["completion", "all"],
    column_map: Mapping[str, str],
) -> dict[str, Any]:
    """The first rows, token by token, and totals over all rows. Raises DataError, BaseModelError."""
    folder = base_folder(base, catalog, registry.folder)
    tokenizer = load_tokenizer(folder)
    max_length = min(max_length, context_length(load_config(folder)) or max_length)
    encoder: Encoder | None = None
    first: list[dict[str, Any]] = []
    bad: list[BadRow] = []
    lengths: list[int] = []
    rows = truncated = loss_tokens = 0
    for source in open_rows(data, registry.folder, catalog):
        rows += 1
        try:
            if isinstance(source, BadRow):
                raise RowError(source.reason)
            row = read_row(source.row, column_map)
            style = style_of(row, bool(tokenizer.chat_template))
            fitting = encoder or Encoder(tokenizer, style, max_length, train_on)
            examples = encode_row(row, fitting)
            encoder = fitting
        except RowError as error:
            bad.append(BadRow(source.where, str(error)))
            continue
        if len(first) < shown:
            first += [_shown(tokenizer, source, example) for example in examples]
        lengths += [len(example.input_ids) for example in examples]
        truncated += sum(example.full_length > max_length for example in examples)
        loss_tokens += sum(example.loss_tokens for example in examples)
    if encoder is None:
        reason = f" ({bad[0].where}: {bad[0].reason})" if bad else ""
        raise DataError(f"{data} has no usable row{reason}.")
    return {
        "data": data,
        "base": base.name,
        "style": encoder.style,
        "max_length": max_length,
        "rows": rows,
        "examples": len(lengths),
        "tokens": sum(lengths),
        "loss_tokens": loss_tokens,
        "lengths": {
            "min": min(lengths),
            "median": int(statistics.median(lengths)),
            "max": max(lengths),
        },
        "truncated": truncated,
        "bad": len(bad),
        "bad_rows": [{"where": each.where, "reason": each.reason} for each in bad[:SHOWN_BAD_ROWS]],
        "first": first[:shown],
    }


def _shown(tokenizer: Any, source: SourceRow, example: Example) -> dict[str, Any]:
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
        "where": source.where,
        "tokens": len(example.input_ids),
        "loss_tokens": example.loss_tokens,
        "full_length": example.full_length,
        "input_ids": example.input_ids,
        "pieces": pieces,
    }
