"""Options of a method or a dataset, as people and as programs read them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Any

import click

from adapter_hub.options import Option


def options_json(options: Iterable[Option]) -> list[dict[str, Any]]:
    """What ``--json`` prints of options."""
    return [
        {
            "name": each.name,
            "type": each.type_name,
            "required": each.required,
            "default": None if each.required else _jsonable(each.default),
            "help": each.help,
        }
        for each in options
    ]


def print_options(options: Iterable[Option]) -> None:
    """A line for each, and its help below."""
    from adapter_hub.registry.values import format_value

    width = min(96, shutil.get_terminal_size().columns)
    for each in options:
        default = (
            "required"
            if each.required
            else ""
            if each.default is None
            else f"default {format_value(_jsonable(each.default))}"
        )
        head = f"{click.style(each.name, bold=True)}  {each.type_name}"
        click.echo(f"{head}  {default}".rstrip())
        if each.help:
            click.echo(
                click.wrap_text(
                    each.help, width=width, initial_indent="    ", subsequent_indent="    "
                )
            )


def _jsonable(value: object) -> object:
    return (
        value if isinstance(value, (str, int, float, bool, list, dict, type(None))) else str(value)
    )
