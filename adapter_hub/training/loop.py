"""The training loop: steps, loss, schedule, checkpoints, evaluation."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from adapter_hub.errors import Interrupted, TrainingError
from adapter_hub.model import TrainingSettings
from adapter_hub.training import checkpoint
from adapter_hub.training.batches import Batch, Schedule, collate, in_order
from adapter_hub.training.checkpoint import Progress
from adapter_hub.training.data import Examples
from adapter_hub.training.loss import LossHead

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINT_SECONDS = 30.0
"""A killed run loses at most this much work."""


@dataclass(frozen=True)
class Run:
    """Everything the loop works on. ``checkpoint`` is None where this process writes none."""

    name: str
    method: str
    model: Any
    accelerator: Accelerator
    examples: Examples
    held_out: Examples | None
    settings: TrainingSettings
    steps: int
    schedule: Schedule
    pad_id: int
    checkpoint: Path | None
    identity: str


def train_loop(run: Run, resume: bool, on_step: Callable[[Progress, int], None]) -> Progress:
    """Train to the last step. ``on_step(progress, steps)`` is called after each.

    Raises Interrupted once the state is saved, TrainingError at the first loss that is no
    number.
    """
    settings = run.settings
    optimizer = torch.optim.AdamW(
        [each for each in run.model.parameters() if each.requires_grad],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    model, optimizer = run.accelerator.prepare(run.model, optimizer)
    head = LossHead(run.accelerator.unwrap_model(model))
    progress = _start(run, resume, model, optimizer, head)
    saved = time.monotonic()
    try:
        with _stop_requests() as stop_requested:
            while progress.step < run.steps:
                _step(run, model, optimizer, head, progress)
                on_step(progress, run.steps)
                finished = progress.step == run.steps
                if stop_requested() or finished or time.monotonic() - saved > CHECKPOINT_SECONDS:
                    _save(run, progress, model, optimizer)
                    saved = time.monotonic()
                if stop_requested() and not finished:
                    raise Interrupted(
                        f"stopped after step {progress.step} of {run.steps}; the registry is as it was.",
                        hint=f"adapter-hub train {run.name} --resume, with the same flags",
                    )
        if run.held_out is not None and not _evaluated_at(progress, progress.step):
            loss = evaluate(run, head, run.held_out)
            progress.evaluations.append({"step": progress.step, "loss": loss})
    finally:
        head.detach()
    return progress


def evaluate(run: Run, head: LossHead, examples: Examples) -> float:
    """Mean loss over all loss tokens of ``examples``, in nats a token. Raises TrainingError."""
    model = run.accelerator.unwrap_model(run.model)
    training = model.training
    model.eval()
    total = 0.0
    with torch.no_grad():
        for indices in in_order(examples, run.settings.batch_size):
            total += head.sum_loss(
                collate(examples, indices, run.pad_id, run.accelerator.device)
            ).item()
    model.train(training)
    if not math.isfinite(total):
        raise TrainingError(
            f"the held-out loss is {total} with method {run.method!r}.",
            hint="try a lower --learning-rate or --dtype float32",
        )
    return total / int(examples.loss_tokens.sum())


def learning_rate(settings: TrainingSettings, step: int, steps: int) -> float:
    """The learning rate of ``step`` (from 0): a linear warm-up, then the schedule down to 0."""
    warmup = settings.warmup * steps if settings.warmup < 1 else settings.warmup
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    share = (step - warmup) / max(1.0, steps - warmup)
    factor = {
        "constant": 1.0,
        "linear": 1.0 - share,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * share)),
    }[settings.schedule]
    return settings.learning_rate * factor


def _start(run: Run, resume: bool, model: Any, optimizer: Any, head: LossHead) -> Progress:
    model.train()
    if resume and run.checkpoint is not None:
        return checkpoint.restore(run.checkpoint, model, optimizer)
    progress = Progress()
    if run.held_out is not None:
        with _without_adapter(run.accelerator.unwrap_model(model)):
            progress.base_eval_loss = evaluate(run, head, run.held_out)
        progress.evaluations.append({"step": 0, "loss": progress.base_eval_loss})
    return progress


def _step(
    run: Run, model: Any, optimizer: torch.optim.Optimizer, head: LossHead, progress: Progress
) -> None:
    """One optimizer step: gradients of the summed loss, divided by all its loss tokens."""
    started = time.perf_counter()
    settings, accelerator = run.settings, run.accelerator
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(settings, progress.step, run.steps)
    all_batches = run.schedule.step(progress.step)
    loss_tokens = sum(int(run.examples.loss_tokens[indices].sum()) for indices in all_batches)
    total = torch.zeros((), dtype=torch.float64, device=accelerator.device)
    mine = all_batches[accelerator.process_index :: accelerator.num_processes]
    for number, indices in enumerate(mine, 1):
        batch = collate(run.examples, indices, run.pad_id, accelerator.device)
        last = number == len(mine)
        with contextlib.nullcontext() if last else accelerator.no_sync(model):
            loss = head.sum_loss(batch)
            _require_finite(run, loss, batch, progress.step)
            # Processes average their gradients; the loss is a sum over all of them.
            accelerator.backward(loss * (accelerator.num_processes / loss_tokens))
        total += loss.detach()
    if settings.max_grad_norm:
        accelerator.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    total = accelerator.reduce(total, "sum")
    progress.step += 1
    progress.tokens += sum(int(run.examples.lengths[indices].sum()) for indices in all_batches)
    progress.loss_tokens += loss_tokens
    progress.seconds += time.perf_counter() - started
    progress.history.append({"loss": total.item() / loss_tokens, "loss_tokens": loss_tokens})


def _require_finite(run: Run, loss: torch.Tensor, batch: Batch, step: int) -> None:
    if not torch.isfinite(loss):
        raise TrainingError(
            f"the loss became {loss.item()} at step {step + 1} with method {run.method!r}, "
            f"on {', '.join(batch.where)}.",
            hint="try a lower --learning-rate, --dtype float32, or look at those rows",
        )


def _save(run: Run, progress: Progress, model: Any, optimizer: Any) -> None:
    if run.checkpoint is None:
        return
    try:
        checkpoint.save(run.checkpoint, run.identity, progress, model, optimizer)
    except Exception as error:
        raise TrainingError(
            f"the checkpoint of step {progress.step} cannot be written: {error}.",
            hint=f"make room on the disk, then: adapter-hub train {run.name} --resume, with the same flags",
        ) from error


def _evaluated_at(progress: Progress, step: int) -> bool:
    return bool(progress.evaluations) and progress.evaluations[-1]["step"] == step


@contextlib.contextmanager
def _without_adapter(model: Any) -> Iterator[None]:
    """The bare base. A method that cannot be switched off is measured as it starts."""
    try:
        context = model.disable_adapter()
    except (AttributeError, NotImplementedError):
        context = contextlib.nullcontext()
    with context:
        yield


@contextlib.contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C or SIGTERM asks to stop after this step; the second stops at once."""
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def request(number: int, _frame: object) -> None:
        if requested.is_set():
            raise KeyboardInterrupt
        requested.set()

    for each in before:
        signal.signal(each, request)
    try:
        yield requested.is_set
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
