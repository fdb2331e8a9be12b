"""``adapter-hub copy REF NAME``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json


@click.command("copy", epilog="Example: adapter-hub copy gpt-lora@2 bard")
@click.argument("reference", metavar="REF")
@click.argument("name")
@click.option("--recipe", "recipe_only", is_flag=True, help="Copy the recipe and no version.")
@json_option("what there is now")
@pass_context
def command(context: Context, reference: str, name: str, recipe_only: bool, as_json: bool) -> None:
    """Make adapter NAME with the recipe of REF, and its version as version 1.

    REF is NAME for the newest version, NAME@VERSION or NAME@ALIAS. Aliases stay behind.
    """
    from adapter_hub.registry.copies import copy_adapter

    made = copy_adapter(context.open_registry(), reference, name, recipe_only=recipe_only)
    if as_json:
        print_json(made)
    elif made["version"] is None:
        context.say(f"{name} has the recipe of {made['from']}; next: adapter-hub train {name}")
    else:
        context.say(f"{name}@{made['version']} is a copy of {made['from']}")
