"""The training loop: steps, loss, schedule, checkpoints, evaluation."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from adapter_hub.errors import Interrupted, TrainingError
from adapter_hub.loading.memory import memory_shortage
from adapter_hub.model import TrainingSettings
from adapter_hub.training import checkpoint
from adapter_hub.training.batches import Batch, Schedule, collate, in_order
from adapter_hub.training.build import without_adapter
from adapter_hub.training.data import Examples
from adapter_hub.training.fused_lora import FusedLora
from adapter_hub.training.fused_norm import FusedNorms
from adapter_hub.training.held_out import Best, out_of_patience, steps_between
from adapter_hub.training.learning_rate import learning_rate
from adapter_hub.training.loss import LossHead
from adapter_hub.training.packed_rows import can_pack
from adapter_hub.training.processes import prepared, reshard, summed
from adapter_hub.training.progress import Progress, best_evaluation
from adapter_hub.training.short_attention import ShortAttention
from adapter_hub.training.stopping import stop_requests
from adapter_hub.training.workbench import BareBase

if TYPE_CHECKING:
    from accelerate import Accelerator

    from adapter_hub.hookspecs import TrainHooks

CHECKPOINT_SECONDS = 30.0
"""A killed run loses at most this much work."""


@dataclass(frozen=True)
class Run:
    """Everything the loop works on. Of several processes, the first writes ``checkpoint``.

    Every ``save_every`` steps the state is written, besides every half minute. ``bare`` is what is
    known of the base, and what is found out about it goes there.
    """

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
    bare: BareBase
    save_every: int | None = None


def train_loop(
    run: Run,
    resume: bool,
    on_step: Callable[[Progress, int], None],
    watch: Callable[[Progress], None],
) -> Progress:
    """Train to the last step, or until the held-out loss gets no better.

    The model then has the weights of the lowest held-out loss. ``on_step(progress, steps)`` is
    called after each step; ``watch(progress)`` before the first one, and when all of a step is
    done, its held-out loss with it. Raises Interrupted once the state is saved, TrainingError at the first
    loss that is no number.
    """
    settings = run.settings
    optimizer = torch.optim.AdamW(
        [each for each in run.model.parameters() if each.requires_grad],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    model, optimizer = prepared(run.accelerator, run.model, optimizer)
    faster: list[FusedLora | FusedNorms | ShortAttention] = [ShortAttention(run.model)]
    packs = False
    # Shards come together for PEFT's own modules, in their own forward pass.
    if not run.accelerator.is_fsdp2:
        lora = FusedLora(run.model)
        faster += [lora, FusedNorms(run.model)]
        packs = can_pack(run.model, lora.layers)
    head = LossHead(run.model, model, packs)
    every = _steps_between_looks(run)
    saved = time.monotonic()
    try:
        progress, best = _start(run, resume, model, optimizer, head, watch)
        _look_if_due(run, every, head, progress, best)  # the state was saved before it
        with stop_requests() as stop_requested:
            while not _finished(run, progress):
                _step(run, model, optimizer, head, progress)
                on_step(progress, run.steps)
                last = progress.step == run.steps
                due = _save_due(run, progress, saved)
                stop, due = map(bool, summed(run.accelerator, stop_requested(), due))
                if stop or due or last:
                    _save(run, progress, optimizer, best)
                    saved = time.monotonic()
                if stop and not last:
                    raise _interrupted(run, f"stopped after step {progress.step} of {run.steps}")
                _look_if_due(run, every, head, progress, best)
                watch(progress)
        if progress.step < run.steps:
            _save(run, progress, optimizer, best)
        best_look = best_evaluation(progress.evaluations)
        if best_look is not None and best_look["step"] < progress.step:
            best.bring_back(run.model, run.hooks)
    except KeyboardInterrupt:
        if run.checkpoint.is_file():
            raise _interrupted(run, "interrupted") from None
        raise
    finally:
        head.detach()
        for each in faster:
            each.detach()
    return progress


def _finished(run: Run, progress: Progress) -> bool:
    enough = out_of_patience(progress.evaluations, run.settings.early_stop)
    return progress.step == run.steps or enough


def _steps_between_looks(run: Run) -> int:
    if run.held_out is None:
        return 0
    rows = run.steps * run.settings.batch_size * run.settings.grad_accum
    tokens = float(run.examples.lengths.mean()) * rows * run.accelerator.num_processes
    return steps_between(run.settings, run.steps, tokens, float(run.held_out.lengths.sum()))


def _save_due(run: Run, progress: Progress, saved: float) -> bool:
    """Every half minute by the first process's clock, and every so many steps."""
    if run.save_every and progress.step % run.save_every == 0:
        return True
    return run.accelerator.is_main_process and time.monotonic() - saved > CHECKPOINT_SECONDS


def _look_if_due(run: Run, every: int, head: LossHead, progress: Progress, best: Best) -> None:
    """Measure the held-out loss, and keep what was trained where it is the lowest so far."""
    step, looks = progress.step, progress.evaluations
    due = step == run.steps or (every and step and step % every == 0)
    if run.held_out is None or not due or looks[-1]["step"] == step:
        return
    looks.append({"step": step, "loss": evaluate(run, head, run.held_out)})
    # The last step's weights are there anyway.
    if best_evaluation(looks) is looks[-1] and step < run.steps:
        best.keep(run.model, run.hooks)


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


def _start(
    run: Run,
    resume: bool,
    model: Any,
    optimizer: Any,
    head: LossHead,
    watch: Callable[[Progress], None],
) -> tuple[Progress, Best]:
    model.train()
    if resume:
        progress, extra, best = checkpoint.restore(run.checkpoint, run.model, optimizer)
        run.hooks.restore(run.model, extra)
        return progress, Best(best)
    progress = Progress()
    if run.held_out is not None:
        progress.base_eval_loss = _base_loss(run, head, run.held_out)
        progress.evaluations.append({"step": 0, "loss": progress.base_eval_loss})
    watch(progress)
    return progress, Best({})


def _base_loss(run: Run, head: LossHead, held_out: Examples) -> float:
    if run.bare.loss is not None:
        return run.bare.loss
    with without_adapter(run.model) as switched_off:
        loss = evaluate(run, head, held_out)
    if switched_off:
        run.bare.loss = loss
    return loss


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
    tokens = sum(int(run.examples.lengths[indices].sum()) for indices in all_batches)
    seconds = time.perf_counter() - started
    progress.step += 1
    progress.tokens += tokens
    progress.loss_tokens += loss_tokens
    progress.seconds += seconds
    progress.history.append(total / loss_tokens, loss_tokens, tokens, seconds)


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


def _save(run: Run, progress: Progress, optimizer: Any, best: Best) -> None:
    """Write a checkpoint, of numbers only. Raises TrainingError."""
    state = checkpoint.collect(run.model, optimizer, run.hooks.state(run.model))
    for name, tensor in checkpoint.weights_in(state).items():
        if not torch.isfinite(tensor).all():
            raise TrainingError(
                f"the weight {name} became infinite or no number by step {progress.step} "
                f"with method {run.method!r}.",
                hint="try a lower --learning-rate or --dtype float32",
            )
    if not run.accelerator.is_main_process:
        return
    try:
        checkpoint.save(run.checkpoint, run.identity, progress, state, best.state)
    except Exception as error:
        raise TrainingError(
            f"the checkpoint of step {progress.step} cannot be written: {error}.",
            hint=f"make room on the disk, then: adapter-hub train {run.name} --resume, with the same flags",
        ) from error
