"""``adapter-hub lineage REF``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json

_DEEPEST = 40
"""Steps away that are still drawn."""

Line = tuple[str, "str | None"]
"""What is written, and the version that it is, for what comes below it."""


@click.command("lineage", epilog="Example: adapter-hub lineage gpt-lora@2")
@click.argument("reference", metavar="REF")
@json_option("versions with where they came from")
@pass_context
def command(context: Context, reference: str, as_json: bool) -> None:
    """Show as a tree what a version was made from, and below that what was made from it.

    REF is NAME, NAME@VERSION or NAME@ALIAS; of a name alone, what its older versions became is
    shown too.
    """
    from adapter_hub.model import parse_reference
    from adapter_hub.registry.lineage import lineage

    found = lineage(parse_reference(reference), registry=context.open_registry())
    if as_json:
        print_json(found)
        return
    versions = {each["reference"]: each for each in found["versions"]}
    root = found["reference"]
    click.echo(f"{root}  {_date(versions[root])}")
    for line in _tree(root, lambda one: _above(versions, one)):
        click.echo(line)
    if not versions[root]["from"]:
        context.say("no other adapter that it came from is known")
    if found["derived"]:
        click.echo("\nmade from it")
        starts = set(found["derived_from"])
        for line in _tree("", lambda one: _below(found["derived"], {one} if one else starts)):
            click.echo(line)


def _above(versions: dict[str, Any], one: str) -> Iterator[Line]:
    for each in versions[one]["from"] if one in versions else ():
        what = f"{each['kind']} from {each['reference'] or 'a folder'}"
        if each["here"]:
            yield f"{what}  {_date(versions[each['reference']])}", each["reference"]
        else:
            known = each["kind"] in ("pulled", "imported")
            yield (what if known else f"{what}  (not in this registry)"), None


def _below(derived: list[dict[str, Any]], parents: set[str]) -> Iterator[Line]:
    for each in derived:
        for origin in each["from"]:
            if origin["here"] and origin["reference"] in parents:
                what = f"{each['reference']}  {origin['kind']} from {origin['reference']}"
                yield f"{what}  {_date(each)}", each["reference"]
                break


def _tree(root: str, near: Any) -> Iterable[str]:
    """The lines of a tree below ``root``; a version that comes again is not followed again."""
    seen = {root}
    waiting = [("", *each) for each in _drawn(near(root))][::-1]
    while waiting:
        lead, branch, text, key = waiting.pop()
        again = key in seen
        yield f"{lead}{branch}{_printable(text)}{'  (see above)' if again else ''}"
        if key is None or again:
            continue
        seen.add(key)
        below = lead + ("   " if branch == "└─ " else "│  ")
        lines = list(_drawn(near(key)))
        if lines and len(below) > 3 * _DEEPEST:
            yield f"{below}└─ …"
        else:
            waiting += [(below, *each) for each in lines][::-1]


def _drawn(lines: Iterable[Line]) -> Iterator[tuple[str, str, str | None]]:
    every = list(lines)
    for place, (text, key) in enumerate(every, 1):
        yield ("└─ " if place == len(every) else "├─ "), text, key


def _date(version: dict[str, Any]) -> str:
    return f"{version['created']:%Y-%m-%d %H:%M}"


def _printable(text: str) -> str:
    """A name from elsewhere must not reach a terminal as a command to it."""
    return text if text.isprintable() else repr(text)
