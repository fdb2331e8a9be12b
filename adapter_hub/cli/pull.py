"""``adapter-hub pull OWNER/REPO[@REV]``."""

from __future__ import annotations

from collections.abc import Callable

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table

_LARGE = 16 << 20


@click.command("pull", epilog="Example: adapter-hub pull me/gpt-lora@v2 --as shakespeare")
@click.argument("repository", metavar="OWNER/REPO[@REV]")
@click.option("--as", "name", help="The adapter's name here; else the repository's.")
@click.option("--base", help="The registry's base that it sits on, where its files do not tell.")
@click.option("--remote", help="A Hub of the registry: [remotes.NAME] endpoint = …")
@click.option(
    "--allow-base-drift",
    is_flag=True,
    help="Take it although the registry pins another revision of its base.",
)
@click.option(
    "--convert-pickle",
    is_flag=True,
    help="Take pickled weights too: converted in a process that can do nothing else.",
)
@click.option("--dry-run", is_flag=True, help="Say what would come; write nothing.")
@json_option("the version")
@pass_context
def command(
    context: Context,
    repository: str,
    name: str | None,
    base: str | None,
    remote: str | None,
    allow_base_drift: bool,
    convert_pickle: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fetch an adapter from the Hub and verify it; it becomes the next version of its name."""
    from adapter_hub.hub.pull import PullOptions, pull

    registry = context.open_registry()
    context.prepare_client()
    options = PullOptions(
        name=name,
        base=base,
        dry_run=dry_run,
        allow_base_drift=allow_base_drift,
        convert_pickle=convert_pickle,
    )
    result = pull(
        repository,
        registry=registry,
        remote=remote,
        options=options,
        say=context.say,
        on_bytes=_progress(context),
    )
    for each in result.unchecked:
        context.say(f"whether it fits base {result.base}, not checked: {each}")
    if as_json:
        print_json(result.as_json())
        return
    if dry_run and result.new:
        print_table(("file", "bytes"), [(path, f"{size:,}") for path, size in result.files.items()])
        click.echo(f"would fetch {result.bytes:,} bytes of {result.repo} at {result.revision}")
        if not result.unchecked:
            click.echo(f"fits base {result.base}")
        return
    what = f"{result.name}@{result.version}"
    if result.new:
        click.echo(
            f"{what} is {result.repo} at {result.revision}: {result.bytes:,} bytes, verified"
        )
    else:
        click.echo(f"{what} is {result.repo} at {result.revision} already; nothing was fetched")
    context.say(f'next: adapter-hub run {result.name} "…"')


def _progress(context: Context) -> Callable[[str, int, int], None]:
    """Say each tenth of a large file."""
    said: dict[str, int] = {}

    def on_bytes(name: str, have: int, size: int) -> None:
        tenth = 10 * have // size if size else 10
        if size >= _LARGE and tenth > said.setdefault(name, tenth):
            said[name] = tenth
            context.say(f"{name}: {tenth * 10} % of {size / 1e6:,.0f} MB")

    return on_bytes
