"""``adapter-hub datasets [NAME]``."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapter_hub.cli.context import (
    Context,
    json_option,
    pass_context,
    print_fields,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from adapter_hub.plugins import Catalog, Offer


@click.command("datasets", epilog="Example: adapter-hub datasets shakespeare")
@click.argument("name", required=False, metavar="[NAME[:SPLIT]]")
@json_option("an array, or an object for one dataset")
@pass_context
def command(context: Context, name: str | None, as_json: bool) -> None:
    """List the datasets, or what one is: licence, splits, columns, options, and its first rows."""
    from adapter_hub.plugins import load_catalog

    catalog = load_catalog()
    if name is None:
        offers = catalog.all("dataset")
        if as_json:
            print_json(
                [
                    {"name": each.name, "summary": each.summary, "from": each.distribution}
                    for each in offers
                ]
            )
        else:
            print_table(
                ("dataset", "from", "summary"),
                [(each.name, each.distribution, each.summary) for each in offers],
            )
            context.say("also: .jsonl .json .csv .tsv .parquet .txt files, and hf:OWNER/DATASET")
        return
    from adapter_hub.cli.option_list import options_json, print_options
    from adapter_hub.training.sources import dataset_of

    offer = catalog.find("dataset", dataset_of(name))
    options = offer.options()
    needed = [each.name for each in options if each.required]
    rows = [] if needed else _first_rows(name, catalog)
    if as_json:
        print_json(
            {
                "name": offer.name,
                "summary": offer.summary,
                "from": offer.distribution,
                "licence": offer.licence,
                "splits": offer.splits,
                "columns": offer.columns,
                "options": options_json(options),
                "first_rows": rows,
            }
        )
        return
    click.echo(f"{offer.name}: {offer.summary} ({offer.distribution})")
    print_fields([("licence", offer.licence), ("splits", _splits(offer))])
    if offer.columns:
        click.echo("\ncolumns")
        print_fields((f"  {column}", meaning) for column, meaning in offer.columns.items())
    if options:
        click.echo("\noptions")
        print_options(options)
    for number, row in enumerate(rows, 1):
        click.echo(f"\nrow {number}:\n{row}")
    if options:
        missing = f"no row without {', '.join(needed)}; " if needed else ""
        context.say(f"\n{missing}set options with --data-option KEY=VALUE")


def _splits(offer: Offer) -> list[str]:
    """Each as it is written in a recipe, and which are meant where none is written."""
    from adapter_hub.training.sources import VALIDATION, default_split

    notes = {VALIDATION: " (held out unless told otherwise)"} if len(offer.splits) > 1 else {}
    notes[str(default_split(offer))] = f" (or {offer.name} alone)"
    return [f"{offer.name}:{each}{notes.get(each, '')}" for each in offer.splits]


def _first_rows(name: str, catalog: Catalog) -> list[Any]:
    from adapter_hub.datasets.files import SourceRow
    from adapter_hub.training.sources import find_source, open_rows

    rows = itertools.islice(open_rows(find_source(name, Path(), catalog), Path()), 2)
    return [each.row for each in rows if isinstance(each, SourceRow)]
