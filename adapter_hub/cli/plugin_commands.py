"""Commands of plugins: entry points that are looked at only for a name that is not built in."""

from __future__ import annotations

from collections.abc import Collection

import click

from adapter_hub.entry_points import Entry, Problem, find_entries, strict
from adapter_hub.errors import PluginError
from adapter_hub.hookspecs import COMMAND_GROUP
from adapter_hub.isolation import one_line


def find_commands(built_in: Collection[str]) -> tuple[dict[str, Entry], list[Problem]]:
    """The commands on offer by name, and those refused for their name. Imports no plugin."""
    entries, problems = find_entries(COMMAND_GROUP)
    commands: dict[str, Entry] = {}
    for entry in entries:
        taken = commands.get(entry.name)
        if entry.name in built_in or taken is not None:
            already = f"offered by {taken.distribution}" if taken else "built in"
            reason = f"command {entry.name!r} is already {already}"
            problems.append(entry.problem(PluginError(reason)))
        else:
            commands[entry.name] = entry
    return commands, problems


def load_command(entry: Entry) -> click.Command:
    """Import a plugin's command. Raises PluginError, whatever goes wrong."""
    try:
        command = entry.load()
        if not isinstance(command, click.Command):
            raise PluginError(f"{entry.value} is not a click command")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may call sys.exit
        raise PluginError(
            f"command {entry.name!r} of {entry.distribution} cannot be used: {one_line(error)}.",
            hint="adapter-hub plugins",
        ) from error
    return command


def check_commands(built_in: Collection[str]) -> tuple[list[Entry], list[Problem]]:
    """The commands that can be imported, and why the others cannot. Raises PluginError if strict."""
    commands, problems = find_commands(built_in)
    working = []
    for entry in commands.values():
        try:
            load_command(entry)
        except PluginError as error:
            problems.append(entry.problem(error.__cause__ or error))
        else:
            working.append(entry)
    if problems and strict():
        first = problems[0]
        raise PluginError(f"plugin {first.plugin} ({first.distribution}): {first.reason}.")
    return working, problems
