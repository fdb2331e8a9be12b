"""What every command gets from the group: the registry, how to talk, how to print data."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from adapter_hub.registry.store import Registry


F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Context:
    registry_path: Path | None
    quiet: bool
    verbose: bool

    def open_registry(self) -> Registry:
        """Raises RegistryNotFoundError, RegistryError."""
        from adapter_hub.registry.store import Registry

        return Registry.open(self.registry_path)

    def registry_if_any(self) -> Registry | None:
        """The registry; None where there is none and none was named."""
        from adapter_hub.errors import RegistryNotFoundError

        try:
            return self.open_registry()
        except RegistryNotFoundError:
            if self.registry_path or os.environ.get("ADAPTER_HUB_REGISTRY"):
                raise
            return None

    def say(self, text: str) -> None:
        """Talk, on stderr."""
        if not self.quiet:
            click.echo(text, err=True)

    def hush_libraries(self) -> None:
        """Keep the libraries' own talk out of ours. Call before they are imported."""
        if self.verbose:
            return
        warnings.simplefilter("ignore")
        for name, value in {
            "TRANSFORMERS_VERBOSITY": "error",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }.items():
            os.environ.setdefault(name, value)
        if self.quiet or not sys.stderr.isatty():
            os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        import transformers

        transformers.utils.logging.disable_progress_bar()


def pass_context(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hand the Context to a command, and let ``-q`` and ``-v`` stand behind its name too."""
    function = click.make_pass_decorator(Context)(function)
    for flags, field, text in (
        (("-v", "--verbose"), "verbose", "Also what the libraries underneath say."),
        (("-q", "--quiet"), "quiet", "No progress, no talk."),
    ):
        function = click.option(
            *flags, field, is_flag=True, expose_value=False, callback=_set_flag, help=text
        )(function)
    return function


def _set_flag(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and parameter.name:
        ctx.obj = replace(ctx.obj, **{parameter.name: True})


def json_option(what: str) -> Callable[[F], F]:
    """The ``--json`` flag."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON.")


def print_json(data: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=_plain))


def print_json_line(data: Any) -> None:
    """One line of a JSON-lines stream on stdout."""
    click.echo(json.dumps(data, ensure_ascii=False, default=_plain))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows in columns, numbers on the right."""
    cells = [["" if cell is None else _cell(cell) for cell in row] for row in rows]
    numeric = [
        bool(cells) and all(_is_number(row[column]) for row in cells if row[column])
        for column in range(len(headings))
    ]
    widths = [
        max(len(row[column]) for row in [list(headings), *cells]) for column in range(len(headings))
    ]
    for index, row in enumerate([list(headings), *cells]):
        line = "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        click.echo(click.style(line, bold=True) if index == 0 else line)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """``name  value`` lines; empty values are left out."""
    shown = [(name, _cell(value)) for name, value in fields if value not in (None, "", {}, (), [])]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {value}")


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}={_cell(item)}" for key, item in value.items())
    return str(value)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no JSON form")
