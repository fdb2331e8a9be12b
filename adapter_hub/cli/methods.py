"""``adapter-hub methods [NAME]``."""

from __future__ import annotations

import shutil

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table


@click.command("methods", epilog="Example: adapter-hub methods lora")
@click.argument("name", required=False)
@json_option("the methods, or the options of one,")
@pass_context
def command(context: Context, name: str | None, as_json: bool) -> None:
    """List the adapter methods, or the options of one."""
    from adapter_hub.plugins import load_catalog

    catalog = load_catalog()
    if name is None:
        offers = catalog.all("method")
        if as_json:
            print_json(
                [
                    {"name": each.name, "summary": each.summary, "from": each.distribution}
                    for each in offers
                ]
            )
        else:
            print_table(
                ("method", "from", "summary"),
                [(each.name, each.distribution, each.summary) for each in offers],
            )
        return
    offer = catalog.find("method", name)
    options = offer.options()
    if as_json:
        print_json(
            {
                "name": offer.name,
                "summary": offer.summary,
                "from": offer.distribution,
                "options": [
                    {
                        "name": each.name,
                        "type": each.type_name,
                        "required": each.required,
                        "default": None if each.required else _jsonable(each.default),
                        "help": each.help,
                    }
                    for each in options
                ],
            }
        )
        return
    from adapter_hub.registry.splice import format_value

    width = min(96, shutil.get_terminal_size().columns)
    click.echo(f"{offer.name}: {offer.summary} ({offer.distribution})\n")
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
    context.say(f"\nset them with -o: adapter-hub train NAME --method {offer.name} -o KEY=VALUE")


def _jsonable(value: object) -> object:
    return (
        value if isinstance(value, (str, int, float, bool, list, dict, type(None))) else str(value)
    )
