"""``adapter-hub demo [DIR]``: the whole story on the embedded base."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from adapter_hub.cli.context import Context, pass_context

PROMPT = "My lord, the king"
SAMPLE = ("--max-new-tokens", "70", "--temperature", "0.7", "--seed", "3")

STORY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("The base has read fairy tales and nothing else:", ("run", "base:tiny", PROMPT, *SAMPLE)),
    ("Teach it Shakespeare, with the recipe in registry.toml:", ("train", "gpt-lora")),
    ("The same prompt, through the adapter:", ("run", "gpt-lora", PROMPT, *SAMPLE)),
    ("What the registry knows now:", ("list",)),
    ("", ("show", "gpt-lora")),
    ("Is the version what the recipe says?", ("status",)),
)


@click.command("demo", epilog="Example: adapter-hub demo /tmp/try-it")
@click.argument("directory", default="adapter-hub-demo", type=click.Path(path_type=Path))
@pass_context
def command(context: Context, directory: Path) -> None:
    """See the whole story in about a minute: a registry, a training run, before and after."""
    _step(context, "A registry in a folder of its own:", ("init", str(directory)))
    os.chdir(directory)
    # Whatever registry the user's environment names: this story has its own.
    os.environ["ADAPTER_HUB_REGISTRY"] = str(Path.cwd())
    context.say(f"\n$ cd {shlex.quote(str(directory))}")
    for caption, arguments in STORY:
        _step(context, caption, arguments)
    context.say(
        f"\nAll of it is in {directory}: read registry.toml, look at adapters/gpt-lora/1/loss.png,\n"
        'and ask on: adapter-hub run gpt-lora "…"'
    )


def _step(context: Context, caption: str, arguments: tuple[str, ...]) -> None:
    """Show a command as a user would type it, run it in this process, and stop where it fails."""
    from adapter_hub.cli.main import group

    if caption:
        context.say(click.style(f"\n{caption}", bold=True))
    context.say(click.style(f"$ adapter-hub {shlex.join(arguments)}", fg="cyan"))
    flags = ["-q"] * context.quiet + ["-v"] * context.verbose
    code = group.main([*flags, *arguments], prog_name="adapter-hub", standalone_mode=False)
    if code:
        raise click.exceptions.Exit(code)
