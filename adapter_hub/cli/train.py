"""``adapter-hub train NAME …``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from adapter_hub.cli.context import (
    ARGUMENTS,
    Context,
    from_here,
    json_option,
    pass_context,
    print_fields,
    print_json,
)
from adapter_hub.cli.recipe_flags import named_changes, recipe_flags, refuse_both
from adapter_hub.cli.train_several import (
    on_options,
    refuse_with_stale,
    train_all_stale,
    train_named,
)
from adapter_hub.training.run_options import RunOptions

if TYPE_CHECKING:
    from adapter_hub.training.estimate import Estimate
    from adapter_hub.training.train import TrainResult


@click.command(
    "train", epilog="Example: adapter-hub train gpt-lora -o r=16 --learning-rate 1e-3 --steps 200"
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@recipe_flags
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A method option; repeatable.",
)
@click.option(
    "--eval-fraction", type=float, help="Share of the rows to hold out instead; 0 for none."
)
@click.option("--epochs", type=float, help="Passes over the rows.")
@click.option("--steps", type=int, help="Optimizer steps, instead of epochs.")
@click.option("--batch-size", type=int, help="Rows in one forward pass.")
@click.option("--grad-accum", type=int, help="Forward passes in one optimizer step.")
@click.option("--learning-rate", type=float, help="Peak learning rate.")
@click.option(
    "--schedule",
    type=click.Choice(["cosine", "linear", "constant"]),
    help="Shape of the learning rate.",
)
@click.option("--warmup", type=float, help="Share of the steps (below 1) or number of steps.")
@click.option("--weight-decay", type=float, help="AdamW's weight decay.")
@click.option("--max-grad-norm", type=float, help="Clip the gradient to this norm; 0 for never.")
@click.option("--max-length", type=int, help="Longest row in tokens.")
@click.option(
    "--train-on", type=click.Choice(["completion", "all"]), help="Which tokens carry loss."
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    help="Type of the base's weights.",
)
@click.option("--seed", type=int, help="Seed of everything random.")
@click.option(
    "--on-bad-row", type=click.Choice(["fail", "skip"]), help="What to do with an unusable row."
)
@click.option(
    "--quantize",
    type=click.Choice(["none", "4bit", "8bit"]),
    help="Load the base in so few bits; needs bitsandbytes.",
)
@click.option(
    "--checkpoint-activations/--no-checkpoint-activations",
    default=None,
    help="Compute activations anew for the backward pass: less memory, more time.",
)
@click.option(
    "--eval-every", type=int, help="Steps from one held-out loss to the next; 0: only at the end."
)
@click.option(
    "--early-stop",
    type=int,
    help="Stop after so many held-out losses without a better one; 0: never.",
)
@click.option(
    "--save-every",
    type=click.IntRange(min=1),
    help="Save the run's state every so many steps, and not only every half minute.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    default=RunOptions.samples,
    show_default=True,
    help="Answers to show at the end, of the base and of the adapter.",
)
@click.option(
    "--sample-every",
    type=click.IntRange(min=1),
    help="Show the adapter's answers every so many steps, too.",
)
@click.option(
    "--track",
    multiple=True,
    type=click.Choice(["tensorboard", "wandb", "mlflow", "trackio"]),
    help="Send the losses there as well; repeatable.",
)
@click.option(
    "--from", "start", metavar="REF", help="Go on from this version, not from a fresh adapter."
)
@click.option("--resume", is_flag=True, help="Go on with the interrupted run of this recipe.")
@click.option("--restart", is_flag=True, help="Give an interrupted run of this recipe up.")
@click.option(
    "--launch",
    metavar="ARGUMENTS",
    help='In several processes: what `accelerate launch` takes, as in "--num_processes 2".',
)
@click.option(
    "--stale",
    is_flag=True,
    help="Instead of NAME: every adapter that `status` calls stale or never trained.",
)
@on_options
@click.option("--dry-run", is_flag=True, help="Check everything and estimate; write nothing.")
@json_option("the result")
@pass_context
def command(
    context: Context,
    /,
    names: tuple[str, ...],
    base: str | None,
    method: str | None,
    options: tuple[str, ...],
    data: str | None,
    data_options: tuple[str, ...],
    eval_data: str | None,
    column_map: tuple[str, ...],
    save_every: int | None,
    samples: int,
    sample_every: int | None,
    track: tuple[str, ...],
    start: str | None,
    resume: bool,
    restart: bool,
    launch: str | None,
    stale: bool,
    on: str | None,
    on_options: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train the recipe of NAME. Flags change the recipe and are written back with the new version.

    Of several NAMEs each is trained, those of one base without loading it again; flags change the
    recipe of each.
    """
    if stale:
        refuse_with_stale(click.get_current_context())
        train_all_stale(context, dry_run, as_json, on, on_options)
        return
    if not names:
        raise click.UsageError("Missing argument 'NAME'.")
    from adapter_hub.errors import UsageError
    from adapter_hub.options import parse_assignment
    from adapter_hub.plugins import load_catalog
    from adapter_hub.training.plan import make_plan
    from adapter_hub.training.start import find_start
    from adapter_hub.training.tracking import check_trackers

    refuse_both(settings, eval_data)
    if resume and (restart or dry_run):
        raise UsageError(
            f"--resume and {'--restart' if restart else '--dry-run'} exclude each other."
        )
    if len(names) > 1 or on:
        _refuse_with_several(names, resume, dry_run, launch)
    flags = None
    if launch is not None:
        from adapter_hub.cli.launch import launch as launched
        from adapter_hub.cli.launch import launch_flags

        flags = launch_flags(launch)
    registry = context.open_registry()
    context.warn_of_unknown_keys(registry, names)
    named = named_changes(
        registry,
        base=base,
        method=method,
        data=data,
        data_options=data_options,
        eval_data=eval_data,
        column_map=column_map,
    )
    changes = replace(
        named,
        options=dict(map(parse_assignment, options)),
        training={key: value for key, value in settings.items() if value is not None},
    )
    catalog = load_catalog()
    # Everything that can be wrong in the arguments is found before torch is imported.
    check_trackers(track)
    found = find_start(start, registry) if start else None
    for name in names:
        make_plan(registry, name, changes, catalog, found)
    run_options = RunOptions(samples, sample_every, save_every, track)
    if len(names) > 1 or (on and not dry_run):
        train_named(
            context, registry, names, changes, found, restart, run_options, as_json, on, on_options
        )
        return
    (name,) = names
    if flags is not None and not dry_run:
        given = click.get_current_context().meta[ARGUMENTS]
        raise click.exceptions.Exit(launched(flags, given))
    context.prepare_libraries()
    if dry_run:
        from adapter_hub.training.estimate import estimate

        expected = estimate(
            name, changes, registry=registry, catalog=catalog, start=found, say=context.say
        )
        print_json(asdict(expected)) if as_json else _print_estimate(expected)
        return
    from adapter_hub.cli.progress import ProgressLine
    from adapter_hub.training.processes import process_index
    from adapter_hub.training.train import train

    with ProgressLine(context.quiet) as on_step:
        result = train(
            name,
            changes,
            registry=registry,
            catalog=catalog,
            start=found,
            resume=resume,
            restart=restart,
            run_options=run_options,
            say=on_step.say,
            on_step=on_step,
        )
    if process_index():
        return
    if as_json:
        print_json(asdict(result))
    else:
        print_result(context, result)


def _refuse_with_several(
    names: tuple[str, ...], resume: bool, dry_run: bool, launch: str | None
) -> None:
    from adapter_hub.errors import UsageError

    if resume:
        raise UsageError(
            "with several names or --on, interrupted runs are gone on with: leave --resume out."
        )
    for flag, given in (("--dry-run", dry_run), ("--launch", launch)):
        if given:
            raise UsageError(
                f"{flag} takes one NAME, and no --on.", hint=f"adapter-hub train {names[0]} …"
            )
    if len({each.casefold() for each in names}) < len(names):
        raise UsageError(
            "a name was given twice.", hint=f"adapter-hub train {' '.join(dict.fromkeys(names))}"
        )


def print_result(context: Context, result: TrainResult) -> None:
    """What a person reads at the end of a run."""
    from adapter_hub.cli.progress import duration

    held_out = None
    if result.eval_loss is not None and result.base_eval_loss is not None:
        held_out = f"{result.base_eval_loss:.3f} (base) → {result.eval_loss:.3f}, perplexity {result.perplexity:.2f}"
        if result.best_step != result.steps:
            held_out += f"; the weights of step {result.best_step} are kept"
    print_fields(
        [
            ("version", f"{result.name}@{result.version}"),
            ("training loss", f"{result.train_loss:.3f}"),
            ("held-out loss", held_out),
            (
                "steps",
                f"{result.steps:,} in {duration(result.seconds)}, {result.tokens_per_second:,.0f} tokens/s",
            ),
            ("files", from_here(result.path)),
            ("report", from_here(f"{result.path}/report.html")),
        ]
    )
    for sample in result.samples:
        _print_sample(sample)
    context.say(f'next: adapter-hub run {result.name} "…"')


def _print_sample(sample: Mapping[str, Any]) -> None:
    from adapter_hub.training.watch import on_a_line

    click.echo(f"\n{sample['where']}: {on_a_line(sample['prompt'], keep_end=True)}")
    told = {key: on_a_line(sample[key] or "") for key in ("expected", "base", "adapter")}
    print_fields([(key, text or "(nothing)") for key, text in told.items()])


def _print_estimate(expected: Estimate) -> None:
    from adapter_hub.cli.progress import duration
    from adapter_hub.training.build import trainable_line

    parameters = "known only with the weights"
    if expected.trainable_parameters is not None and expected.total_parameters is not None:
        parameters = trainable_line(expected.trainable_parameters, expected.total_parameters)
    print_fields(
        [
            ("parameters", parameters),
            (
                "rows",
                f"{expected.rows:,}, {expected.examples:,} examples to train on, {expected.held_out:,} held out",
            ),
            ("skipped", f"{expected.skipped:,}" if expected.skipped else ""),
            ("truncated", f"{expected.truncated:,}" if expected.truncated else ""),
            ("steps", f"{expected.steps:,}"),
            ("tokens", f"{expected.tokens:,}, {expected.loss_tokens:,} of them with loss"),
            ("dtype", expected.dtype),
            ("memory", _gibibytes(expected.memory_bytes)),
            ("time", f"about {duration(expected.seconds)}"),
        ]
    )


def _gibibytes(count: int | None) -> str:
    return "known only with the weights" if count is None else f"about {count / (1 << 30):.1f} GiB"
