"""``adapter-hub lock``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json


@click.command("lock", epilog="Example: adapter-hub lock --check")
@click.option("--check", is_flag=True, help="Write nothing; exit with 4 when it is out of date.")
@json_option("what it says")
@pass_context
def command(context: Context, check: bool, as_json: bool) -> None:
    """Write registry.lock: the exact versions, commits and digests that names mean now."""
    from adapter_hub.errors import ConflictError
    from adapter_hub.registry.lockfile import (
        LOCK_NAME,
        differences,
        lock_path,
        read_lock,
        resolve_registry,
        unpinned,
        write_lock,
    )

    registry = context.open_registry()
    now = resolve_registry(registry)
    found = differences(read_lock(registry), now)
    written = False if check else write_lock(registry, now)
    if as_json:
        path = str(lock_path(registry))
        print_json({"path": path, "differences": found, "written": written, **now})
    if check and found:
        raise ConflictError(
            f"{LOCK_NAME} does not say what {registry.path.name} says: {'; '.join(found[:5])}"
            f"{'; …' if len(found) > 5 else ''}.",
            hint="adapter-hub lock",
        )
    for name in unpinned(now):
        context.say(f"base {name} is not pinned: give it a revision, or it may be any")
    if as_json:
        return
    bases, adapters = len(now["bases"]), len(now["adapters"])
    counts = f"{bases} base{'s' * (bases != 1)}, {adapters} adapter{'s' * (adapters != 1)}"
    state = "wrote" if written else "nothing to change in"
    click.echo(f"{state} {LOCK_NAME}: {counts}")
