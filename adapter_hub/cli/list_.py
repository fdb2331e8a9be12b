"""``adapter-hub list``."""

from __future__ import annotations

import re
from typing import Any

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table

_SHOWN = ("name", "base", "method", "version", "eval_loss", "tags", "created")


@click.command("list", epilog="Example: adapter-hub list --where 'eval_loss<1.9' --sort eval_loss")
@click.option("--base", help="Only adapters of this base.")
@click.option("--method", help="Only adapters of this method.")
@click.option(
    "--tag",
    "tags",
    metavar="TAG[,TAG]...",
    multiple=True,
    help="Only adapters with this tag, or one of several with commas; repeat for all of several.",
)
@click.option(
    "--where",
    "conditions",
    metavar="CONDITION",
    multiple=True,
    help="Only where this holds for the newest version: 'eval_loss<1.9' or another metric, "
    "'rank>=16', 'age<7d' (h, d, w), 'created>=2026-01-31', 'version>1', 'versions>=3' (how many), "
    "'dataset=shakespeare', 'name~sql' (contains). Texts take = != ~, the others < <= > >= = !=. "
    "Repeat for all of several.",
)
@click.option(
    "--text",
    metavar="WORDS",
    default="",
    help="Only with all these words in name, base, dataset, description or tags.",
)
@click.option(
    "--sort",
    metavar="KEY",
    default="name",
    help="Sort by name, base, method, dataset, description, tags, aliases, hub, version, "
    "versions, rank, created, age or a metric; -KEY turns the order round.",
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--limit", type=click.IntRange(min=1), help="The first so many.")
@json_option("an array")
@pass_context
def command(
    context: Context,
    base: str | None,
    method: str | None,
    tags: tuple[str, ...],
    conditions: tuple[str, ...],
    as_json: bool,
    **how: Any,
) -> None:
    """List the adapters with their newest versions."""
    from adapter_hub.registry.find import find_adapters

    registry = context.open_registry()
    if base is not None:
        registry.base(base)
    summaries = find_adapters(
        registry, base=base, method=method, tags=tags, conditions=conditions, **how
    )
    if as_json:
        print_json(summaries)
        return
    if not summaries:
        count = len(registry.adapter_names())
        none = "no adapters; next: adapter-hub train NAME --base BASE --data DATA"
        context.say(f"none of the {count} adapters fits" if count else none)
        return
    columns = _columns([*conditions, how["sort"].removeprefix("-")])
    print_table(columns, [[_cell(each, column) for column in columns] for each in summaries])


def _columns(asked: list[str]) -> list[str]:
    """What is always shown, and what it was filtered or sorted by."""
    names = [each[0] for text in asked if (each := re.match(r"\s*[\w.-]+", text))]
    shown = ["created" if name.strip() == "age" else name.strip() for name in names]
    return list(dict.fromkeys([*_SHOWN, *shown]))


def _cell(summary: dict[str, Any], column: str) -> object:
    value = summary[column] if column in summary else summary["metrics"].get(column)
    if column == "version":
        return value or "-"
    if column == "versions":
        return len(summary["versions"])
    return value
