"""``adapter-hub import FOLDER --as NAME``."""

from __future__ import annotations

from pathlib import Path

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json


@click.command(
    "import", epilog="Example: adapter-hub import outputs/checkpoint-500 --as sql --base smollm2"
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--as",
    "name",
    required=True,
    help="The adapter to import it as; an existing one gets a new version.",
)
@click.option(
    "--base", help="The base it sits on, when its config does not name one of the registry."
)
@click.option(
    "--convert-pickle",
    is_flag=True,
    help="Take pickled weights (adapter_model.bin) too: converted in a process that can do nothing else.",
)
@json_option("the new version")
@pass_context
def command(
    context: Context,
    folder: Path,
    name: str,
    base: str | None,
    convert_pickle: bool,
    as_json: bool,
) -> None:
    """Take over an adapter that plain PEFT saved in FOLDER."""
    from adapter_hub.loading.imports import import_adapter, import_pickle
    from adapter_hub.plugins import load_catalog

    take = import_pickle if convert_pickle else import_adapter
    result = take(context.open_registry(), load_catalog(), folder, name, base)
    if as_json:
        print_json(result)
    else:
        click.echo(
            f"{result['name']}@{result['version']} on {result['base']}: {len(result['files'])} files"
        )
        context.say(f'next: adapter-hub run {result["name"]} "…"')
