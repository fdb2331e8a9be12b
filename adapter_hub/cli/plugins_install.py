"""``adapter-hub plugins install NAME…``."""

from __future__ import annotations

from typing import Any

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json


@click.command(
    "install", epilog="Example: adapter-hub plugins install ./plugins/adapter-hub-bitfit"
)
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@json_option("an array of what was installed")
@pass_context
def install(context: Context, names: tuple[str, ...], as_json: bool) -> None:
    """Install plugins with pip of this environment, and check them in a fresh process.

    NAME is a name, a requirement ("adapter-hub-peft>=0.1") or a local folder or wheel. Exits
    with 1 when a plugin is broken, or was none.
    """
    from adapter_hub.entry_points import canonical
    from adapter_hub.installing import install, plugins_afresh

    installed = install(names, quiet=context.quiet)
    there = {name: asked for name, asked in installed.items() if name != "adapter-hub"}
    listed = plugins_afresh([name for name, asked in there.items() if asked])
    lines = [each for each in listed if canonical(each["distribution"]) in there]
    known = {canonical(each["distribution"]) for each in lines}
    lines += [_no_plugin(name) for name, asked in there.items() if asked and name not in known]
    if as_json:
        print_json(lines)
    elif not lines:
        context.say("pip changed nothing")
    else:
        click.echo("\n".join(map(_told, lines)))
    if any(each["status"] != "ok" for each in lines):
        raise click.exceptions.Exit(1)


def _told(line: dict[str, Any]) -> str:
    what = f"{line['name']} ({line['distribution']} {line['version']})"
    if line["status"] == "ok":
        return f"{what}: ok, {', '.join(line['offers'])}"
    return f"{what}: {line['status']}"


def _no_plugin(name: str) -> dict[str, Any]:
    """The line of what was asked for and did not turn out to be a plugin that can be used."""
    from importlib.metadata import PackageNotFoundError, version

    from adapter_hub.entry_points import ALLOW_VARIABLE, canonical, plugin_distributions

    line = {"name": name, "distribution": name, "version": "", "offers": []}
    try:
        line["version"] = version(name)
    except PackageNotFoundError:
        return {**line, "status": "pip put it where this Python does not look"}
    if name in {canonical(each.name) for each in plugin_distributions()}:
        return {**line, "status": f"{ALLOW_VARIABLE} does not allow it"}
    return {**line, "status": "it is no plugin of adapter-hub"}
