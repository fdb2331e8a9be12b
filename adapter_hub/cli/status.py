"""``adapter-hub status [NAME…]``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table


@click.command("status", epilog="Example: adapter-hub status gpt-lora")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option("an array")
@pass_context
def command(context: Context, names: tuple[str, ...], as_json: bool) -> None:
    """Say which adapters are current, stale (and why), modified, never trained, ahead of the Hub."""
    from adapter_hub.training.status import adapter_status

    registry = context.open_registry()
    context.warn_of_unknown_keys(registry)
    chosen = dict.fromkeys(names or registry.adapter_names())
    adapters = [registry.adapter(name) for name in chosen]
    states = [adapter_status(registry, adapter) for adapter in adapters]
    if as_json:
        print_json(states)
        return
    print_table(
        ("name", "version", "state", "why"),
        [(each["name"], each["version"] or "-", each["state"], each["why"]) for each in states],
    )
