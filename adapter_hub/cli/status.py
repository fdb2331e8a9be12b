"""``adapter-hub status [NAME…]``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table

_CURRENT = ("current", "ahead of the Hub")


@click.command("status", epilog="Example: adapter-hub status gpt-lora")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when one is not current: for CI.")
@json_option("an array")
@pass_context
def command(context: Context, names: tuple[str, ...], exit_code: bool, as_json: bool) -> None:
    """Say which adapters are current, stale (and why), modified, never trained, ahead of the Hub.

    Stale is one whose recipe, base, data file or plugin changed after its newest version. Files
    of a version are hashed again only when their size or times say that they may have changed;
    `verify` always reads them.
    """
    from adapter_hub.registry.duplicates import find_doubles
    from adapter_hub.training.status import all_status

    registry = context.open_registry()
    context.warn_of_unknown_keys(registry, names)
    for each in () if names else find_doubles(registry):
        context.warn(each)
    states = all_status(registry, names)
    if as_json:
        print_json([each.as_json() for each in states])
    else:
        print_table(
            ("name", "version", "state", "why"),
            [(each.name, each.version or "-", each.state, each.why) for each in states],
        )
    if exit_code and any(each.state not in _CURRENT for each in states):
        raise click.exceptions.Exit(1)
