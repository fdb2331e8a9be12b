"""What a recipe's ``data`` names: a file, a dataset on the Hub, or one of a plugin or its part.

Nothing heavy is imported to find one, so that a wrong name, split or option fails at once.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapter_hub.datasets.files import (
    BadRow,
    SourceRow,
    check_file,
    is_data_file,
    read_file,
    read_hub,
)
from adapter_hub.errors import AdapterHubError, DataError, UnknownNameError, UsageError
from adapter_hub.options import check_options, suggestion
from adapter_hub.plugins import Catalog, Offer

TRAIN, VALIDATION = "train", "validation"
_END = object()


@dataclass(frozen=True)
class DataSource:
    """A recipe's ``data``, found; ``offer``, ``split`` and ``options`` are of a plugin's dataset."""

    name: str
    offer: Offer | None = None
    split: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    @property
    def is_stream(self) -> bool:
        """Whether it may be endless, or as good as: only its author knows how long it is."""
        return self.offer is not None or self.name.startswith("hf:")


def find_source(
    data: str, root: Path, catalog: Catalog, options: Mapping[str, Any] | None = None
) -> DataSource:
    """The source that ``data`` names, its options checked; files are found from ``root``.

    Raises DataError for a file that is not there, UnknownNameError for an unknown dataset or
    split, OptionError for options that it does not take, PluginError.
    """
    if data.startswith("hf:") or is_data_file(data):
        if options:
            raise UsageError(
                f"{data} takes no options, and {', '.join(options)} was given.",
                hint="adapter-hub datasets, for those that may take some",
            )
        if not data.startswith("hf:"):
            _check_file(data, root)
        return DataSource(data)
    name, colon, split = data.partition(":")
    offer = catalog.find("dataset", name)
    checked = check_options(
        offer.options(),
        options or {},
        owner=f"dataset {name!r}",
        see=f"adapter-hub datasets {name}",
    )
    return DataSource(data, offer, _split(offer, split if colon else None), checked)


def dataset_of(data: str) -> str:
    """``sql`` of ``sql:validation``; files and datasets on the Hub have no parts here."""
    return data if data.startswith("hf:") or is_data_file(data) else data.partition(":")[0]


def default_split(offer: Offer) -> str | None:
    """The part that a dataset's name alone means; None for a dataset without parts."""
    return TRAIN if TRAIN in offer.splits else next(iter(offer.splits), None)


def validation_of(source: DataSource) -> DataSource | None:
    """The part that the source's dataset declares for validation, unless it is the source."""
    if source.offer is None or source.split == VALIDATION:
        return None
    if VALIDATION not in source.offer.splits:
        return None
    name = f"{source.offer.name}:{VALIDATION}"
    return DataSource(name, source.offer, VALIDATION, source.options)


def open_rows(source: DataSource, root: Path) -> Iterator[SourceRow | BadRow]:
    """The rows of a source, one at a time. Raises DataError, PluginError."""
    if source.offer is not None:
        return _plugin_rows(source, source.offer)
    if source.name.startswith("hf:"):
        return read_hub(source.name.removeprefix("hf:"))
    return read_file(root / source.name)


def _plugin_rows(source: DataSource, offer: Offer) -> Iterator[SourceRow]:
    factory = offer.resolve()
    part = {} if source.split is None else {"split": source.split}
    number = 0
    try:
        # What a plugin prints while it makes rows must not get into a command's data.
        with contextlib.redirect_stdout(sys.stderr):
            rows = iter(factory(**part, **source.options))
        while True:
            with contextlib.redirect_stdout(sys.stderr):
                row: Any = next(rows, _END)
            if row is _END:
                return
            number += 1
            yield SourceRow(f"{source} row {number}", row)
    except AdapterHubError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(
            f"dataset {offer.name!r} of {offer.distribution} broke after {number} rows: "
            f"{type(error).__name__}: {error}",
            hint="adapter-hub plugins",
        ) from error


def _split(offer: Offer, asked: str | None) -> str | None:
    if asked is None:
        return default_split(offer)
    if asked not in offer.splits:
        have = f"it has {', '.join(offer.splits)}" if offer.splits else "it declares none"
        close = suggestion(asked, offer.splits)
        raise UnknownNameError(
            f"dataset {offer.name!r} has no split {asked!r}{close}; {have}.",
            hint=f"adapter-hub datasets {offer.name}",
        )
    return asked


def _check_file(data: str, root: Path) -> None:
    try:
        check_file(root / data)
    except DataError as error:
        if re.fullmatch(r"[\w.-]+/[\w.-]+", data):
            error.hint = f"a dataset on the Hub is written hf:{data}"
        raise
