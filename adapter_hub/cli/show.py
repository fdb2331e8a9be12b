"""``adapter-hub show REF``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_fields, print_json


@click.command("show", epilog="Example: adapter-hub show gpt-lora@1")
@click.argument("reference", metavar="REF")
@json_option("an object")
@pass_context
def command(context: Context, reference: str, as_json: bool) -> None:
    """Show an adapter's recipe, and how a version came to be."""
    from adapter_hub.errors import UsageError
    from adapter_hub.model import parse_reference
    from adapter_hub.registry.details import details

    parsed = parse_reference(reference)
    if parsed.kind != "name":
        raise UsageError(
            f"show takes an adapter of the registry, not {reference!r}.", hint="adapter-hub list"
        )
    found = details(context.open_registry(), parsed.target, parsed.selector)
    if as_json:
        print_json(found)
        return
    recipe, provenance = found["recipe"], found["provenance"]
    print_fields(
        [
            ("name", found["name"]),
            ("about", found["description"]),
            ("tags", found["tags"]),
            ("base", recipe["base"]),
            ("method", recipe["method"]),
            ("options", recipe["options"]),
            ("data", recipe["data"]),
            ("data options", recipe["data_options"]),
            ("held out", recipe["eval_data"]),
            ("training", recipe["training"]),
            ("versions", found["versions"]),
            ("aliases", found["aliases"]),
        ]
    )
    if found["version"] is None:
        context.say(f"never trained; next: adapter-hub train {found['name']}")
        return
    data = provenance.get("data")
    data = data if isinstance(data, dict) else {}
    click.echo()
    print_fields(
        [
            ("version", found["version"]),
            ("created", found["created"]),
            ("folder", found["path"]),
            ("digest", found["digest"]),
            ("metrics", found["metrics"]),
            ("trained on", data.get("fingerprint")),
            ("rows", data.get("rows")),
            ("steps", provenance.get("steps")),
            ("seed", provenance.get("seed")),
            ("parameters", provenance.get("trainable_parameters")),
            ("hub", found["hub"]),
        ]
    )
