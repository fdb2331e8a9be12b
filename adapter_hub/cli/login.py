"""``adapter-hub login``."""

from __future__ import annotations

import sys

import click

from adapter_hub.cli.context import Context, pass_context


@click.command("login", epilog="Example: adapter-hub login --remote team")
@click.option("--remote", help="A Hub of the registry: [remotes.NAME] endpoint = …")
@pass_context
def command(context: Context, remote: str | None) -> None:
    """Store a token for a Hub, read from the terminal or standard input, once the Hub knows it."""
    from adapter_hub.errors import UsageError
    from adapter_hub.hub.accounts import log_in
    from adapter_hub.hub.remotes import find_remote

    where = find_remote(context.registry_if_any() if remote else None, remote)
    if sys.stdin.isatty():
        token = click.prompt(f"Token for {where.endpoint}", hide_input=True, err=True)
    else:
        token = sys.stdin.readline()
    if not token.strip():
        raise UsageError("there is no token on standard input.")
    context.prepare_client()
    click.echo(f"logged in to {where.endpoint} as {log_in(where, token.strip())}")
