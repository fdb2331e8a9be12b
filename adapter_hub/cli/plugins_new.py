"""``adapter-hub plugins new NAME``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapter_hub.cli.context import Context, pass_context

if TYPE_CHECKING:
    from adapter_hub.plugins import Kind

_TRY: dict[Kind, str] = {
    "method": "methods {name}",
    "dataset": "datasets {name}",
    "base": "base add {name} plugin:{name}",
}
"""The first command with what the plugin offers."""


@click.command("new", epilog="Example: adapter-hub plugins new steady --method")
@click.argument("name")
@click.option("--method", "method", is_flag=True, help="It brings a method (the default).")
@click.option("--dataset", "dataset", is_flag=True, help="It brings a dataset.")
@click.option("--base", "base", is_flag=True, help="It brings a base model.")
@click.option(
    "--into",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    help="The folder to put its folder into (default: here).",
)
@pass_context
def new(context: Context, name: str, method: bool, dataset: bool, base: bool, into: Path) -> None:
    """Write a plugin that works: the distribution adapter-hub-NAME, with a test that passes.

    NAME is also that of the method, dataset or base; change it into yours from there.
    """
    if method + dataset + base > 1:
        raise click.UsageError("a new plugin is one of --method, --dataset and --base.")
    kind: Kind = "dataset" if dataset else "base" if base else "method"
    from adapter_hub.plugins import load_catalog
    from adapter_hub.templates import write_plugin

    folder = write_plugin(name, kind, into, load_catalog())
    path = shlex.quote(folder.as_posix() if folder.is_absolute() else f"./{folder.as_posix()}")
    first = _TRY[kind].format(name=folder.name.removeprefix("adapter-hub-"))
    context.say(f"wrote {folder}{os.sep}: a {kind}, with its test. Next:")
    for command in (
        f"pip install -e {path}",
        "adapter-hub plugins --check",
        f"adapter-hub {first}",
        f"pytest {path}",
    ):
        context.say(f"  {command}")
