"""``train --dry-run``: what a run would take, without loading weights or writing a file."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.training.memory import Widest, peak_bytes
from adapter_hub.training.plan import Changes, make_plan
from adapter_hub.training.prepare import Job, prepare
from adapter_hub.training.start import Start

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Estimate:
    """Of one run. Parameters are None for a method that needs the weights to be counted.

    Memory is None where a step cannot be tried without weights.
    """

    name: str
    recipe: dict[str, Any]
    rows: int
    examples: int
    held_out: int
    skipped: int
    truncated: int
    trainable_parameters: int | None
    total_parameters: int | None
    steps: int
    tokens: int
    loss_tokens: int
    dtype: str
    memory_bytes: int | None
    seconds: float


def estimate(
    name: str,
    changes: Changes | None = None,
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    start: Start | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Estimate:
    """Check and measure everything about a run but the run itself. Raises what ``train`` raises."""
    from adapter_hub.loading.dtype import choose_dtype
    from adapter_hub.training.plan import resolved

    registry = registry or Registry.open()
    catalog = catalog or load_catalog()
    plan = make_plan(registry, name, changes or Changes(), catalog, start)
    with tempfile.TemporaryDirectory(prefix="adapter-hub-", ignore_cleanup_errors=True) as scratch:
        job = prepare(plan, registry, catalog, Path(scratch), say)
        dtype, _ = choose_dtype(plan.recipe.training.dtype)
        tokens, loss_tokens, widest = _count_tokens(job)
        trainable, total = job.parameters or (None, None)
        parameters = total or _base_parameters(job.base_folder)
        return Estimate(
            name=name,
            recipe=resolved(plan.recipe, plan.base),
            rows=job.data.rows,
            examples=len(job.examples),
            held_out=len(job.held_out or ()),
            skipped=job.data.skipped,
            truncated=job.data.truncated,
            trainable_parameters=trainable,
            total_parameters=total,
            steps=job.steps,
            tokens=tokens,
            loss_tokens=loss_tokens,
            dtype=str(dtype).removeprefix("torch."),
            memory_bytes=peak_bytes(
                job.model_config,
                job.peft_config,
                plan.recipe.training,
                dtype,
                widest,
                job.base_folder,
                plan.base.trust_remote_code,
            ),
            seconds=_seconds(job, parameters, dtype, tokens, loss_tokens),
        )


def _count_tokens(job: Job) -> tuple[int, int, Widest]:
    """Tokens and loss tokens of the whole run, and the batch with the most padded tokens."""
    from adapter_hub.training.batches import collate
    from adapter_hub.training.packed_rows import pack

    tokens = loss_tokens = 0
    widest: list[int] = []
    most = (0, 0)
    for step in range(job.steps):
        for indices in job.schedule.step(step):
            lengths = job.examples.lengths[indices]
            learned = int(job.examples.loss_tokens[indices].sum())
            tokens += int(lengths.sum())
            loss_tokens += learned
            size = (len(indices) * int(lengths.max()), learned)
            if size > most:
                most, widest = size, indices
    batch = collate(job.examples, widest, job.tokenizer.pad_token_id)
    rows, length = batch.input_ids.shape
    packed = pack(batch).input_ids.shape[1]
    return tokens, loss_tokens, Widest(rows, length, most[1], packed)


def _seconds(job: Job, parameters: int, dtype: torch.dtype, tokens: int, loss_tokens: int) -> float:
    """FLOPs over the measured speed of a matrix product: 4 per frozen weight and token used.

    2 in the forward pass and 2 for the gradient of the input; the head only at loss tokens.
    The rest of a step (norms, softmax, adapters, optimizer) takes about as long again.
    """
    config = job.model_config
    head = getattr(config, "vocab_size", 32000) * getattr(config, "hidden_size", 512)
    tied = getattr(config, "tie_word_embeddings", True)
    layers = max(0, parameters - head * (1 if tied else 2))
    flops = 4.0 * (layers * tokens + head * loss_tokens)
    return 2.0 * flops / _flops_per_second(dtype)


def _flops_per_second(dtype: torch.dtype, rows: int = 1024, width: int = 768) -> float:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    left = torch.randn(rows, width, dtype=dtype, device=device)
    right = torch.randn(width, width, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        (left @ right)[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2.0 * rows * width * width / best


def _base_parameters(folder: Path) -> int:
    import math

    from adapter_hub.loading.identity import safetensors_header, weight_files

    headers = [safetensors_header(path)[0] for path in weight_files(folder)]
    return sum(math.prod(entry["shape"]) for header in headers for entry in header.values())
