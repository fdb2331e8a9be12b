"""``adapter-hub methods [NAME]``."""

from __future__ import annotations

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
    from adapter_hub.cli.option_list import options_json, print_options

    offer = catalog.find("method", name)
    options = offer.options()
    if as_json:
        print_json(
            {
                "name": offer.name,
                "summary": offer.summary,
                "from": offer.distribution,
                "options": options_json(options),
            }
        )
        return
    click.echo(f"{offer.name}: {offer.summary} ({offer.distribution})\n")
    print_options(options)
    context.say(f"\nset them with -o: adapter-hub train NAME --method {offer.name} -o KEY=VALUE")
