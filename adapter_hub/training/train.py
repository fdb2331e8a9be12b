"""``train NAME``, the whole story: plan, load, data, loop, save, record."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import (
    ConflictError,
    IncompatibleError,
    RegistryError,
    TrainingError,
    UsageError,
)
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.training.plan import Changes, Plan, make_plan
from adapter_hub.training.prepare import Job, Say, prepare
from adapter_hub.training.provenance import provenance

if TYPE_CHECKING:
    from adapter_hub.training.checkpoint import Progress

SCRATCH, CHECKPOINT = "scratch", "checkpoint.safetensors"
OnStep = Callable[["Progress", int], None]


@dataclass(frozen=True)
class TrainResult:
    """What ``train --json`` prints. Losses are nats a token; ``seconds`` is the loop's time."""

    name: str
    version: int
    digest: str
    path: str
    trainable_parameters: int
    total_parameters: int
    steps: int
    tokens: int
    loss_tokens: int
    train_loss: float
    eval_loss: float | None
    base_eval_loss: float | None
    perplexity: float | None
    seconds: float
    tokens_per_second: float


def train(
    name: str,
    changes: Changes | None = None,
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    resume: bool = False,
    say: Say = lambda text: None,
    on_step: OnStep = lambda progress, steps: None,
) -> TrainResult:
    """Train the recipe of ``name``, changed by ``changes``, and register the result.

    The registry stays as it was until the new version is complete. Raises UsageError and its
    kinds before anything heavy is imported; DataError, BaseModelError, TrainingError,
    RegistryError, ConflictError; Interrupted after Ctrl-C, with the state saved.
    """
    registry = registry or Registry.open()
    catalog = catalog or load_catalog()
    plan = make_plan(registry, name, changes or Changes(), catalog)
    with _workspace(registry, name) as workspace:
        if resume:
            _require_checkpoint(name, workspace)
        job = prepare(plan, registry, catalog, workspace / SCRATCH, say)
        return _train(plan, job, registry, workspace, resume, say, on_step)


def _train(
    plan: Plan,
    job: Job,
    registry: Registry,
    workspace: Path,
    resume: bool,
    say: Say,
    on_step: OnStep,
) -> TrainResult:
    import torch
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    from adapter_hub.loading.bases import load_model
    from adapter_hub.loading.dtype import choose_dtype
    from adapter_hub.training.build import attach, trainable_line
    from adapter_hub.training.loop import Run, train_loop

    settings = plan.recipe.training
    state = workspace / CHECKPOINT
    dtype, why = choose_dtype(settings.dtype)
    identity = f"{plan.digest} {job.data.fingerprint} {job.identity.get('weights')} {dtype}"
    _check_resume(plan.name, state, identity, resume, say)

    say(f"base {plan.base.name} ({plan.base.source}) in {str(dtype).removeprefix('torch.')}: {why}")
    model = load_model(job.base_folder, dtype)
    set_seed(settings.seed % 2**32)  # NumPy takes no more, and it draws nothing here
    torch.manual_seed(settings.seed)  # before the adapter is initialised
    model = attach(plan.method, model, job.peft_config)
    trainable, total = model.get_nb_trainable_parameters()
    say(trainable_line(trainable, total))
    accelerator = Accelerator()
    run = Run(
        plan.name, plan.method.name, model, accelerator, job.examples, job.held_out, settings, job.steps,
        job.schedule, job.tokenizer.pad_token_id, state if accelerator.is_main_process else None, identity,
    )  # fmt: skip
    progress = train_loop(run, resume, on_step)
    _check_prompt_path(plan, job)
    result = _record(plan, job, registry, model, progress, str(dtype).removeprefix("torch."))
    state.unlink(missing_ok=True)
    return result


def _require_checkpoint(name: str, workspace: Path) -> None:
    if not (workspace / CHECKPOINT).is_file():
        raise UsageError(
            f"there is no interrupted run of {name!r} to resume.", hint=f"adapter-hub train {name}"
        )


def _check_resume(name: str, state: Path, identity: str, resume: bool, say: Say) -> None:
    from adapter_hub.training import checkpoint

    found = checkpoint.peek(state)
    if not resume:
        if found:
            say(
                f"an interrupted run is left behind; its {found[1].step} steps are given up (--resume would go on)"
            )
            state.unlink()
        return
    if found is None or found[0] != identity:
        raise TrainingError(
            f"the interrupted run of {name!r} had another recipe, data, base or number type.",
            hint="give the same flags as then, or train again without --resume",
        )
    say(f"going on after step {found[1].step}")


def _check_prompt_path(plan: Plan, job: Job) -> None:
    """Before it is saved: the prompt of ``run`` must be the prompt of the rows, token for token."""
    from adapter_hub.prompts.encode import Encoder, check_prompt_path

    encoder = Encoder(job.tokenizer, job.data.style, job.max_length, plan.recipe.training.train_on)
    for row in job.data.first_rows:
        if not check_prompt_path(encoder, row):
            raise IncompatibleError(
                f"the tokenizer of base {plan.base.name!r} encodes a prompt of {plan.data} "
                "differently for run than for training."
            )


def _record(
    plan: Plan, job: Job, registry: Registry, model: Any, progress: Progress, dtype: str
) -> TrainResult:
    from adapter_hub.registry.versions import version_digest
    from adapter_hub.training.plot import loss_plot
    from adapter_hub.training.save import save_version

    trainable, total = model.get_nb_trainable_parameters()
    eval_loss = progress.evaluations[-1]["loss"] if job.held_out is not None else None
    tail = progress.history[-max(1, len(progress.history) // 10) :]
    train_loss = sum(each["loss"] * each["loss_tokens"] for each in tail) / sum(
        each["loss_tokens"] for each in tail
    )
    perplexity = None if eval_loss is None else math.exp(min(eval_loss, 700.0))
    losses = {
        "train_loss": train_loss,
        "eval_loss": eval_loss,
        "base_eval_loss": progress.base_eval_loss,
        "perplexity": perplexity,
    }
    metrics = {key: round(value, 4) for key, value in losses.items() if value is not None}
    record = provenance(plan, job, progress, dtype, (trainable, total), metrics)
    plot = loss_plot(f"{plan.name} on {plan.base.name}", progress)
    number, version = save_version(
        registry, plan.name, model, plan.base, record, plot, plan.recipe, plan.digest, metrics
    )
    return TrainResult(
        name=plan.name,
        version=number,
        digest=version_digest(version.files),
        path=str(registry.version_folder(plan.name, number)),
        trainable_parameters=trainable,
        total_parameters=total,
        steps=progress.step,
        tokens=progress.tokens,
        loss_tokens=progress.loss_tokens,
        seconds=progress.seconds,
        tokens_per_second=progress.tokens / max(progress.seconds, 1e-9),
        train_loss=train_loss,
        eval_loss=eval_loss,
        base_eval_loss=progress.base_eval_loss,
        perplexity=perplexity,
    )


@contextlib.contextmanager
def _workspace(registry: Registry, name: str) -> Iterator[Path]:
    """``adapters/.runs/NAME``, for one run at a time: its checkpoint, and a scratch folder.

    Yields the folder; the scratch folder in it is gone afterwards, the checkpoint stays.
    """
    from filelock import FileLock, Timeout

    folder = registry.folder / "adapters" / ".runs" / name
    try:
        (folder / SCRATCH).mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock", blocking=False)
        lock.acquire()
    except Timeout:
        raise ConflictError(
            f"{name!r} is being trained by another process.",
            hint="wait for it, or train under another name",
        ) from None
    except OSError as error:
        raise RegistryError(f"{folder} cannot be written: {error.strerror or error}.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        lock.release()
