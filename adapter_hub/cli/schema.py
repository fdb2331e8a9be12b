"""``adapter-hub schema [--write]``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, pass_context


@click.command("schema", epilog="Example: adapter-hub schema --write")
@click.option(
    "--write",
    is_flag=True,
    help="Write it beside the registry, whose first line then names it; both belong into git.",
)
@pass_context
def command(context: Context, write: bool) -> None:
    """Print the JSON Schema of registry.toml, by which editors complete and check it."""
    from adapter_hub.registry.editors import name_schema, put_schema, shipped_schema

    if not write:
        click.echo(shipped_schema(), nl=False)
        return
    registry = context.open_registry()
    path = put_schema(registry.folder)
    named = name_schema(registry)
    context.say(f"wrote {path}" + (f", and named it in {registry.path}" if named else ""))
