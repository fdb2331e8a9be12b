"""``adapter-hub tag NAME T…``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json


@click.command(
    "tag",
    epilog="Example: adapter-hub tag gpt-lora poems --remove draft",
)
@click.argument("name")
@click.argument("tags", metavar="[TAG]...", nargs=-1)
@click.option("--remove", metavar="TAG", multiple=True, help="Take this tag away; repeatable.")
@json_option("the tags")
@pass_context
def command(
    context: Context, name: str, tags: tuple[str, ...], remove: tuple[str, ...], as_json: bool
) -> None:
    """Add TAGs to adapter NAME; print those that it has then."""
    from adapter_hub.registry.labels import tag_adapter

    has = tag_adapter(context.open_registry(), name, tags, remove)
    if as_json:
        print_json({"name": name, "tags": has})
    elif has:
        click.echo("\n".join(has))
    else:
        context.say(f"{name} has no tags")
