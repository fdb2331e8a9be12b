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
SHARING: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("One commit, with a model card:", ("push", "gpt-lora", "local/gpt-lora")),
    ("Back again, as a colleague would have it:", ("pull", "local/gpt-lora", "--as", "bard")),
)
ENDING: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Is every file what was recorded?", ("verify",)),
    ("What came back says the same words:", ("run", "bard", PROMPT, *SAMPLE)),
)


@click.command("demo", epilog="Example: adapter-hub demo /tmp/try-it")
@click.argument("directory", default="adapter-hub-demo", type=click.Path(path_type=Path))
@pass_context
def command(context: Context, directory: Path) -> None:
    """See the whole story in a minute or two: train, compare, push, pull, verify, run."""
    _step(context, "A registry in a folder of its own:", ("init", str(directory)))
    os.chdir(directory)
    # Whatever registry the user's environment names: this story has its own.
    os.environ["ADAPTER_HUB_REGISTRY"] = str(Path.cwd())
    context.say(f"\n$ cd {shlex.quote(str(directory))}")
    for caption, arguments in STORY:
        _step(context, caption, arguments)
    _share(context)
    for caption, arguments in ENDING:
        _step(context, caption, arguments)
    context.say(
        f"\nAll of it is in {directory}: read registry.toml, look at adapters/gpt-lora/1/loss.png,\n"
        'ask on: adapter-hub run gpt-lora "…"\n'
        "and see the model card in a browser: adapter-hub hub serve hub"
    )


def _share(context: Context) -> None:
    """Push and pull through a Hub that the demo starts and ends."""
    from adapter_hub.cli.loopback import run_in, serve_in_background

    _show(context, "A Hub of your own, a second process on this machine:")
    _show_command(context, "adapter-hub hub serve hub --port 0 2>hub.log &")
    with serve_in_background(Path("hub"), Path("hub.log")) as environment:
        # The token is in no one's scrollback.
        export = f"export HF_ENDPOINT={environment['HF_ENDPOINT']} HF_TOKEN=$(cat hub/token)"
        _show_command(context, export)
        for caption, arguments in SHARING:
            _show(context, caption)
            _show_command(context, f"adapter-hub {shlex.join(arguments)}")
            _stop_at(run_in(environment, [*_flags(context), *arguments]))
        context.say("")
        _show_command(context, "kill %1; unset HF_ENDPOINT HF_TOKEN")


def _step(context: Context, caption: str, arguments: tuple[str, ...]) -> None:
    """Show a command as a user would type it, run it in this process, and stop where it fails."""
    from adapter_hub.cli.main import group

    _show(context, caption)
    _show_command(context, f"adapter-hub {shlex.join(arguments)}")
    arguments = (*_flags(context), *arguments)
    _stop_at(group.main(arguments, prog_name="adapter-hub", standalone_mode=False))


def _show(context: Context, caption: str) -> None:
    if caption:
        context.say(click.style(f"\n{caption}", bold=True))


def _show_command(context: Context, line: str) -> None:
    context.say(click.style(f"$ {line}", fg="cyan"))


def _flags(context: Context) -> list[str]:
    return ["-q"] * context.quiet + ["-v"] * context.verbose


def _stop_at(code: int | None) -> None:
    if code:
        raise click.exceptions.Exit(code)
