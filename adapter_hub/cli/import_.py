"""``adapter-hub import FOLDER… [--as NAME]``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json

if TYPE_CHECKING:
    from adapter_hub.loading.bulk_import import Imported, Outcome

_LISTED = 5
"""The most folders that were passed over that get a line each."""


@click.command(
    "import", epilog="Example: adapter-hub import outputs/checkpoint-500 --as sql --base smollm2"
)
@click.argument(
    "folders", metavar="FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--as",
    "name",
    help="The adapter to import it as; an existing one gets a new version. Without it: every "
    "adapter below the folders, named after its folder or repository.",
)
@click.option(
    "--base", help="The base it sits on, when its config does not name one of the registry."
)
@click.option(
    "--checkpoints",
    is_flag=True,
    help="Take every checkpoint-N and cached snapshot, as versions, and not the newest alone.",
)
@click.option(
    "--convert-pickle",
    is_flag=True,
    help="Take pickled weights (adapter_model.bin) too: converted in a process that can do nothing else.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be imported; write nothing.")
@json_option("what was imported")
@pass_context
def command(
    context: Context,
    folders: tuple[Path, ...],
    name: str | None,
    base: str | None,
    checkpoints: bool,
    convert_pickle: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take over the adapters that plain PEFT saved in FOLDERs and below."""
    from adapter_hub.plugins import load_catalog

    registry = context.open_registry()
    alone = name is not None and len(folders) == 1 and not (checkpoints or dry_run)
    if name is not None and alone and not _is_above(folders[0]):
        from adapter_hub.loading.imports import import_pickle

        result = import_pickle(
            registry, load_catalog(), folders[0], name, base, convert=convert_pickle
        )
        if as_json:
            print_json(result)
        else:
            click.echo(
                f"{result['name']}@{result['version']} on {result['base']}: {len(result['files'])} files"
            )
            context.say(f'next: adapter-hub run {result["name"]} "…"')
        return
    from adapter_hub.loading.bulk_import import import_folders

    found = import_folders(
        folders,
        registry=registry,
        catalog=load_catalog(),
        name=name,
        base=base,
        checkpoints=checkpoints,
        convert_pickle=convert_pickle,
        dry_run=dry_run,
        on_outcome=lambda each: _print(context, each, as_json),
    )
    if as_json:
        print_json(_as_json(found))
    _say_rest(context, found, dry_run)


def _is_above(folder: Path) -> bool:
    """Whether adapters can only be below the folder."""
    return folder.is_dir() and not (folder / "adapter_config.json").is_file()


def _print(context: Context, each: Outcome, as_json: bool) -> None:
    if each.state == "failed":
        click.echo(f"{each.folder}: {each.error}", err=True)
        if each.hint:
            click.echo(f"  {each.hint}", err=True)
    elif as_json:
        return
    elif each.state == "same":
        number = f"@{each.version}" if each.version else ""
        click.echo(f"{each.folder} is {each.name}{number} already")
    else:
        what = f"{each.name}@{each.version}" if each.version else f"would import {each.name}"
        click.echo(f"{what}{f' on {each.base}' if each.base else ''}: {each.folder}")


def _as_json(found: Imported) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        **{
            state: [asdict(each) for each in found.of(state)]
            for state in ("imported", "same", "failed")
        },
        "passed_over": [
            {"folder": str(each.folder), "why": each.why} for each in found.passed_over
        ],
    }


def _say_rest(context: Context, found: Imported, dry_run: bool) -> None:
    """What was passed over, and the sum. Raises AdapterHubError when a folder failed."""
    for each in found.passed_over[:_LISTED]:
        context.say(f"passed over {each.folder}: {each.why}")
    more = len(found.passed_over) - _LISTED
    if more > 0:
        context.say(f"passed over {more} more; --json lists them, --checkpoints takes checkpoints")
    imported, same, failed = (len(found.of(each)) for each in ("imported", "same", "failed"))
    verb = "would be imported" if dry_run else "imported"
    context.say(
        f"{imported} {verb}, {same} here already, {failed} failed, "
        f"{len(found.passed_over)} passed over"
    )
    if failed:
        from adapter_hub.errors import AdapterHubError

        raise AdapterHubError(
            f"{failed} of {len(found.outcomes)} adapters could not be imported; the reasons are above."
        )
