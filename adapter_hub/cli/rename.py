"""``adapter-hub rename OLD NEW``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, pass_context


@click.command("rename", epilog="Example: adapter-hub rename gpt-lora bard")
@click.argument("old")
@click.argument("new")
@pass_context
def command(context: Context, old: str, new: str) -> None:
    """Rename adapter OLD to NEW, with its versions."""
    from adapter_hub.registry.renames import rename_adapter

    rename_adapter(context.open_registry(), old, new)
    context.say(f"renamed {old} to {new}" if old != new else f"{old} has that name already")
