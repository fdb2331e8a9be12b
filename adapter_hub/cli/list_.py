"""``adapter-hub list``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table


@click.command("list", epilog="Example: adapter-hub list --where 'eval_loss<1.9' --sort eval_loss")
@click.option("--base", help="Only adapters of this base.")
@click.option("--method", help="Only adapters of this method.")
@click.option(
    "--tag", "tags", multiple=True, help="Only adapters with this tag; repeat for all of several."
)
@click.option(
    "--where", "conditions", multiple=True, help="Only newest versions with, say, 'eval_loss<1.9'."
)
@click.option(
    "--sort", default="name", help="Sort by name, base, method, version, created or a metric."
)
@json_option("an array")
@pass_context
def command(
    context: Context,
    base: str | None,
    method: str | None,
    tags: tuple[str, ...],
    conditions: tuple[str, ...],
    sort: str,
    as_json: bool,
) -> None:
    """List the adapters with their newest versions."""
    from adapter_hub.registry.find import find_adapters

    registry = context.open_registry()
    if base is not None:
        registry.base(base)
    summaries = find_adapters(
        registry, base=base, method=method, tags=tags, conditions=conditions, sort=sort
    )
    if as_json:
        print_json(summaries)
        return
    if not summaries:
        count = len(registry.adapter_names())
        none = "no adapters; next: adapter-hub train NAME --base BASE --data DATA"
        context.say(f"none of the {count} adapters fits" if count else none)
        return
    print_table(
        ("name", "base", "method", "version", "eval_loss", "tags", "created"),
        [
            (
                each["name"],
                each["base"],
                each["method"],
                each["version"] or "-",
                each["metrics"].get("eval_loss"),
                each["tags"],
                each["created"],
            )
            for each in summaries
        ],
    )
