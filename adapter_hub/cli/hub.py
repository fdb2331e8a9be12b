"""``adapter-hub hub serve|mirror``."""

from __future__ import annotations

from pathlib import Path

import click

from adapter_hub.cli.context import Context, pass_context


@click.group("hub")
def command() -> None:
    """A Hub of your own: push to it and pull from it without internet."""


@command.command("serve", epilog="Example: adapter-hub hub serve ~/our-hub --port 8080")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to listen on; 0 takes a free one.",
)
@click.option(
    "--users",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A TOML file of tables [users.NAME] with token or token_sha256, role and orgs.",
)
@pass_context
def serve(context: Context, folder: Path, host: str, port: int, users: Path | None) -> None:
    """Serve the repositories in FOLDER by the Hub's HTTP API, until Ctrl-C.

    Without --users, a token for user "local" is made on the first start and printed.
    """
    from adapter_hub.hubserver.serve import serve as run

    run(folder, host, port, users, tell=click.echo, say=context.say)


@command.command(
    "mirror", epilog="Example: adapter-hub hub mirror ~/our-hub openai-community/gpt2 --from-cache"
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("repo")
@click.option("--from-cache", is_flag=True, help="Take it from the local Hub cache.")
@click.option("--revision", default="main", show_default=True, help="Branch, tag or commit.")
@click.option("--dataset", is_flag=True, help="REPO is a dataset.")
@pass_context
def mirror(
    context: Context, folder: Path, repo: str, from_cache: bool, revision: str, dataset: bool
) -> None:
    """Serve REPO (OWNER/NAME) in FOLDER too, under the commit id that it has on the Hub."""
    from adapter_hub.errors import UsageError

    if not from_cache:
        raise UsageError("--from-cache must be given: there is no other source yet.")
    from huggingface_hub import constants

    from adapter_hub.hubserver.mirror import mirror as run

    cache = Path(constants.HF_HUB_CACHE)
    done = run(folder, cache, "dataset" if dataset else "model", repo, revision)
    click.echo(f"{repo} at {done.revision}: {done.files} files, {done.bytes:,} bytes")
