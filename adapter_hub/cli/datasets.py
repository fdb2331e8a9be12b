"""``adapter-hub datasets [NAME]``."""

from __future__ import annotations

import itertools

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table


@click.command("datasets", epilog="Example: adapter-hub datasets shakespeare")
@click.argument("name", required=False)
@json_option("an array, or an object for one dataset")
@pass_context
def command(context: Context, name: str | None, as_json: bool) -> None:
    """List the datasets, or the first rows of one."""
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
    offer = catalog.find("dataset", name)
    rows = list(itertools.islice(offer.resolve()(), 2))
    if as_json:
        print_json(
            {
                "name": offer.name,
                "summary": offer.summary,
                "from": offer.distribution,
                "first_rows": rows,
            }
        )
        return
    click.echo(f"{offer.name}: {offer.summary} ({offer.distribution})")
    for number, row in enumerate(rows, 1):
        click.echo(f"\nrow {number}:\n{row}")
