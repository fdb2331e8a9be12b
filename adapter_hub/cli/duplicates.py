"""``adapter-hub duplicates``."""

from __future__ import annotations

from dataclasses import asdict

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table

_KINDS = {"version": "all files", "weights": "weights only"}


@click.command("duplicates", epilog="Example: adapter-hub duplicates --json")
@json_option("the groups")
@pass_context
def command(context: Context, as_json: bool) -> None:
    """Find versions with the same files, or with the same weights, and the room they take."""
    from adapter_hub.registry.duplicates import find_duplicates

    groups, total = find_duplicates(context.open_registry())
    if as_json:
        print_json({"duplicates": [asdict(each) for each in groups], "bytes": total})
        return
    if not groups:
        context.say("no two versions are the same, nor their weights")
        return
    print_table(
        ("the same", "digest", "bytes to save", "versions"),
        [
            (_KINDS[each.kind], each.digest[:19], f"{each.bytes:,}", each.versions)
            for each in groups
        ],
    )
    context.say(f"{total:,} bytes could be saved; to drop a version: adapter-hub remove REF")
