"""``adapter-hub plugins``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table


@click.command("plugins", epilog="Example: adapter-hub plugins --json")
@click.option("--check", is_flag=True, help="Exit with 1 when a plugin is broken.")
@json_option("an array")
@pass_context
def command(context: Context, check: bool, as_json: bool) -> None:
    """List the installed plugins, what each offers, and which are broken."""
    from adapter_hub.plugins import load_catalog

    catalog = load_catalog()
    catalog.load_all()
    lines = [
        {
            "name": each.name,
            "distribution": each.distribution,
            "version": each.version,
            "status": "ok",
            "offers": [f"{offer.kind} {offer.name}" for offer in each.offers],
        }
        for each in catalog.plugins
    ] + [
        {
            "name": each.plugin,
            "distribution": each.distribution,
            "version": "",
            "status": each.reason,
            "offers": [],
        }
        for each in catalog.problems
    ]
    if as_json:
        print_json(lines)
    elif lines:
        headings = ("name", "distribution", "version", "offers", "status")
        print_table(headings, [[line[heading] for heading in headings] for line in lines])
    else:
        context.say(
            "no plugins are installed; what is built in: adapter-hub methods, adapter-hub datasets"
        )
    if check and catalog.problems:
        raise click.exceptions.Exit(1)
