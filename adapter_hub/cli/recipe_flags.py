"""The flags of ``train`` and ``sweep`` that change what a recipe names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from adapter_hub.registry.store import Registry
    from adapter_hub.training.plan import Changes


def recipe_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Base, method, data and its columns; ``named_changes`` reads them."""
    for flag in (
        click.option(
            "--column-map",
            multiple=True,
            metavar="COLUMN=NAME",
            help="Read COLUMN as NAME (prompt, text …); repeatable.",
        ),
        click.option("--eval-data", help="Rows to measure the held-out loss on."),
        click.option(
            "--data-option",
            "data_options",
            multiple=True,
            metavar="KEY=VALUE",
            help="An option of the dataset; repeatable.",
        ),
        click.option("--data", help="A dataset, DATASET:SPLIT, a file, or hf:OWNER/DATASET."),
        click.option("--method", help="The adapter method; see `adapter-hub methods`."),
        click.option("--base", help="A base of the registry."),
    ):
        function = flag(function)
    return function


def named_changes(
    registry: Registry,
    *,
    base: str | None,
    method: str | None,
    data: str | None,
    data_options: Sequence[str],
    eval_data: str | None,
    column_map: Sequence[str],
) -> Changes:
    """What these flags change. Raises UsageError."""
    from adapter_hub.options import parse_assignment
    from adapter_hub.training.plan import Changes, data_as_recipe_says

    return Changes(
        base=base,
        method=method,
        data=data and data_as_recipe_says(data, registry),
        data_options=dict(parse_assignment(each, "--data-option") for each in data_options),
        eval_data=eval_data and data_as_recipe_says(eval_data, registry),
        column_map={key: str(value) for key, value in map(parse_assignment, column_map)},
    )


def refuse_both(settings: Mapping[str, Any], eval_data: str | None) -> None:
    """Raises UsageError for flags that say the same thing in two ways."""
    from adapter_hub.errors import UsageError

    if settings["epochs"] is not None and settings["steps"] is not None:
        raise UsageError("--epochs and --steps exclude each other.")
    if eval_data and settings["eval_fraction"] is not None:
        raise UsageError("--eval-data and --eval-fraction exclude each other.")
