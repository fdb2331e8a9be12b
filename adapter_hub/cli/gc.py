"""``adapter-hub gc``."""

from __future__ import annotations

from dataclasses import asdict

import click

from adapter_hub.cli.context import (
    Context,
    confirm,
    json_option,
    pass_context,
    print_json,
    print_table,
)

_WHAT = {
    "version": "version that is not in the registry",
    "leftover": "leftover of a process that was killed",
    "run": "interrupted run",
    "download": "interrupted download",
}


@click.command("gc", epilog="Example: adapter-hub gc --dry-run")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--older-than",
    metavar="AGE",
    help="Also interrupted runs and downloads that nobody touched for 12h, 7d or 2w.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option("what was removed and what was kept")
@pass_context
def command(
    context: Context, dry_run: bool, older_than: str | None, yes: bool, as_json: bool
) -> None:
    """Remove files below adapters/ that the registry does not name, and say their bytes.

    Versions that only registry.toml of another git branch names count as not named. What is being
    made now, what can be resumed, links, and what a person put there stays.
    """
    from adapter_hub.errors import UsageError
    from adapter_hub.registry.conditions import parse_age
    from adapter_hub.registry.gc import find_garbage, remove_garbage

    age = None if older_than is None else parse_age(older_than)
    if older_than is not None and age is None:
        raise UsageError(
            f"{older_than!r} is no age.", hint="adapter-hub gc --older-than 7d, or 12h, or 2w"
        )
    registry = context.open_registry()
    found = find_garbage(registry, age)
    if found.garbage and not dry_run:
        count = len(found.garbage)
        what = f"{count} file{'s' * (count != 1)} or folder{'s' * (count != 1)}"
        if not yes:
            for each in found.garbage:
                context.say(f"{each.path}: {_WHAT[each.kind]}, {each.bytes:,} bytes")
            again = f" --older-than {older_than}" if older_than else ""
            confirm(f"{what}, {found.bytes:,} bytes", f"adapter-hub gc{again} --yes")
        found = remove_garbage(registry, found)
    if as_json:
        removed = [asdict(each) for each in found.garbage]
        kept = [asdict(each) for each in found.kept]
        print_json({"dry_run": dry_run, "removed": removed, "kept": kept, "bytes": found.bytes})
        return
    if found.garbage:
        print_table(
            ("path", "what", "bytes"),
            [(each.path, _WHAT[each.kind], f"{each.bytes:,}") for each in found.garbage],
        )
    for one in found.kept:
        context.say(f"kept {one.path}: {one.reason}")
    if not found.garbage:
        context.say("nothing to remove")
    elif dry_run:
        context.say(f"{found.bytes:,} bytes would be free; to remove them: adapter-hub gc")
    else:
        context.say(f"{found.bytes:,} bytes are free")
