"""``adapter-hub train A B …`` and ``adapter-hub train --stale``: several runs in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from adapter_hub.cli.context import Context, print_json, print_table

if TYPE_CHECKING:
    from adapter_hub.registry.store import Registry
    from adapter_hub.training.plan import Changes
    from adapter_hub.training.run_options import RunOptions
    from adapter_hub.training.several import Training
    from adapter_hub.training.start import Start


class Work:
    """``make`` makes runs, ``at_once`` of them beside each other."""

    # Not a dataclass: making one takes longer than the rest of this module.
    def __init__(self, make: Callable[[Sequence[Training]], None], at_once: int) -> None:
        self.make = make
        self.at_once = at_once


def on_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The flags that say where runs are made."""
    function = click.option(
        "--on-option",
        "on_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="An option of the executor, such as address=HOST:PORT; repeatable.",
    )(function)
    return click.option(
        "--on", metavar="EXECUTOR", help="Not in this process: by an executor of a plugin, as ray."
    )(function)


_GO_WITH_STALE = ("stale", "dry_run", "as_json", "on", "on_options")


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


def train_all_stale(
    context: Context, dry_run: bool, as_json: bool, on: str | None, on_options: Sequence[str]
) -> None:
    """List what is stale or never trained, train it unless ``dry_run``, and sum it up.

    Exits with 1 when one failed. Raises Interrupted, UsageError.
    """
    from adapter_hub.training.stale import to_train

    refuse_launched("--stale trains")
    registry = context.open_registry()
    context.warn_of_unknown_keys(registry)
    trainings = to_train(registry)
    if not trainings:
        context.say("nothing is stale, and nothing was never trained")
    if dry_run or not trainings:
        _print(trainings, as_json, ("name", "why"))
        return
    work = prepare_work(context, registry, "adapter-hub train --stale", on, on_options)
    _train(work, trainings, as_json)


def train_named(
    context: Context,
    registry: Registry,
    names: Sequence[str],
    changes: Changes,
    start: Start | None,
    restart: bool,
    options: RunOptions,
    as_json: bool,
    on: str | None,
    on_options: Sequence[str],
) -> None:
    """Train each of ``names`` with the same changes, and sum it up.

    Exits with 1 when one failed. Raises Interrupted, UsageError.
    """
    from adapter_hub.training.several import Training, by_base

    refuse_launched("several names are trained")
    trainings = by_base([Training(name, changes=changes) for name in names], registry)
    again = f"adapter-hub train {' '.join(names)}, with the same flags"
    work = prepare_work(
        context, registry, again, on, on_options, start=start, restart=restart, options=options
    )
    _train(work, trainings, as_json)


def refuse_launched(what: str) -> None:
    """Raises UsageError in one of several processes, for what only one can do."""
    from adapter_hub.errors import UsageError
    from adapter_hub.training.processes import process_count

    if process_count() > 1:
        raise UsageError(f"{what} in one process.", hint="launch each run by itself: train NAME")


def prepare_work(
    context: Context,
    registry: Registry,
    again: str,
    on: str | None,
    on_options: Sequence[str],
    **how: Any,
) -> Work:
    """How runs are made: in this process, or by the executor ``on``; ``again`` goes on with them.

    ``how`` goes to ``train_several`` or ``train_elsewhere``. Raises UsageError, PluginError.
    """
    from adapter_hub.errors import UsageError
    from adapter_hub.options import parse_assignment
    from adapter_hub.plugins import load_catalog
    from adapter_hub.training.elsewhere import find_executor, train_elsewhere
    from adapter_hub.training.several import train_several
    from adapter_hub.training.workbench import Workbench

    if on_options and not on:
        raise UsageError("--on-option is an option of what --on names.", hint="adapter-hub plugins")
    catalog = load_catalog()
    options = dict(parse_assignment(each, "--on-option") for each in on_options)
    executor = find_executor(on, options, catalog) if on else None
    context.prepare_libraries()
    how |= {"registry": registry, "again": again, "say": context.say}
    if executor is not None:
        return Work(lambda runs: train_elsewhere(runs, executor, **how), executor.at_once)
    from adapter_hub.cli.progress import ProgressLine

    here: dict[str, Any] = {"catalog": catalog, "bench": Workbench()}
    progress = partial(ProgressLine, context.quiet)
    return Work(lambda runs: train_several(runs, progress=progress, **here, **how), 1)


def _train(work: Work, trainings: list[Training], as_json: bool) -> None:
    try:
        work.make(trainings)
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
