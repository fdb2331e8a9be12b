"""``adapter-hub whoami``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_fields, print_json


@click.command("whoami", epilog="Example: adapter-hub whoami --remote team")
@click.option("--remote", help="A Hub of the registry: [remotes.NAME] endpoint = …")
@json_option("the account")
@pass_context
def command(context: Context, remote: str | None, as_json: bool) -> None:
    """Say who you are to a Hub, and which names you may write to."""
    from adapter_hub.hub.accounts import who_am_i
    from adapter_hub.hub.remotes import find_remote

    where = find_remote(context.registry_if_any() if remote else None, remote)
    context.prepare_client()
    found = who_am_i(where)
    if as_json:
        print_json(found)
    else:
        print_fields(found.items())
