"""``train NAME``, the whole story: plan, load, data, loop, save, record."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import (
    ConflictError,
    IncompatibleError,
    TrainingError,
    UsageError,
)
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.training.plan import Changes, Plan, Trial, make_plan
from adapter_hub.training.prepare import Job, Say, prepare
from adapter_hub.training.processes import (
    from_first,
    gather_adapter,
    make_accelerator,
    process_count,
    process_index,
)
from adapter_hub.training.provenance import provenance
from adapter_hub.training.run_options import RunOptions
from adapter_hub.training.start import Start, check_start, find_start, load_start, take_shape
from adapter_hub.training.tracking import Trackers, check_trackers
from adapter_hub.training.workbench import Workbench
from adapter_hub.training.workspace import CHECKPOINT, scratch_name, workspace

if TYPE_CHECKING:
    from accelerate import Accelerator

    from adapter_hub.training.progress import Progress

OnStep = Callable[["Progress", int], None]


def _silent(*_said: object) -> None: ...


@dataclass(frozen=True)
class TrainResult:
    """What ``train --json`` prints. Losses are nats a token; ``seconds`` is the loop's time.

    ``best_step`` is the one whose weights were kept: that of the lowest held-out loss. ``samples``
    has ``where``, ``prompt``, ``expected``, ``base``, ``adapter`` and ``during`` of each.
    """

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
    best_step: int | None
    samples: list[dict[str, Any]]


def train(
    name: str,
    changes: Changes | None = None,
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    start: str | Start | None = None,
    trial: Trial | None = None,
    resume: bool | None = False,
    restart: bool = False,
    run_options: RunOptions | None = None,
    bench: Workbench | None = None,
    say: Say = _silent,
    on_step: OnStep = _silent,
) -> TrainResult:
    """Train the recipe of ``name``, changed by ``changes``, and register the result.

    ``start`` is a reference to the version to go on from, instead of a fresh adapter on the bare
    base; a new name takes its recipe. ``trial`` varies the recipe for this run only. Runs that are
    given one ``bench`` after the other share what they can.

    The registry stays as it was until the new version is complete. ``resume`` goes on with an
    interrupted run of the same recipe (None: where there is one), ``restart`` gives it up. Under
    ``torchrun`` or ``accelerate launch`` every process calls this, and all return the same result.

    Raises UsageError and its kinds before anything heavy is imported; DataError, BaseModelError,
    IncompatibleError, TrainingError, RegistryError; ConflictError when another process trains it
    or an interrupted run would be lost; Interrupted after Ctrl-C, with the state saved.
    """
    registry = registry or Registry.open()
    catalog = catalog or load_catalog()
    options = run_options or RunOptions()
    check_trackers(options.track)
    if isinstance(start, str):
        start = find_start(start, registry)
    plan = make_plan(registry, name, changes or Changes(), catalog, start, trial)
    bench = bench or Workbench(shared=False)
    if process_index():
        say, on_step = _silent, _silent
    with workspace(registry, name, trial_key(plan)) as folder:
        if resume:
            _require_checkpoint(name, folder)
        job = prepare(plan, registry, catalog, folder / scratch_name(), say, bench)
        state = folder / CHECKPOINT
        root = registry.folder
        fitted = fit(plan, job, state, resume, restart, options, say, on_step, root, bench)
        result = None
        if fitted.accelerator.is_main_process:
            result = _record(plan, job, registry, fitted, say)
            state.unlink(missing_ok=True)
        return from_first(fitted.accelerator, result)


def trial_key(plan: Plan) -> str:
    """What tells one trial of a sweep from the others; empty for a run that is none."""
    return plan.digest.removeprefix("sha256:")[:12] if plan.trial else ""


@dataclass(frozen=True)
class Fitted:
    """A trained ``PeftModel``, in memory only, and how it went; ``dtype`` is the base's."""

    model: Any
    progress: Progress
    samples: list[dict[str, Any]]
    dtype: str
    accelerator: Accelerator


def fit(
    plan: Plan,
    job: Job,
    state: Path,
    resume: bool | None,
    restart: bool,
    options: RunOptions,
    say: Say,
    on_step: OnStep,
    root: Path,
    bench: Workbench,
) -> Fitted:
    """Load the base and train the adapter on it; ``state`` is the checkpoint's file.

    ``root`` is the registry's folder: trackers that write files do it below.

    Raises BaseModelError, IncompatibleError, TrainingError, ConflictError, Interrupted.
    """
    import torch
    from accelerate.utils import set_seed

    from adapter_hub.loading.dtype import choose_dtype
    from adapter_hub.training.build import attach, checkpoint_activations, trainable_line
    from adapter_hub.training.loop import Run, train_loop
    from adapter_hub.training.set_up import set_up
    from adapter_hub.training.watch import Watch

    settings = plan.recipe.training
    dtype, why = choose_dtype(settings.dtype)
    identity = _run_identity(plan, job, str(dtype))
    resume = _check_resume(plan.name, state, identity, resume, restart, say)
    _check_prompt_path(plan, job)
    if plan.start is not None:
        check_start(plan.start, plan.base, job.identity)
        take_shape(plan.start, job.peft_config, plan.name)

    say(f"base {plan.base.name} ({plan.base.source}) in {str(dtype).removeprefix('torch.')}: {why}")
    if settings.quantize != "none":
        say(f"its linear layers in {settings.quantize.removesuffix('bit')} bits")
    model = bench.model(job.base_folder, dtype, plan.base.trust_remote_code, settings.quantize)
    set_seed(settings.seed % 2**32)  # NumPy takes no more, and it draws nothing here
    torch.manual_seed(settings.seed)  # before the adapter is initialised
    model = attach(plan.method, model, job.peft_config)
    if settings.checkpoint_activations:
        checkpoint_activations(model)
    accelerator = make_accelerator()
    if accelerator.is_fsdp2 and settings.quantize != "none":
        raise TrainingError(
            "FSDP cannot share out weights of so few bits.",
            hint="launch without --use_fsdp, or train with --quantize none",
        )
    set_up(plan.method, job, model, accelerator, settings)
    if plan.start is not None:
        load_start(plan.start, model, plan.name)
        say(f"going on from {plan.start.reference}")
    say(trainable_line(*model.get_nb_trainable_parameters()))
    bare = bench.bare_base(_rows_key(plan, job))
    run = Run(
        name=plan.name,
        method=plan.method.name,
        hooks=job.hooks,
        model=model,
        accelerator=accelerator,
        examples=job.examples,
        held_out=job.held_out,
        settings=settings,
        steps=job.steps,
        schedule=job.schedule,
        pad_id=job.tokenizer.pad_token_id,
        checkpoint=state,
        identity=identity,
        bare=bare,
        save_every=options.save_every,
    )
    with _trackers(plan, accelerator, options, root, say) as trackers:
        samples = 0 if accelerator.is_fsdp2 or not accelerator.is_main_process else options.samples
        # One process alone cannot generate with a model of which it has a shard.
        watch = Watch(job, model, settings, replace(options, samples=samples), trackers, bare, say)
        progress = train_loop(run, resume, on_step, watch)
        _check_prompt_path(plan, job)
        watch.finish(progress)
    gather_adapter(accelerator, model)
    answers = watch.told(progress)
    return Fitted(model, progress, answers, str(dtype).removeprefix("torch."), accelerator)


def _trackers(
    plan: Plan, accelerator: Accelerator, options: RunOptions, root: Path, say: Say
) -> Trackers:
    """Those that were asked for, in the first process."""
    return Trackers(
        options.track if accelerator.is_main_process else (),
        project="adapter-hub",
        run=f"{plan.name}-{datetime.now():%Y%m%d-%H%M%S}",
        folder=root / "adapters" / ".tracking",
        settings={
            "method": plan.method.name,
            **plan.recipe.options,
            **vars(plan.recipe.training),
        },
        say=say,
    )


def _run_identity(plan: Plan, job: Job, dtype: str) -> str:
    """A digest of all that a resumed run must have in common with the one it goes on with."""
    held_out = job.held_out_data.fingerprint if job.held_out_data else None
    parts = [plan.digest, job.data.fingerprint, held_out, job.identity, dtype, process_count()]
    if plan.start is not None:
        parts.append(plan.start.digest)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _rows_key(plan: Plan, job: Job) -> tuple[Any, ...]:
    """All that decides which rows the bare base is asked about, and in what batches."""
    settings = plan.recipe.training
    return (
        plan.method.name,
        job.data.fingerprint,
        job.held_out_data.fingerprint if job.held_out_data else None,
        tuple(sorted(plan.recipe.column_map.items())),
        job.max_length,
        *(settings.train_on, settings.on_bad_row, settings.batch_size),
        *(settings.eval_fraction, settings.seed),
    )


def _require_checkpoint(name: str, folder: Path) -> None:
    if not (folder / CHECKPOINT).is_file():
        raise UsageError(
            f"there is no interrupted run of {name!r} to resume.", hint=f"adapter-hub train {name}"
        )


def _check_resume(
    name: str, state: Path, identity: str, resume: bool | None, restart: bool, say: Say
) -> bool:
    """Whether to go on with the run that was interrupted.

    Raises TrainingError for one that cannot be resumed, ConflictError for one that could.
    """
    from adapter_hub.training import checkpoint

    found = checkpoint.peek(state)
    same = found is not None and found[0] == identity
    if resume and (found is None or not same):
        raise TrainingError(
            f"the interrupted run of {name!r} had another recipe, data, base or number type.",
            hint="give the same flags as then, or train again without --resume",
        )
    if resume is None:
        resume = same
    if found is None:
        return False
    if resume:
        say(f"going on after step {found[1].step}")
    elif same and not restart:
        raise ConflictError(
            f"this very run of {name!r} was interrupted after step {found[1].step}.",
            hint=f"adapter-hub train {name} --resume, with the same flags; or --restart to give it up",
        )
    else:
        # The file goes with the first checkpoint of the new run, not before.
        say(f"the {found[1].step} steps of an interrupted run are given up")
    return resume


def _check_prompt_path(plan: Plan, job: Job) -> None:
    """The prompt of ``run`` must be the prompt of the rows, token for token."""
    from adapter_hub.prompts.encode import Encoder, check_prompt_path

    encoder = Encoder(job.tokenizer, job.data.style, job.max_length, plan.recipe.training.train_on)
    for row in job.data.first_rows:
        if not check_prompt_path(encoder, row):
            raise IncompatibleError(
                f"the tokenizer of base {plan.base.name!r} encodes a prompt of {plan.data} "
                "differently for run than for training."
            )


def _record(plan: Plan, job: Job, registry: Registry, fitted: Fitted, say: Say) -> TrainResult:
    from adapter_hub.registry.versions import version_digest
    from adapter_hub.training.hardware import hardware
    from adapter_hub.training.progress import best_evaluation
    from adapter_hub.training.save import save_version

    model, progress = fitted.model, fitted.progress
    trainable, total = model.get_nb_trainable_parameters()
    best = best_evaluation(progress.evaluations)
    eval_loss = None if best is None else best["loss"]
    train_loss = progress.history.mean_loss(max(1, len(progress.history) // 10))
    perplexity = None if eval_loss is None else math.exp(min(eval_loss, 700.0))
    losses = {
        "train_loss": train_loss,
        "eval_loss": eval_loss,
        "base_eval_loss": progress.base_eval_loss,
        "perplexity": perplexity,
    }
    metrics = {key: round(value, 4) for key, value in losses.items() if value is not None}
    record = {
        **provenance(plan, job, progress, fitted.dtype, (trainable, total), metrics),
        "hardware": hardware(fitted.accelerator),
    }
    created = datetime.now(timezone.utc).replace(microsecond=0)
    record["created"] = created.isoformat().replace("+00:00", "Z")
    try:
        pages = _pages(plan, job, record, fitted)
    except Exception as error:  # a picture is no reason to lose a training run
        say(f"no plots and no report: {error}")
        pages = {}
    number, version = save_version(registry, plan, model, created, record, pages, metrics)
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
        best_step=None if best is None else int(best["step"]),
        samples=fitted.samples,
    )


def _pages(plan: Plan, job: Job, record: dict[str, Any], fitted: Fitted) -> dict[str, bytes]:
    """The plots and the report of a run, by their files' names."""
    from adapter_hub.loading.saving import environment
    from adapter_hub.training.plot import curves_of, loss_plot, training_plot
    from adapter_hub.training.report import report_page

    title = f"{plan.name} on {plan.base.name}"
    settings = plan.recipe.training
    curves = curves_of(fitted.progress, settings, job.steps, job.examples.lengths)
    told = {**record, "environment": environment()}
    return {
        "loss.png": loss_plot(title, curves),
        "training.png": training_plot(title, curves),
        "report.html": report_page(told, curves, fitted.samples),
    }
