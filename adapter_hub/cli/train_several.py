"""``adapter-hub train A B …`` and ``adapter-hub train --stale``: several runs in one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from adapter_hub.cli.context import Context, print_json, print_table

if TYPE_CHECKING:
    from adapter_hub.registry.store import Registry
    from adapter_hub.training.plan import Changes
    from adapter_hub.training.run_options import RunOptions
    from adapter_hub.training.several import Training
    from adapter_hub.training.start import Start

_GO_WITH_STALE = ("stale", "dry_run", "as_json")


def refuse_with_stale(ctx: click.Context) -> None:
    """Raises UsageError for whatever was given with --stale and has no meaning there."""
    from adapter_hub.errors import UsageError

    for parameter in ctx.command.params:
        name = str(parameter.name)
        given = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or not parameter.expose_value or name in _GO_WITH_STALE:
            continue
        what = "NAME" if isinstance(parameter, click.Argument) else parameter.opts[-1]
        if what == "--resume":
            raise UsageError("--stale goes on with interrupted runs by itself: leave --resume out.")
        raise UsageError(
            f"--stale trains recipes as they are, each that changed: it takes no {what}.",
            hint="adapter-hub train NAME, for one; adapter-hub train --stale --dry-run, for a list",
        )


def train_all_stale(context: Context, dry_run: bool, as_json: bool) -> None:
    """List what is stale or never trained, train it unless ``dry_run``, and sum it up.

    Exits with 1 when one failed. Raises Interrupted, UsageError.
    """
    from adapter_hub.training.stale import to_train

    _refuse_launched("--stale trains")
    registry = context.open_registry()
    context.warn_of_unknown_keys(registry)
    trainings = to_train(registry)
    if not trainings:
        context.say("nothing is stale, and nothing was never trained")
    if dry_run or not trainings:
        _print(trainings, as_json, ("name", "why"))
        return
    _train(context, registry, trainings, as_json, "adapter-hub train --stale")


def train_named(
    context: Context,
    registry: Registry,
    names: Sequence[str],
    changes: Changes,
    start: Start | None,
    restart: bool,
    options: RunOptions,
    as_json: bool,
) -> None:
    """Train each of ``names`` with the same changes, and sum it up.

    Exits with 1 when one failed. Raises Interrupted, UsageError.
    """
    from adapter_hub.training.several import Training, by_base

    _refuse_launched("several names are trained")
    trainings = by_base([Training(name, changes=changes) for name in names], registry)
    again = f"adapter-hub train {' '.join(names)}, with the same flags"
    _train(context, registry, trainings, as_json, again, start, restart, options)


def _refuse_launched(what: str) -> None:
    from adapter_hub.errors import UsageError
    from adapter_hub.training.processes import process_count

    if process_count() > 1:
        raise UsageError(f"{what} in one process.", hint="launch each run by itself: train NAME")


def _train(
    context: Context,
    registry: Registry,
    trainings: list[Training],
    as_json: bool,
    again: str,
    start: Start | None = None,
    restart: bool = False,
    options: RunOptions | None = None,
) -> None:
    from adapter_hub.cli.progress import ProgressLine
    from adapter_hub.plugins import load_catalog
    from adapter_hub.training.several import train_several

    context.prepare_libraries()
    try:
        train_several(
            trainings,
            registry=registry,
            catalog=load_catalog(),
            say=context.say,
            progress=lambda: ProgressLine(context.quiet),
            again=again,
            start=start,
            restart=restart,
            options=options,
        )
    finally:
        _print(trainings, as_json, ("name", "outcome", "version", "held-out loss", "why"))
    if any(each.outcome == "failed" for each in trainings):
        raise click.exceptions.Exit(1)


def _print(trainings: list[Training], as_json: bool, columns: tuple[str, ...]) -> None:
    if as_json:
        print_json([each.as_json() for each in trainings])
    elif trainings:
        print_table(columns, [[_cell(each, column) for column in columns] for each in trainings])


def _cell(each: Training, column: str) -> object:
    cells = {
        "name": each.name,
        "outcome": each.outcome,
        "version": each.result and each.result.version,
        "held-out loss": each.result and each.result.eval_loss,
        "why": each.error or each.label,
    }
    return cells[column]
