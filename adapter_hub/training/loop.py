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
from adapter_hub.loading.memory import memory_shortage
from adapter_hub.model import TrainingSettings
from adapter_hub.training import checkpoint
from adapter_hub.training.batches import Batch, Schedule, collate, in_order
from adapter_hub.training.checkpoint import Progress
from adapter_hub.training.data import Examples
from adapter_hub.training.fused_lora import FusedLora
from adapter_hub.training.loss import LossHead
from adapter_hub.training.processes import prepared, reshard, summed

if TYPE_CHECKING:
    from accelerate import Accelerator

    from adapter_hub.hookspecs import TrainHooks

CHECKPOINT_SECONDS = 30.0
"""A killed run loses at most this much work."""


@dataclass(frozen=True)
class Run:
    """Everything the loop works on. Of several processes, the first writes ``checkpoint``."""

    name: str
    method: str
    hooks: TrainHooks
    model: Any
    accelerator: Accelerator
    examples: Examples
    held_out: Examples | None
    settings: TrainingSettings
    steps: int
    schedule: Schedule
    pad_id: int
    checkpoint: Path
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
    model, optimizer = prepared(run.accelerator, run.model, optimizer)
    head = LossHead(run.model, model)
    # Shards come together for PEFT's own modules, in their own forward pass.
    fused = None if run.accelerator.is_fsdp2 else FusedLora(run.model)
    progress = _start(run, resume, model, optimizer, head)
    saved = time.monotonic()
    try:
        with _stop_requests() as stop_requested:
            while progress.step < run.steps:
                _step(run, model, optimizer, head, progress)
                on_step(progress, run.steps)
                finished = progress.step == run.steps
                due = (
                    run.accelerator.is_main_process
                    and time.monotonic() - saved > CHECKPOINT_SECONDS
                )
                stop, due = map(bool, summed(run.accelerator, stop_requested(), due))
                if stop or due or finished:
                    _save(run, progress, optimizer)
                    saved = time.monotonic()
                if stop and not finished:
                    raise _interrupted(run, f"stopped after step {progress.step} of {run.steps}")
        if run.held_out is not None and not _evaluated_at(progress, progress.step):
            loss = evaluate(run, head, run.held_out)
            progress.evaluations.append({"step": progress.step, "loss": loss})
    except KeyboardInterrupt:
        if run.checkpoint.is_file():
            raise _interrupted(run, "interrupted") from None
        raise
    finally:
        head.detach()
        if fused is not None:
            fused.detach()
    return progress


def _interrupted(run: Run, what: str) -> Interrupted:
    return Interrupted(
        f"{what}; the registry is as it was.",
        hint=f"adapter-hub train {run.name} --resume, with the same flags",
    )


def evaluate(run: Run, head: LossHead, examples: Examples) -> float:
    """Mean loss over all loss tokens of ``examples``, in nats a token. Raises TrainingError."""
    training = run.model.training
    run.model.eval()
    total = 0.0
    with torch.no_grad():
        for indices in _shared_out(run, in_order(examples, run.settings.batch_size)):
            # Sharded models need every process at every forward pass; an idle one goes along.
            batch = collate(examples, indices or [0], run.pad_id, run.accelerator.device)
            with _memory(batch):
                total += head.sum_loss(batch).item() * bool(indices)
    reshard(run.accelerator, run.model)
    run.model.train(training)
    (total,) = summed(run.accelerator, total)
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
    if resume:
        progress, extra = checkpoint.restore(run.checkpoint, run.model, optimizer)
        run.hooks.restore(run.model, extra)
        return progress
    progress = Progress()
    if run.held_out is not None:
        with _without_adapter(run.model):
            progress.base_eval_loss = evaluate(run, head, run.held_out)
        progress.evaluations.append({"step": 0, "loss": progress.base_eval_loss})
    return progress


def _step(
    run: Run, model: Any, optimizer: torch.optim.Optimizer, head: LossHead, progress: Progress
) -> None:
    """One optimizer step: gradients of the summed loss, divided by all its loss tokens."""
    started = time.perf_counter()
    settings, accelerator = run.settings, run.accelerator
    _seed(run, progress.step)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(settings, progress.step, run.steps)
    all_batches = run.schedule.step(progress.step)
    loss_tokens = sum(int(run.examples.loss_tokens[indices].sum()) for indices in all_batches)
    total = 0.0
    mine = _shared_out(run, all_batches)
    for number, indices in enumerate(mine, 1):
        batch = collate(run.examples, indices, run.pad_id, accelerator.device)
        last = number == len(mine)
        with _memory(batch), contextlib.nullcontext() if last else accelerator.no_sync(model):
            loss = head.sum_loss(batch)
            total += _finite(run, loss, batch, progress.step)
            # Processes average their gradients; the loss is a sum over all of them.
            loss = loss * (accelerator.num_processes / loss_tokens)
            extra = run.hooks.loss(run.model) if last else None
            accelerator.backward(loss if extra is None else loss + extra)
    if settings.max_grad_norm:
        accelerator.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
    optimizer.step()
    run.hooks.after_step(run.model, progress.step + 1)
    optimizer.zero_grad(set_to_none=True)
    (total,) = summed(accelerator, total)
    progress.step += 1
    progress.tokens += sum(int(run.examples.lengths[indices].sum()) for indices in all_batches)
    progress.loss_tokens += loss_tokens
    progress.seconds += time.perf_counter() - started
    progress.history.append({"loss": total / loss_tokens, "loss_tokens": loss_tokens})


def _seed(run: Run, step: int) -> None:
    """Make every draw of a step, such as dropout's, follow from seed, step and process alone."""
    draw = step * run.accelerator.num_processes + run.accelerator.process_index
    torch.manual_seed((run.settings.seed * 1_000_003 + draw + 1) % 2**63)


def _shared_out(run: Run, batches: list[list[int]]) -> list[list[int]]:
    """This process's batches; empty ones at the end where others have one more."""
    processes = run.accelerator.num_processes
    padded = batches + [[]] * (-len(batches) % processes)
    return padded[run.accelerator.process_index :: processes]


def _finite(run: Run, loss: torch.Tensor, batch: Batch, step: int) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss became {value} at step {step + 1} with method {run.method!r}, "
            f"on {', '.join(batch.where)}.",
            hint="try a lower --learning-rate, --dtype float32, or look at those rows",
        )
    return value


def _memory(batch: Batch) -> contextlib.AbstractContextManager[None]:
    rows, length = batch.input_ids.shape
    return memory_shortage(
        f"a batch of {rows} rows of {length} tokens",
        "try a smaller --batch-size (with --grad-accum for the same step), or --max-length",
    )


def _save(run: Run, progress: Progress, optimizer: Any) -> None:
    """Write a checkpoint, of numbers only. Raises TrainingError."""
    state = checkpoint.collect(run.model, optimizer, run.hooks.state(run.model))
    for name, tensor in state.items():
        if name.startswith("weight.") and not torch.isfinite(tensor).all():
            raise TrainingError(
                f"the weight {name.removeprefix('weight.')} became infinite or no number by step {progress.step} "
                f"with method {run.method!r}.",
                hint="try a lower --learning-rate or --dtype float32",
            )
    if not run.accelerator.is_main_process:
        return
    try:
        checkpoint.save(run.checkpoint, run.identity, progress, state)
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
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(AttributeError, NotImplementedError):
            stack.enter_context(model.disable_adapter())
        yield


@contextlib.contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C or SIGTERM asks to stop after this step; the second stops at once."""
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    # What was started to ignore them, as by nohup, goes on.
    before = {each: handler for each, handler in before.items() if handler != signal.SIG_IGN}

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
