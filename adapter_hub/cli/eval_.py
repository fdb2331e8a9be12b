"""``adapter-hub eval REF… --data D``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table


@click.command("eval", epilog="Example: adapter-hub eval sums sums@1 base:tiny --data valid.jsonl")
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@click.option(
    "--data",
    help="A dataset, DATASET:SPLIT, a file, or hf:OWNER/DATASET; else what the recipe of the first REF holds out.",
)
@click.option(
    "--data-option",
    "data_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the dataset; repeatable.",
)
@click.option(
    "--column-map",
    multiple=True,
    metavar="COLUMN=NAME",
    help="Read COLUMN as NAME; repeatable. Else as in the training.",
)
@click.option(
    "--on",
    "train_on",
    type=click.Choice(["completion", "all"]),
    default="completion",
    show_default=True,
    help="Which tokens count: of the answers, or all.",
)
@click.option("--limit", type=click.IntRange(1), help="So many rows at most.")
@click.option(
    "--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Rows in one pass."
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    help="Type of the base's weights.",
)
@click.option("--no-record", is_flag=True, help="Do not write the result into the registry.")
@json_option("an array")
@pass_context
def command(
    context: Context,
    references: tuple[str, ...],
    data: str | None,
    data_options: tuple[str, ...],
    column_map: tuple[str, ...],
    no_record: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure REFs on rows: loss, perplexity, tokens and whole answers that are right.

    REF base:NAME is the bare base. What is measured of a version is kept with it, and `list
    --where 'valid.loss<1.9'` finds it.
    """
    from adapter_hub.model import parse_reference
    from adapter_hub.options import parse_assignment
    from adapter_hub.plugins import load_catalog
    from adapter_hub.training.evaluate import evaluate, held_out_of, require_known
    from adapter_hub.training.plan import data_as_recipe_says
    from adapter_hub.training.sources import find_source

    registry = context.open_registry()
    parsed = [parse_reference(each) for each in references]
    require_known(parsed, registry)
    data = data_as_recipe_says(data, registry) if data else held_out_of(parsed[0], registry)
    options = dict(parse_assignment(each, "--data-option") for each in data_options)
    columns = {key: str(value) for key, value in map(parse_assignment, column_map)}
    catalog = load_catalog()
    find_source(data, registry.folder, catalog, options)  # what is wrong is told before torch
    context.prepare_libraries()
    found = evaluate(
        parsed,
        data,
        registry=registry,
        catalog=catalog,
        data_options=options,
        column_map=columns or None,
        record=not no_record,
        say=context.say,
        **settings,
    )
    if as_json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ("reference", "loss", "perplexity", "tokens right", "answers right", "examples"),
        [
            (
                each.reference,
                f"{each.loss:.4f}",
                f"{each.perplexity:.2f}",
                f"{each.token_accuracy:.1%}",
                "" if each.exact_match is None else f"{each.exact_match:.1%}",
                f"{each.examples:,}",
            )
            for each in found
        ],
    )
    kept = [each for each in found if each.recorded]
    if kept:
        named = [f"{each.reference.partition('@')[0]}@{each.version}" for each in kept]
        context.say(f"kept with {', '.join(named)}")
