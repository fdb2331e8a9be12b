"""The built-in datasets, registered exactly like a third party's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adapter_hub.datasets.passages import passages
from adapter_hub.hookspecs import RegisterDataset, hookimpl


@hookimpl
def register_datasets(register: RegisterDataset) -> None:
    register(
        "shakespeare",
        shakespeare,
        summary="passages of Shakespeare's plays, speakers on lines of their own",
    )


def shakespeare() -> Iterator[str]:
    """Passages of plays, each about a thousand characters."""
    with Path(__file__).with_name("shakespeare.txt").open(encoding="utf-8") as lines:
        for _, passage in passages(lines):
            yield passage
