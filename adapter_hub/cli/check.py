"""``adapter-hub check REF``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json


@click.command("check", epilog="Example: adapter-hub check hf:me/gpt-lora --base gpt2")
@click.argument("reference", metavar="REF")
@click.option("--base", help="Check it against this base of the registry; else against its own.")
@click.option("--remote", help="For hf: references: a Hub of the registry.")
@json_option("the findings")
@pass_context
def command(
    context: Context, reference: str, base: str | None, remote: str | None, as_json: bool
) -> None:
    """Say whether REF fits its base, from the headers of both: nothing is loaded."""
    from adapter_hub.errors import IncompatibleError
    from adapter_hub.hub.check import check
    from adapter_hub.model import parse_reference

    parsed = parse_reference(reference)
    needed = parsed.kind == "name" or base or remote
    registry = context.open_registry() if needed else context.registry_if_any()
    context.prepare_client()
    found = check(parsed, registry=registry, base=base, remote=remote)
    if as_json:
        print_json(found)
    else:
        fits = "fits" if found["fits"] else "does not fit"
        click.echo(f"{found['reference']} {fits} base {found['base']}")
        for each in found["misfits"]:
            click.echo(f"  {each}")
        for each in found["unchecked"]:
            context.say(f"not checked: {each}")
    if not found["fits"]:
        raise click.exceptions.Exit(IncompatibleError.exit_code)
