"""``adapter-hub remove REF``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import Context, confirm, pass_context


@click.command("remove", epilog="Example: adapter-hub remove gpt-lora@1")
@click.argument("reference", metavar="REF")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_context
def command(context: Context, reference: str, yes: bool) -> None:
    """Remove an adapter with all its versions, or one version (NAME@3)."""
    from adapter_hub.errors import UsageError
    from adapter_hub.model import parse_reference
    from adapter_hub.registry.versions import remove_adapter, remove_version

    parsed = parse_reference(reference)
    if parsed.kind != "name":
        raise UsageError(f"remove takes an adapter of the registry, not {reference!r}.")
    registry = context.open_registry()
    adapter = registry.adapter(parsed.target)
    count = 1 if parsed.selector else len(adapter.versions)
    target = f"{parsed} and the files of {count} version{'s' * (count != 1)}"
    version = adapter.version(parsed.selector) if parsed.selector else None
    if version is None and adapter.aliases:
        named = ", ".join(f"{alias} is {n}" for alias, n in sorted(adapter.aliases.items()))
        target += f" ({named})"
    if not yes:
        confirm(target, f"adapter-hub remove {parsed} --yes")
    if version is not None:
        remove_version(registry, adapter, version)
    else:
        remove_adapter(registry, adapter.name)
    context.say(f"removed {target}")
