"""``adapter-hub diff A B``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table

_SECTIONS = ("recipe", "options", "data", "metrics", "provenance")
_TOP = 10
_WIDTH = 40
_DIGEST = re.compile(r"\b((?:sha256:)?[0-9a-f]{12})(?:[0-9a-f]{52}|[0-9a-f]{28})\b")
_LISTS = {"only_in_a": "only in A", "only_in_b": "only in B"}


@click.command("diff", epilog="Example: adapter-hub diff gpt-lora@1 gpt-lora@prod --top 20")
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@click.option(
    "--top",
    type=click.IntRange(min=0),
    help=f"The modules that differ most, so many [default: {_TOP}; with --json all].",
)
@json_option("the differences")
@pass_context
def command(context: Context, one: str, other: str, top: int | None, as_json: bool) -> None:
    """Compare two adapters: recipe, options, data, metrics, provenance, and weights by module.

    A and B are NAME, NAME@VERSION, NAME@ALIAS, ./folder or hf:OWNER/REPO. Of LoRA the updates
    B·A are compared, whatever their ranks; of other methods the tensors. No base is loaded.
    """
    from adapter_hub.loading.diff import diff
    from adapter_hub.model import parse_reference

    references = parse_reference(one), parse_reference(other)
    named = any(each.kind == "name" for each in references)
    registry = context.open_registry() if named else context.registry_if_any()
    if any(each.kind == "hf" for each in references):
        context.prepare_client()
    found = diff(*references, registry=registry)
    if as_json:
        weights = found["weights"]
        print_json({**found, "weights": {**weights, "modules": weights["modules"][:top]}})
        return
    _print_sections(context, found)
    _print_weights(context, found["weights"], _TOP if top is None else top)


def _print_sections(context: Context, found: Mapping[str, Any]) -> None:
    a, b = (_short(found[side]["reference"]) for side in "ab")
    rows = [
        (section, _short(each["key"]), _short(each["a"]), _short(each["b"]))
        for section in _SECTIONS
        for each in found[section]
    ]
    if rows:
        print_table(("", "", f"A: {a}", f"B: {b}"), rows)
    else:
        click.echo(f"A: {a}  B: {b}  recipe, options, data, metrics and provenance are the same")
    for side in "ab":
        if not found[side]["recorded"]:
            what = _short(found[side]["reference"])
            context.say(f"{what} has no record of how it was made: its files tell the rest")


def _print_weights(context: Context, weights: Mapping[str, Any], top: int) -> None:
    click.echo()
    if weights["same_file"]:
        click.echo("their weights are the same, byte for byte")
        return
    rows = [_row(each["name"], each) for each in weights["modules"][:top]]
    totals = (("all deltas", "delta"), ("all tensors", "tensor"))
    rows += [_row(name, weights["total"][kind]) for name, kind in totals if weights["total"][kind]]
    if rows:
        headings = ("differing most", "norm A", "norm B", "distance", "of A", "cosine")
        print_table(headings, rows)
    if len(weights["modules"]) > top:
        context.say(f"and {len(weights['modules']) - top} more: --top {len(weights['modules'])}")
    layers = [each for each in weights["layers"] if each["distance"] != 0]
    if len(layers) > 1:
        shown = ", ".join(
            f"{_short(each['layer'])} ({_number(each['distance'])})" for each in layers[:5]
        )
        click.echo(f"layers, by distance: {shown}{', …' if len(layers) > 5 else ''}")
    for key, title in _LISTS.items():
        if weights[key]:
            click.echo(f"{title}: {_listed([each['name'] for each in weights[key]])}")
    for each in weights["different_shapes"][:_TOP]:
        click.echo(f"other shapes: {_short(each['name'])} {each['shape_a']} and {each['shape_b']}")
    for note in weights["notes"]:
        context.say(note)


def _row(name: str, sums: Mapping[str, Any]) -> tuple[str, ...]:
    relative = sums["relative"]
    return (
        _printable(name),
        *(_number(sums[key]) for key in ("norm_a", "norm_b", "distance")),
        "-" if relative is None else f"{100 * relative:.3g} %",
        "-" if sums["cosine"] is None else f"{sums['cosine']:.4f}",
    )


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(_printable, names[:5]))
    return f"{len(names)} modules: {shown}{', …' if len(names) > 5 else ''}"


def _short(value: Any) -> str:
    """A value in a cell: digests and what is long are cut."""
    if value is None:
        return "-"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = _printable(_DIGEST.sub(r"\1…", f"{value:.6g}" if isinstance(value, float) else text))
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _printable(text: str) -> str:
    """A name from elsewhere must not reach a terminal as a command to it."""
    return text if text.isprintable() else repr(text)
