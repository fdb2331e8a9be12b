"""``eval REF… --data D``: how well adapters, or bare bases, predict the answers in some rows."""

from __future__ import annotations

import itertools
import math
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from adapter_hub.datasets.files import BadRow
from adapter_hub.errors import TrainingError, UsageError
from adapter_hub.loading.adapters import Opened, load, open_reference
from adapter_hub.loading.folders import recorded
from adapter_hub.loading.memory import memory_shortage
from adapter_hub.model import DType, Reference, parse_reference
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import record_metrics
from adapter_hub.training.sources import DataSource, find_source, open_rows

if TYPE_CHECKING:
    from adapter_hub.training.data import EncodedData

TrainOn = Literal["completion", "all"]
STREAM_ROWS = 1000
"""Of rows that may have no end so many are read, if nothing else is said."""
_NO_LIMIT = 1 << 40


@dataclass(frozen=True)
class Evaluation:
    """What ``eval --json`` prints of one reference.

    ``loss`` is in nats a token over ``loss_tokens``, ``token_accuracy`` the share of these that the
    model would choose itself. ``exact_match`` is the share of examples whose answer it would write
    token for token, to its end, when it decodes greedily; None for rows that are no answers.
    """

    reference: str
    version: int | None
    digest: str | None
    base: str
    base_revision: str | None
    data: str
    rows: int
    examples: int
    loss_tokens: int
    loss: float
    perplexity: float
    token_accuracy: float
    exact_match: float | None
    seconds: float
    recorded: bool = False


@dataclass(frozen=True)
class Rows:
    """Which rows are asked, and how they are read. ``column_map`` None: as in the training."""

    source: DataSource
    root: Path
    column_map: Mapping[str, str] | None = None
    train_on: TrainOn = "completion"
    limit: int | None = None


def evaluate(
    references: Sequence[str | Reference],
    data: str,
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    data_options: Mapping[str, Any] | None = None,
    column_map: Mapping[str, str] | None = None,
    train_on: TrainOn = "completion",
    limit: int | None = None,
    batch_size: int = 8,
    dtype: DType = "auto",
    record: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> list[Evaluation]:
    """Measure each reference on the rows of ``data``, named as a recipe names it.

    What is measured of a version of the registry is written down with it, unless ``record`` is
    False, as metrics that begin with ``metric_prefix(data)``. Raises UsageError and
    UnknownNameError before anything is loaded; DataError, BaseModelError, IncompatibleError,
    TrainingError, RegistryError.
    """
    from adapter_hub.loading.dtype import choose_dtype

    registry = registry or Registry.open()
    catalog = catalog or load_catalog()
    parsed = [parse_reference(each) if isinstance(each, str) else each for each in references]
    require_known(parsed, registry)
    source = find_source(data, registry.folder, catalog, data_options)
    rows = Rows(source, registry.folder, column_map, train_on, limit)
    chosen, why = choose_dtype(dtype)
    say(f"in {str(chosen).removeprefix('torch.')}: {why}")
    found = []
    for reference in parsed:
        opened = open_reference(reference, registry, catalog)
        measured = _measure(opened, rows, chosen, batch_size)
        if record and reference.kind == "name" and opened.version is not None:
            adapter = registry.adapter(reference.target).name
            record_metrics(registry, adapter, opened.version, as_metrics(measured))
            measured = replace(measured, recorded=True)
        found.append(measured)
    return found


def require_known(references: Iterable[Reference], registry: Registry) -> None:
    """Raises UnknownNameError for the first that the registry should have and has not."""
    for each in references:
        if each.kind == "name":
            registry.resolve(each)
        elif each.kind == "base":
            registry.base(each.target)


def metric_prefix(data: str) -> str:
    """``valid`` for ``rows/valid.jsonl``, ``sql-test`` for ``sql:test``: a word that --where takes."""
    from adapter_hub.datasets.files import is_data_file

    name = data.removeprefix("hf:").rstrip("/").rpartition("/")[2]
    if is_data_file(data) and not data.startswith("hf:"):
        name = Path(data).stem
    word = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "data"
    return word if not word[0].isdigit() else f"_{word}"


def as_metrics(measured: Evaluation) -> dict[str, float]:
    """What the registry keeps of an evaluation."""
    prefix = metric_prefix(measured.data)
    values = {
        "loss": measured.loss,
        "token_accuracy": measured.token_accuracy,
        "exact_match": measured.exact_match,
    }
    return {
        f"{prefix}.{key}": round(value, 4) for key, value in values.items() if value is not None
    }


def _measure(opened: Opened, rows: Rows, dtype: Any, batch_size: int) -> Evaluation:
    model, tokenizer = load(opened, dtype)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="adapter-hub-") as folder:
        encoded = _encode(opened, rows, tokenizer, model.config, Path(folder) / "eval.arrow")
        totals = _totals(model, encoded, tokenizer.pad_token_id, batch_size)
        examples = len(encoded.table)
        row_count, has_answers = encoded.rows, _has_answers(encoded, rows.train_on)
    loss = totals.loss / totals.tokens
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss of {opened.reference} on {rows.source} is {loss}.",
            hint="try --dtype float32",
        )
    return Evaluation(
        reference=str(opened.reference),
        version=opened.version,
        digest=opened.digest,
        base=opened.base.name,
        base_revision=opened.base.revision,
        data=rows.source.name,
        rows=row_count,
        examples=examples,
        loss_tokens=totals.tokens,
        loss=loss,
        perplexity=math.exp(min(loss, 700.0)),
        token_accuracy=totals.right / totals.tokens,
        exact_match=totals.exact / examples if has_answers else None,
        seconds=round(time.perf_counter() - started, 2),
    )


def _encode(
    opened: Opened, rows: Rows, tokenizer: Any, model_config: Any, path: Path
) -> EncodedData:
    from adapter_hub.loading.bases import context_length
    from adapter_hub.prompts.encode import Encoder
    from adapter_hub.prompts.rows import TrainingRow, style_of
    from adapter_hub.training.data import encode_data

    limit = rows.limit or (STREAM_ROWS if rows.source.is_stream else _NO_LIMIT)
    read = itertools.islice(open_rows(rows.source, rows.root), limit)
    first = next(read, None)
    told = itertools.chain([] if first is None else [first], read)
    columns = rows.column_map
    if columns is None:
        row = None if first is None or isinstance(first, BadRow) else first.row
        columns = _recorded_columns(opened.record, row)

    def make_encoder(row: TrainingRow) -> Encoder:
        style = style_of(row, bool(tokenizer.chat_template))
        return Encoder(tokenizer, style, context_length(model_config) or 1 << 30, rows.train_on)

    return encode_data(
        rows.source.name,
        told,
        None,
        make_encoder,
        column_map=columns,
        skip_bad=False,
        path=path,
    )


def _recorded_columns(record: dict[str, Any], row: Any) -> dict[str, str]:
    """The column map of the training, where the rows have the columns that it renames."""
    columns = recorded(recorded(record, "recipe"), "column_map")
    fits = isinstance(row, Mapping) and all(column in row for column in columns)
    return {column: str(name) for column, name in columns.items()} if fits else {}


def _has_answers(encoded: EncodedData, train_on: TrainOn) -> bool:
    from adapter_hub.prompts.rows import Text

    return train_on == "completion" and not isinstance(encoded.first_rows[0], Text)


@dataclass
class _Totals:
    """Over all examples: nats, loss tokens, those that are right, and examples without a wrong one."""

    loss: float = 0.0
    tokens: int = 0
    right: int = 0
    exact: int = 0


def _totals(model: Any, encoded: EncodedData, pad_id: int, batch_size: int) -> _Totals:
    import torch
    import torch.nn.functional as F

    from adapter_hub.training.batches import collate, in_order
    from adapter_hub.training.data import Examples
    from adapter_hub.training.loss import LossHead

    examples, totals = Examples(encoded.table), _Totals()
    head = LossHead(model)
    try:
        for indices in in_order(examples, batch_size):
            batch = collate(examples, indices, pad_id, model.device)
            count, length = batch.input_ids.shape
            shortage = memory_shortage(
                f"a batch of {count} rows of {length} tokens", "try a smaller --batch-size"
            )
            with shortage, torch.inference_mode():
                logits, targets = head.predictions(batch)
                right = logits.argmax(-1) == targets
                totals.loss += F.cross_entropy(logits, targets, reduction="sum").item()
            # Greedy decoding writes an answer exactly when it would choose each of its tokens
            # after those before it: no answer has to be generated to know.
            rows = (batch.loss[:, 1:] & batch.attention_mask[:, 1:]).nonzero()[:, 0]
            wrong = torch.bincount(rows[~right], minlength=count)
            totals.tokens += len(targets)
            totals.right += int(right.sum())
            totals.exact += int((wrong == 0).sum())
    finally:
        head.detach()
    return totals


def held_out_of(reference: Reference, registry: Registry) -> str:
    """The rows that the adapter's recipe holds out by name. Raises UsageError where there are none."""
    if reference.kind == "name":
        named = registry.adapter(reference.target).recipe.eval_data
        if named:
            return named
    raise UsageError(
        f"say on which rows: the recipe of {reference} names none.",
        hint=f"adapter-hub eval {reference} --data FILE",
    )
