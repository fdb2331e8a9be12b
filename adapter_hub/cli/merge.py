"""``adapter-hub merge NAME REF[:W]…``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from adapter_hub.cli.context import (
    Context,
    from_here,
    json_option,
    pass_context,
    print_fields,
    print_json,
)

_HOWS = (
    *("cat", "linear", "svd", "ties", "ties_svd", "dare_ties", "dare_linear", "dare_ties_svd"),
    *("dare_linear_svd", "magnitude_prune", "magnitude_prune_svd"),
)


@click.command("merge", epilog="Example: adapter-hub merge both sql@prod:0.7 chat:0.3 --how svd")
@click.argument("name")
@click.argument("parts", nargs=-1, required=True, metavar="REF[:WEIGHT]...")
@click.option(
    "--how",
    type=click.Choice(_HOWS),
    default="cat",
    show_default=True,
    help="cat: the exact sum, of higher rank; svd: its best approximation; the others are rough.",
)
@click.option(
    "--rank", type=int, help="With svd: the rank of the result; the highest of the parts'."
)
@click.option(
    "--density",
    type=float,
    help="With ties, dare and magnitude_prune: the share of each update that is kept; 0.5.",
)
@click.option(
    "--majority-sign",
    type=click.Choice(["total", "frequency"]),
    help="With ties: what decides about a sign; total.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="With dare: what is dropped.")
@json_option("the result")
@pass_context
def command(
    context: Context, /, name: str, parts: tuple[str, ...], as_json: bool, **settings: Any
) -> None:
    """Compose LoRA adapters of one base, each with a weight, into a new version of NAME."""
    from adapter_hub.merging.merge import merge
    from adapter_hub.merging.parts import Settings, check_merge, parse_part

    registry = context.open_registry()
    parsed = [parse_part(each) for each in parts]
    chosen = Settings(**settings)
    check_merge(name, parsed, chosen, registry)
    context.prepare_libraries()
    done = merge(name, parsed, chosen, registry=registry, say=context.say)
    if as_json:
        print_json(asdict(done))
        return
    what = "no more than rounding" if done.exact else "this way is not exact"
    print_fields(
        [
            ("version", f"{done.name}@{done.version}"),
            ("rank", done.rank),
            (
                "difference",
                f"{done.largest_logit_difference:.2g} in logits from the sum of the parts; {what}",
            ),
            ("files", from_here(done.path)),
        ]
    )
    context.say(f'next: adapter-hub run {done.name} "…"')
