"""``adapter-hub train --stale``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from adapter_hub.cli.context import Context, print_json, print_table

if TYPE_CHECKING:
    from adapter_hub.training.stale import Training

_GO_WITH_IT = ("stale", "dry_run", "as_json")


def refuse_others(ctx: click.Context) -> None:
    """Raises UsageError for whatever was given with --stale and has no meaning there."""
    from adapter_hub.errors import UsageError

    for parameter in ctx.command.params:
        name = str(parameter.name)
        given = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or not parameter.expose_value or name in _GO_WITH_IT:
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
    from adapter_hub.errors import Interrupted, UsageError
    from adapter_hub.plugins import load_catalog
    from adapter_hub.training.processes import process_count
    from adapter_hub.training.stale import to_train, train_stale

    if process_count() > 1:
        raise UsageError(
            "--stale trains in one process.", hint="launch each run by itself: train NAME"
        )
    registry = context.open_registry()
    context.warn_of_unknown_keys(registry)
    trainings = to_train(registry)
    if dry_run or not trainings:
        _print(context, trainings, as_json, ("name", "state", "why"))
        return
    from adapter_hub.cli.progress import ProgressLine

    context.prepare_libraries()
    try:
        train_stale(
            trainings,
            registry=registry,
            catalog=load_catalog(),
            say=context.say,
            progress=lambda: ProgressLine(context.quiet),
        )
    except Interrupted:
        _print(context, trainings, as_json, _COLUMNS)
        raise
    _print(context, trainings, as_json, _COLUMNS)
    if any(each.outcome == "failed" for each in trainings):
        raise click.exceptions.Exit(1)


_COLUMNS = ("name", "outcome", "version", "held-out loss", "reason")


def _print(
    context: Context, trainings: list[Training], as_json: bool, columns: tuple[str, ...]
) -> None:
    if as_json:
        print_json([each.as_json() for each in trainings])
        return
    if not trainings:
        context.say("nothing is stale, and nothing was never trained")
        return
    print_table(columns, [[_cell(each, column) for column in columns] for each in trainings])


def _cell(each: Training, column: str) -> object:
    cells = {
        "name": each.status.name,
        "state": each.status.state,
        "outcome": each.outcome,
        "version": each.result and each.result.version,
        "held-out loss": each.result and each.result.eval_loss,
        "reason": each.error or each.reason,
        "why": each.status.why,
    }
    return cells[column]
