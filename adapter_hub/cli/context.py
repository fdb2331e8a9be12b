"""What every command gets from the group: the registry, how to talk, how to print data."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from adapter_hub.registry.store import Registry


F = TypeVar("F", bound=Callable[..., Any])
ARGUMENTS = "adapter_hub.arguments"
"""Where click's context keeps all that was written behind ``adapter-hub``."""


class Context:
    """``registry_path`` as given by ``--registry``; ``quiet`` and ``verbose`` as -q and -v."""

    # Not a dataclass: making one takes longer than the rest of this module.
    def __init__(self, registry_path: Path | None, quiet: bool, verbose: bool) -> None:
        self.registry_path = registry_path
        self.quiet = quiet
        self.verbose = verbose

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

    def warn_of_unknown_keys(self, registry: Registry, adapters: Collection[str] = ()) -> None:
        """A misspelt key would otherwise be a setting that quietly has no effect.

        Of these ``adapters``, or of all, and of what is no adapter.
        """
        for each in registry.unknown_keys(adapters):
            self.warn(each)

    def warn(self, text: str) -> None:
        """Say what may be wrong and stops nothing."""
        self.say(f"{click.style('Warning:', fg='yellow')} {text}")

    def say(self, text: str) -> None:
        """Talk, on stderr."""
        if not self.quiet:
            click.echo(text, err=True)

    def prepare_libraries(self) -> None:
        """Settings of the libraries, and their talk kept out of ours; before they are imported."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        # Threads that spin for long while they wait take the CPU from those that they wait for
        # as soon as another program runs: a fourth of the speed was left, at a gain of 4 % alone.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        self.prepare_client()
        if self.verbose:
            return
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        # PEFT imports it wherever it is installed, and it misses a faster kernel then.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        import transformers

        transformers.utils.logging.disable_progress_bar()

    def prepare_client(self) -> None:
        """The same for the Hub's client alone."""
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        if self.quiet or not sys.stderr.isatty():
            os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        if not self.verbose:
            warnings.simplefilter("ignore")
            os.environ.setdefault("HF_HUB_VERBOSITY", "error")


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
        setattr(ctx.obj, parameter.name, True)


def json_option(what: str) -> Callable[[F], F]:
    """The ``--json`` flag."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON.")


def confirm(target: str, without_asking: str) -> None:
    """Ask whether to remove ``target``. Raises UsageError where nobody can answer."""
    from adapter_hub.errors import UsageError

    # A process without a terminal may have no standard input at all.
    if sys.stdin is None or sys.stdin.closed or not sys.stdin.isatty():
        raise UsageError(
            f"nobody can be asked here whether to remove {target}; nothing was removed.",
            hint=without_asking,
        )
    click.confirm(f"remove {target}?", abort=True, err=True)


def from_here(path: str) -> str:
    """A path as people read it: from the working directory, if it is below."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


def print_json(data: Any) -> None:
    """One JSON document on stdout."""
    import json

    click.echo(json.dumps(_finite(data), indent=2, ensure_ascii=False, default=_plain))


def print_json_line(data: Any) -> None:
    """One line of a JSON-lines stream on stdout."""
    import json

    click.echo(json.dumps(_finite(data), ensure_ascii=False, default=_plain))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows in columns, numbers on the right."""
    cells = [["" if cell is None else _cell(cell) for cell in row] for row in rows]
    formats = []
    for heading, *column in zip(headings, *cells, strict=True):
        numeric = bool(column) and all(map(_is_number, filter(None, column)))
        formats.append(f"{{:{'>' if numeric else '<'}{max(map(len, [heading, *column]))}}}")
    template = "  ".join(formats)
    first, *lines = [template.format(*row).rstrip() for row in [headings, *cells]]
    # One write: each click.echo looks at the terminal and flushes.
    click.echo("\n".join([click.style(first, bold=True), *lines]))


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """``name  value`` lines; empty values are left out."""
    shown = [(name, _cell(value)) for name, value in fields if value not in (None, "", {}, (), [])]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {value}")


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value
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


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no JSON form")
