"""``adapter-hub plugins``: the list; each subcommand has a file of its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table

_NAMED = 5
"""The most offers of a plugin that are named in the table; ``--json`` has them all."""


@click.group(
    "plugins",
    invoke_without_command=True,
    subcommand_metavar="[COMMAND] …",
    epilog="Example: adapter-hub plugins --json",
)
@click.option("--check", is_flag=True, help="Exit with 1 when a plugin is broken.")
@json_option("an array")
@pass_context
def command(context: Context, check: bool, as_json: bool) -> None:
    """List what is built in and each plugin's offers, and say which plugins are broken."""
    if subcommand := click.get_current_context().invoked_subcommand:
        if check or as_json:
            raise click.UsageError(f"--check and --json are for the list, not for {subcommand}.")
        return
    _list(check, as_json)


def _list(check: bool, as_json: bool) -> None:
    from importlib.metadata import version

    from adapter_hub.plugins import BUILT_IN, KINDS, load_catalog

    catalog = load_catalog()
    catalog.load_all()
    built_in = [
        f"{offer.kind} {offer.name}"
        for kind in KINDS
        for offer in catalog.all(kind)
        if offer.distribution == BUILT_IN
    ]
    lines: list[dict[str, Any]] = [
        {
            "name": BUILT_IN,
            "distribution": "adapter-hub",
            "version": version("adapter-hub"),
            "status": "ok",
            "offers": built_in,
        }
    ]
    lines += [
        {
            "name": each.name,
            "distribution": each.distribution,
            "version": each.version,
            "status": "ok",
            "offers": [f"{offer.kind} {offer.name}" for offer in each.offers],
        }
        for each in catalog.plugins
    ]
    lines += [
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
    else:
        headings = ("name", "distribution", "version", "offers", "status")
        rows = [{**line, "offers": _shown(line["offers"])} for line in lines]
        print_table(headings, [[row[heading] for heading in headings] for row in rows])
    if check and catalog.problems:
        raise click.exceptions.Exit(1)


def _shown(offers: list[str]) -> str:
    """Offers by name, or of a plugin with many their number: a line must stay a line."""
    if len(offers) <= _NAMED:
        return ", ".join(offers)
    counts = Counter(each.partition(" ")[0] for each in offers)
    return ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items())
