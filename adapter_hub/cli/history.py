"""``adapter-hub history NAME``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table


@click.command("history", epilog="Example: adapter-hub history gpt-lora")
@click.argument("name")
@json_option("an object with the events")
@pass_context
def command(context: Context, name: str, as_json: bool) -> None:
    """Show what happened to adapter NAME, and when (UTC): versions made, aliases moved, pushes.

    From registry.journal, also under the names that it had before, and from the registry.
    """
    from adapter_hub.errors import UsageError
    from adapter_hub.registry.history import history

    if "@" in name:
        raise UsageError(
            f"history takes an adapter's name, not {name!r}.",
            hint=f"adapter-hub history {name.partition('@')[0]}",
        )
    found = history(name, registry=context.open_registry())
    if as_json:
        print_json(found)
        return
    if found["events"]:
        print_table(
            ("when", "event", "what"),
            [(each["when"], _printable(each["event"]), _what(each)) for each in found["events"]],
        )
    else:
        context.say(f"nothing has happened yet; next: adapter-hub train {name}")
    for each in found["disagreements"]:
        context.say(
            f"{click.style('Note:', fg='yellow')} {each['alias']} {_points(each['registry'])} in "
            f"the registry, and {_points(each['journal'])} by the journal: it was edited by hand"
        )
    if not found["here"]:
        context.say(f"{name} is not in the registry any more")


def _what(event: Mapping[str, Any]) -> str:
    get = {key: _printable(str(value)) for key, value in event.items() if value is not None}
    version = f"version {get['version']}" if "version" in get else ""
    if event["event"] == "alias":
        alias, before, after = get.get("alias", "?"), get.get("from"), get.get("to")
        if after is None:
            return f"{alias} removed, was version {before}"
        return f"{alias}: {before} → {after}" if before else f"{alias} → {after}"
    if event["event"] == "rename":
        return f"{get.get('from', '?')} → {get['adapter']}"
    if event["event"] == "copy":
        return f"{version or 'the recipe'} from {get.get('from', '?')}"
    if event["event"] == "remove":
        return version or "all of it"
    if "repo" not in get:
        return version
    word = {"push": "to", "hub": "is at"}.get(event["event"], "from")
    return f"{version} {word} {get['repo']}" + (
        f", commit {get['revision'][:12]}" if "revision" in get else ""
    )


def _points(number: Any) -> str:
    return "is not there" if number is None else f"is version {_printable(str(number))}"


def _printable(text: str) -> str:
    """A journal comes from anywhere, and nothing in it is a command to a terminal."""
    return text if text.isprintable() else repr(text)
