"""The command group: commands are imported when they are named, errors translated once."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from adapter_hub.cli.context import ARGUMENTS, Context
from adapter_hub.errors import AdapterHubError

if TYPE_CHECKING:
    from adapter_hub.entry_points import Entry

SECTIONS = {
    "Start": ("demo", "init", "base"),
    "Work": ("train", "sweep", "merge", "run", "eval", "data", "import", "reproduce"),
    "Look": (
        "list",
        "show",
        "diff",
        "history",
        "lineage",
        "duplicates",
        "status",
        "verify",
        "check",
        "doctor",
        "methods",
        "datasets",
        "plugins",
    ),
    "Share": ("push", "pull", "search", "export", "login", "whoami", "hub"),
    "Keep": (
        "alias",
        "tag",
        "describe",
        "copy",
        "rename",
        "remove",
        "gc",
        "bundle",
        "lock",
        "sync",
        "schema",
    ),
}
"""Every command, as ``--help`` groups them; ``adapter_hub.cli.NAME`` holds it."""

_ALL = "adapter_hub.all"
_PLUGIN = "adapter_hub.plugin"
"""What a context remembers: that ``--all`` was given; all arguments; a plugin's Entry."""

_MODULES = {"eval": "eval_", "import": "import_", "list": "list_"}


class Group(click.Group):
    """Imports a command's module only when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in SECTIONS.values() for name in names]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = list(args)
        ctx.meta[_ALL] = "--all" in args  # --help acts before what stands behind it is parsed
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"adapter_hub.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, built_in = args[0], self.list_commands(ctx)
        if name.startswith("-") or name in built_in or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from adapter_hub.cli.plugin_commands import find_commands, load_command
        from adapter_hub.options import suggestion

        commands, _ = find_commands(built_in)
        if name in commands:
            ctx.meta[_PLUGIN] = commands[name]
            return name, load_command(commands[name]), args[1:]
        close = suggestion(name, [*built_in, *commands])
        raise click.UsageError(f"there is no command {name!r}{close}.", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, names in SECTIONS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(section):
                formatter.write_dl(
                    [(name, each.get_short_help_str(120)) for name, each in commands if each]
                )
        if ctx.meta.get(_ALL):
            with formatter.section("Plugin commands"):
                formatter.write_dl(_plugin_lines(self.list_commands(ctx)) or [("none", "")])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AdapterHubError as error:
            _fail(error.message, error.hint, error.exit_code, error)
        except KeyboardInterrupt as error:
            _fail("interrupted; the registry is as it was.", None, 130, error)
        except BrokenPipeError:
            _discard_output()  # its reader has gone
            ctx.exit(1)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            _explain(error, ctx.meta.get(_PLUGIN))


def _explain(error: Exception, plugin: Entry | None) -> None:
    """What nobody raised on purpose, in one line that says whose it is."""
    if plugin is not None:
        from adapter_hub.isolation import one_line

        _fail(
            f"command {plugin.name!r} of {plugin.distribution} broke: {one_line(error)}.",
            "ADAPTER_HUB_DEBUG=1 shows where, for those who made it",
            1,
            error,
        )
    if isinstance(error, OSError):
        if error.filename is None:
            _discard_output()
        where = error.filename or "the output"
        _fail(f"{where} cannot be read or written: {error.strerror or error}.", None, 1, error)
    _fail(
        f"something went wrong that should not have: {type(error).__name__}: {error}",
        "run it again with ADAPTER_HUB_DEBUG=1 and report what it prints",
        1,
        error,
    )


def _plugin_lines(built_in: list[str]) -> list[tuple[str, str]]:
    """What ``--help --all`` says of plugins, none of which it imports."""
    from adapter_hub.cli.plugin_commands import find_commands

    commands, problems = find_commands(built_in)
    lines = [(name, f"of {each.distribution} {each.version}") for name, each in commands.items()]
    return lines + [(each.plugin, f"of {each.distribution}: {each.reason}") for each in problems]


def _fail(message: str, hint: str | None, code: int, error: BaseException) -> NoReturn:
    if os.environ.get("ADAPTER_HUB_DEBUG") == "1":
        raise error
    with contextlib.suppress(AttributeError, OSError):
        sys.stdout.flush()  # it may be closed, or full
    click.echo(click.style("Error: ", fg="red") + message, err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
    raise click.exceptions.Exit(code)


def _discard_output() -> None:
    """What cannot be written would be tried again at exit, with a complaint of Python's."""
    with contextlib.suppress(AttributeError, OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_all(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(ctx.get_help())
        ctx.exit()


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"adapter-hub {version('adapter-hub')}")
        ctx.exit()


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: adapter-hub demo",
)
@click.option(
    "--registry",
    type=click.Path(path_type=Path),
    help="The registry.toml to use (else ADAPTER_HUB_REGISTRY, or found from here).",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress, no talk: data and errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Also what the libraries underneath say.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
@click.option(
    "--all",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_all,
    help="With --help: the commands of plugins too.",
)
@click.pass_context
def group(ctx: click.Context, registry: Path | None, quiet: bool, verbose: bool) -> None:
    """Track, train and run adapters of base models: one registry.toml, one command line."""
    ctx.obj = Context(registry, quiet, verbose)
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main() -> None:
    """The command line. A page of help meets a full disk out here."""
    try:
        group(prog_name="adapter-hub")
    except OSError as error:
        _discard_output()
        click.echo(f"Error: the output cannot be written: {error.strerror or error}.", err=True)
        sys.exit(1)
    except SystemExit as end:
        if "WORLD_SIZE" in os.environ and "torch" in sys.modules:
            from adapter_hub.training.processes import leave

            leave(int(end.code or 0))
        raise
    finally:
        # The process ends: Python need not search all that is left for cycles to break.
        gc.freeze()


if __name__ == "__main__":
    main()
