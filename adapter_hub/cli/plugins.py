"""``adapter-hub plugins``: the list; each subcommand has a file of its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table
from adapter_hub.cli.plugins_install import install
from adapter_hub.cli.plugins_new import new
from adapter_hub.cli.plugins_uninstall import uninstall

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


command.add_command(install)
command.add_command(new)
command.add_command(uninstall)


def _list(check: bool, as_json: bool) -> None:
    lines = plugin_lines()
    if as_json:
        print_json(lines)
    else:
        headings = ("name", "distribution", "version", "offers", "status")
        rows = [{**line, "offers": _shown(line["offers"])} for line in lines]
        print_table(headings, [[row[heading] for heading in headings] for row in rows])
    if check and any(line["status"] != "ok" for line in lines):
        raise click.exceptions.Exit(1)


def plugin_lines() -> list[dict[str, Any]]:
    """What ``plugins --json`` prints: what is built in, what works, what is broken and why.

    Raises PluginError in strict mode.
    """
    from importlib.metadata import version

    from adapter_hub.cli.main import SECTIONS
    from adapter_hub.cli.plugin_commands import check_commands
    from adapter_hub.plugins import BUILT_IN, KINDS, load_catalog

    catalog = load_catalog()
    catalog.load_all()
    commands, refused = check_commands({name for names in SECTIONS.values() for name in names})
    built_in = [
        f"{offer.kind} {offer.name}"
        for kind in KINDS
        for offer in catalog.all(kind)
        if offer.distribution == BUILT_IN
    ]
    lines = [_line(BUILT_IN, "adapter-hub", version("adapter-hub"), built_in)]
    for plugin in catalog.plugins:
        offers = [f"{offer.kind} {offer.name}" for offer in plugin.offers]
        lines.append(_line(plugin.name, plugin.distribution, plugin.version, offers))
    for entry in commands:
        offers = [f"command {entry.name}"]
        lines.append(_line(entry.name, entry.distribution, entry.version, offers))
    for each in dict.fromkeys([*catalog.problems, *refused]):
        lines.append(_line(each.plugin, each.distribution, each.version, [], each.reason))
    return lines


def _line(
    name: str, distribution: str, version: str, offers: list[str], status: str = "ok"
) -> dict[str, Any]:
    return {
        "name": name,
        "distribution": distribution,
        "version": version,
        "status": status,
        "offers": offers,
    }


def _shown(offers: list[str]) -> str:
    """Offers by name, or of a plugin with many their number: a line must stay a line."""
    if len(offers) <= _NAMED:
        return ", ".join(offers)
    counts = Counter(each.partition(" ")[0] for each in offers)
    return ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items())
