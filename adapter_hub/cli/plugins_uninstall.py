"""``adapter-hub plugins uninstall NAME…``."""

from __future__ import annotations

from collections.abc import Collection

import click

from adapter_hub.cli.context import Context, confirm, pass_context


@click.command("uninstall", epilog="Example: adapter-hub plugins uninstall adapter-hub-bitfit")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_context
def uninstall(context: Context, names: tuple[str, ...], yes: bool) -> None:
    """Remove plugins with pip of this environment; says which adapters here need them.

    NAME is a plugin or its distribution, as `adapter-hub plugins` lists them.
    """
    from adapter_hub.installing import find_installed, uninstall

    found = find_installed(names)
    _warn_of_users(context, found)
    told = ", ".join(f"{name} {version}".rstrip() for name, version in found.items())
    if not yes:
        confirm(told, f"adapter-hub plugins uninstall {' '.join(names)} --yes")
    uninstall(found, quiet=context.quiet)
    context.say(f"removed {told}")


def _warn_of_users(context: Context, distributions: Collection[str]) -> None:
    from adapter_hub.loading.origins import users_of
    from adapter_hub.plugins import load_catalog

    registry = context.registry_if_any()
    if registry is None:
        return
    users = users_of(distributions, registry, load_catalog())
    for adapter, needs in users.items():
        warning = click.style("Warning:", fg="yellow")
        context.say(f"{warning} adapter {adapter!r} needs it for {', '.join(needs)}.")
