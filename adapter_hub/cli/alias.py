"""``adapter-hub alias REF ALIAS``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table

if TYPE_CHECKING:
    from adapter_hub.registry.aliases import Expected
    from adapter_hub.registry.store import Registry


@click.command(
    "alias",
    epilog="Example: adapter-hub alias gpt-lora@3 prod --expect 2",
)
@click.argument("reference", metavar="[REF]", required=False)
@click.argument("alias", metavar="[ALIAS]", required=False)
@click.option(
    "--expect",
    metavar="N",
    help="Only if it points to version N now; `none`: only if it is not there yet. Else exit 4.",
)
@click.option("--remove", is_flag=True, help="Remove the alias; the version stays.")
@click.option("--list", "listed", is_flag=True, help="List aliases: all, or those of adapter REF.")
@json_option("the move, or the list,")
@pass_context
def command(
    context: Context,
    reference: str | None,
    alias: str | None,
    expect: str | None,
    remove: bool,
    listed: bool,
    as_json: bool,
) -> None:
    """Make ALIAS a name for the version REF: NAME@3, NAME@OTHER, or NAME for its newest.

    NAME@ALIAS then means that version everywhere, until the alias is moved.
    """
    from adapter_hub.errors import UsageError
    from adapter_hub.model import parse_reference

    if listed:
        if alias or remove or expect:
            raise UsageError("--list takes an adapter's name at most.")
        _list(context, reference, as_json)
        return
    if reference is None or alias is None:
        raise UsageError(
            "alias takes a version and the alias for it.",
            hint="adapter-hub alias NAME@3 prod, or adapter-hub alias --list",
        )
    parsed = parse_reference(reference)
    if parsed.kind != "name":
        raise UsageError(f"alias takes an adapter of the registry, not {reference!r}.")
    if remove and parsed.selector:
        raise UsageError(
            f"--remove takes an adapter's name, not {reference!r}.",
            hint=f"adapter-hub alias {parsed.target} {alias} --remove --expect {parsed.selector}",
        )
    from adapter_hub.registry.aliases import check_alias, drop_alias, move_alias

    check_alias(alias)
    expected, registry = _expected(expect), context.open_registry()
    before: int | None
    after: int | None = None
    if remove:
        before = drop_alias(registry, parsed.target, alias, expect=expected)
    else:
        after = registry.resolve(parsed)[1].number
        before = move_alias(registry, parsed.target, alias, after, expect=expected)
    if as_json:
        print_json({"name": parsed.target, "alias": alias, "from": before, "to": after})
        return
    context.say(_told(f"{parsed.target}@{alias}", before, after))


def _expected(text: str | None) -> Expected:
    from adapter_hub.errors import UsageError

    if text is None:
        return "any"
    if text == "none":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UsageError(f"--expect takes a version's number or none, not {text!r}.")
    return int(text)


def _told(name: str, before: int | None, after: int | None) -> str:
    if after is None:
        return f"removed {name}, which was version {before}"
    if before == after:
        return f"{name} is version {after} already"
    return f"{name} is version {after}" + (f" now, and was version {before}" if before else "")


def _list(context: Context, name: str | None, as_json: bool) -> None:
    from adapter_hub.errors import UsageError

    if name is not None and "@" in name:
        raise UsageError(f"--list takes an adapter's name, not {name!r}.")
    rows = list(_rows(context.open_registry(), name))
    if as_json:
        print_json(rows)
    elif rows:
        print_table(
            ("adapter", "alias", "version", "newest"),
            [(each["name"], each["alias"], each["version"], each["newest"]) for each in rows],
        )
    else:
        context.say(f"no aliases; next: adapter-hub alias {name or 'NAME'}@VERSION ALIAS")


def _rows(registry: Registry, name: str | None) -> Any:
    for each in registry.summaries() if name is None else [registry.summary(name)]:
        for alias, number in sorted(each["aliases"].items()):
            told = {"name": each["name"], "alias": alias}
            yield {**told, "version": number, "newest": each["version"]}
