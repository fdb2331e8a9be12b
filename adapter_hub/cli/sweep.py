"""``adapter-hub sweep NAME``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from adapter_hub.cli.context import (
    Context,
    from_here,
    json_option,
    pass_context,
    print_fields,
    print_json,
    print_table,
)
from adapter_hub.cli.recipe_flags import named_changes, recipe_flags, refuse_both
from adapter_hub.cli.train_several import on_options, prepare_work, refuse_launched

if TYPE_CHECKING:
    from adapter_hub.training.space import Values
    from adapter_hub.training.sweep import Sweep, Tried


class _Sweep(click.Command):
    """Has a flag for each training setting, made when they are asked for: reading the settings'
    types takes longer than all that the list of commands needs."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not any(each.name == "learning_rate" for each in self.params):
            place = 1 + next(n for n, each in enumerate(self.params) if each.name == "options")
            self.params[place:place] = _setting_options()
        return super().get_params(ctx)


def _setting_options() -> list[click.Parameter]:
    from adapter_hub.model import TrainingSettings
    from adapter_hub.options import options_of

    return [
        click.Option(
            [f"--{each.name.replace('_', '-')}", each.name],
            metavar="VALUE[,VALUE]…",
            help=f"{each.help[0].upper()}{each.help[1:]}.",
        )
        for each in options_of(TrainingSettings)
    ]


@click.command(
    "sweep",
    cls=_Sweep,
    epilog="Example: adapter-hub sweep gpt-lora -o r=4,8,16 --learning-rate 1e-4,3e-4 --steps 200",
)
@click.argument("name")
@recipe_flags
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE[,VALUE]…",
    help="A method option, with the values to try; repeatable.",
)
@click.option(
    "--optuna",
    "draws",
    type=click.IntRange(min=1),
    metavar="N",
    help="Not all combinations: N trials, drawn by Optuna; a value may be LOW..HIGH then.",
)
@click.option(
    "--alias", default="best", show_default=True, help="The name that the best version gets."
)
@click.option("--from", "start", metavar="REF", help="Go on from this version in every trial.")
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Answers for the report of each trial.",
)
@on_options
@click.option("--dry-run", is_flag=True, help="List the trials; train nothing.")
@json_option("the trials and the best of them")
@pass_context
def command(
    context: Context,
    /,
    name: str,
    base: str | None,
    method: str | None,
    options: tuple[str, ...],
    data: str | None,
    data_options: tuple[str, ...],
    eval_data: str | None,
    column_map: tuple[str, ...],
    draws: int | None,
    alias: str,
    start: str | None,
    samples: int,
    on: str | None,
    on_options: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **settings: str | None,
) -> None:
    """Train the recipe of NAME with every combination of the values given, a version for each.

    The version of the lowest held-out loss gets the alias, and its recipe becomes NAME's. A sweep
    that was interrupted goes on when it is started again.
    """
    from adapter_hub.plugins import load_catalog
    from adapter_hub.training.draws import import_optuna
    from adapter_hub.training.run_options import RunOptions
    from adapter_hub.training.space import changes_of, divide
    from adapter_hub.training.start import find_start
    from adapter_hub.training.sweep import Sweeping

    refuse_launched("a sweep trains")
    refuse_both(settings, eval_data)
    fixed, space = divide(_values(options, settings))
    registry = context.open_registry()
    context.warn_of_unknown_keys(registry, [name])
    if draws and not dry_run:
        import_optuna()
    named = named_changes(
        registry,
        base=base,
        method=method,
        data=data,
        data_options=data_options,
        eval_data=eval_data,
        column_map=column_map,
    )
    settled = changes_of(fixed)
    changes = replace(named, options=settled.options, training=settled.training)
    sweeping = Sweeping(
        registry,
        name,
        space,
        changes,
        load_catalog(),
        start=find_start(start, registry) if start else None,
        alias=alias,
        draws=draws,
    )
    if dry_run:
        _print_planned(context, sweeping.planned(), as_json)
        return
    work = prepare_work(
        context,
        registry,
        f"adapter-hub sweep {name}, with the same flags",
        on,
        on_options,
        start=sweeping.start,
        options=RunOptions(samples=samples),
    )
    found = sweeping.run(work.make, work.at_once)
    print_json(found.as_json()) if as_json else _print(context, found)
    if any(each.outcome == "failed" for each in found.tried):
        raise click.exceptions.Exit(1)


def _values(options: Sequence[str], settings: Mapping[str, str | None]) -> dict[str, Values]:
    from adapter_hub.errors import UsageError
    from adapter_hub.training.space import OPTIONS, parse_values

    given = {}
    for each in options:
        key, equals, raw = each.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{each!r} is not of the form key=value.")
        given[f"{OPTIONS}{key.strip()}"] = raw
    given |= {name: text for name, text in settings.items() if text is not None}
    return {name: parse_values(name.removeprefix(OPTIONS), text) for name, text in given.items()}


def _print_planned(context: Context, tried: Sequence[Tried], as_json: bool) -> None:
    from adapter_hub.training.space import shown

    if as_json:
        print_json([each.as_json() for each in tried])
        return
    rows = [(shown(each.point), each.outcome, each.version, each.eval_loss) for each in tried]
    print_table(("trial", "outcome", "version", "held-out loss"), rows)
    context.say(f"{len(tried)} trials")


def _print(context: Context, sweep: Sweep) -> None:
    from adapter_hub.training.space import OPTIONS

    names = list(dict.fromkeys(name for each in sweep.tried for name in each.point))
    headings = [*(name.removeprefix(OPTIONS) for name in names), "version", "held-out loss"]
    rows = [
        [
            *(each.point[name] for name in names),
            each.version,
            each.eval_loss,
            each.train_loss,
            each.training.error or each.outcome,
        ]
        for each in sweep.ranking
    ]
    print_table([*headings, "training loss", "outcome"], rows)
    click.echo()
    print_fields(
        [("best", f"{sweep.name}@{sweep.best}"), ("plot", sweep.plot and from_here(sweep.plot))]
    )
    if sweep.better is not None:
        context.say(
            f"{sweep.name}@{sweep.alias} stays {sweep.name}@{sweep.better}: on the same rows its "
            "held-out loss is lower"
        )
    context.say(f'next: adapter-hub run {sweep.name}@{sweep.alias} "…"')
