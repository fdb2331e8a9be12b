"""``adapter-hub sync``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json


@click.command("sync", epilog="Example: adapter-hub sync --frozen")
@click.option(
    "--frozen",
    is_flag=True,
    help="Refuse when registry.lock is not what registry.toml says, and write neither.",
)
@json_option("what became of each base and version")
@pass_context
def command(context: Context, frozen: bool, as_json: bool) -> None:
    """Fetch the versions and bases that registry.lock names and that are not here."""
    from adapter_hub.errors import AdapterHubError

    registry = context.open_registry()
    context.prepare_client()
    from adapter_hub.hub.sync import sync
    from adapter_hub.plugins import load_catalog

    done = sync(registry=registry, catalog=load_catalog(), frozen=frozen, say=context.say)
    if done.locked:
        context.say("registry.lock was out of date, and is written anew")
    if as_json:
        print_json(done.as_json())
    else:
        for each in (*done.bases, *done.versions):
            if each.state == "fetched":
                click.echo(f"{each.name}: fetched")
        whole = sum(each.state != "failed" for each in done.versions)
        context.say(
            f"{whole} of {len(done.versions)} versions and "
            f"{sum(each.state != 'failed' for each in done.bases)} of {len(done.bases)} "
            "bases are here"
        )
    for each in done.failed:
        click.echo(f"{each.name}: {each.why}", err=True)
        if each.hint:
            click.echo(f"  {each.hint}", err=True)
    if done.failed:
        raise AdapterHubError(
            f"{len(done.failed)} of {len(done.bases) + len(done.versions)} could not be had: "
            f"{', '.join(each.name for each in done.failed[:5])}."
        )
