"""``adapter-hub data preview DATA --base B``."""

from __future__ import annotations

import os
import sys

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json


@click.group("data", epilog="Example: adapter-hub data preview train.jsonl --base tiny")
def command() -> None:
    """Look at training data as the model will see it."""


@command.command(
    "preview", epilog="Example: adapter-hub data preview train.jsonl --base tiny --rows 3"
)
@click.argument("data")
@click.option("--base", required=True, help="The base whose tokenizer reads the rows.")
@click.option(
    "--rows", type=click.IntRange(1), default=3, show_default=True, help="How many rows to show."
)
@click.option(
    "--max-length",
    type=click.IntRange(2),
    default=1024,
    show_default=True,
    help="Longest row in tokens.",
)
@click.option(
    "--train-on",
    type=click.Choice(["completion", "all"]),
    default="completion",
    help="Which tokens carry loss.",
)
@click.option(
    "--column-map", multiple=True, metavar="COLUMN=NAME", help="Read COLUMN as NAME; repeatable."
)
@click.option(
    "--data-option",
    "data_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the dataset; repeatable.",
)
@json_option("the rows and totals")
@pass_context
def preview(
    context: Context,
    data: str,
    base: str,
    rows: int,
    max_length: int,
    train_on: str,
    column_map: tuple[str, ...],
    data_options: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show the first rows of DATA: tokens, what is trained on, lengths, and the bad rows."""
    from adapter_hub.options import parse_assignment
    from adapter_hub.plugins import load_catalog
    from adapter_hub.training.plan import data_as_recipe_says
    from adapter_hub.training.sources import find_source

    registry = context.open_registry()
    catalog = load_catalog()
    options = dict(parse_assignment(each, "--data-option") for each in data_options)
    source = find_source(data_as_recipe_says(data, registry), registry.folder, catalog, options)
    chosen = registry.base(base)
    columns = {key: str(value) for key, value in map(parse_assignment, column_map)}
    context.prepare_libraries()
    from adapter_hub.training.preview import preview_data

    found = preview_data(registry, chosen, source, catalog, rows, max_length, train_on, columns)  # type: ignore[arg-type]
    if as_json:
        print_json(found)
        return
    for row in found["first"]:
        click.echo(
            click.style(f"{row['where']}", bold=True)
            + f"  {row['tokens']} tokens, {row['loss_tokens']} trained on"
            + (f", cut from {row['full_length']}" if row["full_length"] > row["tokens"] else "")
        )
        for piece in row["pieces"]:
            click.echo(_marked(piece["text"], piece["loss"]), nl=False)
        click.echo("\n")
    legend = "green" if _colours() else "between ⟦ and ⟧"
    context.say(f"(trained on: {legend}; style {found['style']})")
    lengths = found["lengths"]
    click.echo(
        f"{'' if found['whole'] else 'the first '}{found['rows']:,} rows, "
        f"{found['examples']:,} examples; "
        f"tokens a row: {lengths['min']} to {lengths['max']}, median {lengths['median']}; "
        f"{found['loss_tokens']:,} of {found['tokens']:,} tokens trained on; "
        f"{found['truncated']:,} cut at {found['max_length']}; {found['bad']:,} bad rows"
    )
    for bad in found["bad_rows"]:
        click.echo(f"  {bad['where']}: {bad['reason']}")


def _colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _marked(text: str, loss: bool) -> str:
    """Text with loss stands out, by colour or by brackets."""
    if _colours():
        return click.style(text, fg="green") if loss else click.style(text, dim=True)
    return f"⟦{text}⟧" if loss else text
