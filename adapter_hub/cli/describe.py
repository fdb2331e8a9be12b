"""``adapter-hub describe NAME [TEXT]``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json


@click.command(
    "describe", epilog='Example: adapter-hub describe gpt-lora "verse, after Shakespeare"'
)
@click.argument("name")
@click.argument("text", metavar="[TEXT]", required=False)
@json_option("the description")
@pass_context
def command(context: Context, name: str, text: str | None, as_json: bool) -> None:
    """Write down what adapter NAME is for, or print it. An empty TEXT ("") removes it."""
    from adapter_hub.registry.labels import describe_adapter

    registry = context.open_registry()
    if text is not None:
        describe_adapter(registry, name, text)
    description = registry.adapter(name).description
    if as_json:
        print_json({"name": name, "description": description})
    elif text is None and description:
        click.echo(description)
    elif text is None:
        context.say(f'{name} has no description; next: adapter-hub describe {name} "…"')
    else:
        context.say(f"described {name}" if description else f"{name} has no description now")
