"""``adapter-hub search [TEXT]``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table


@click.command("search", epilog="Example: adapter-hub search sql --base openai-community/gpt2")
@click.argument("text", required=False)
@click.option("--base", metavar="BASE", help="Only adapters of a base here, or of OWNER/NAME.")
@click.option("--remote", help="A Hub of the registry: [remotes.NAME] endpoint = …")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many."
)
@json_option("an array")
@pass_context
def command(
    context: Context,
    text: str | None,
    base: str | None,
    remote: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Find adapters on the Hub by a part of their name, and by their base."""
    from adapter_hub.hub.search import search

    needs_registry = remote is not None or (base is not None and "/" not in base)
    registry = context.open_registry() if needs_registry else None
    context.prepare_client()
    found = search(text, registry=registry, base=base, remote=remote, limit=limit)
    if as_json:
        print_json([each.as_json() for each in found])
        return
    if not found:
        context.say("no adapter there fits")
        return
    # A Hub that does not count has none of either.
    counts = [key for key in ("downloads", "likes") if any(getattr(each, key) for each in found)]
    print_table(
        ("repository", "base", "method", *counts, "updated"),
        [
            (
                each.repo + " (private)" * each.private,
                each.base,
                each.method,
                *(getattr(each, key) for key in counts),
                each.updated,
            )
            for each in found
        ],
    )
    if len(found) == limit:
        context.say(f"there may be more: --limit {2 * limit}")
