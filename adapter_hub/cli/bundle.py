"""``adapter-hub bundle create|apply|show``."""

from __future__ import annotations

from pathlib import Path

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("bundle")
def command() -> None:
    """Carry adapters to a machine without a network, as one file."""


@command.command(
    "create", epilog="Example: adapter-hub bundle create sql.tar sql@prod --with-bases"
)
@click.argument("file", type=FILE)
@click.argument("references", metavar="[REF]...", nargs=-1)
@click.option("--with-bases", is_flag=True, help="The bases' files too, so that it runs there.")
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Every version of each REF, not the newest only; without REF of every adapter.",
)
@json_option("what is in it")
@pass_context
def create(
    context: Context,
    file: Path,
    references: tuple[str, ...],
    with_bases: bool,
    every: bool,
    as_json: bool,
) -> None:
    """Write adapters, and what the registry says of them, into FILE (.tar, or .tar.gz)."""
    from adapter_hub.loading.bundle import create_bundle
    from adapter_hub.plugins import load_catalog

    registry = context.open_registry()
    if with_bases:
        context.prepare_client()
    made = create_bundle(
        file,
        references,
        registry=registry,
        catalog=load_catalog(),
        with_bases=with_bases,
        every=every,
        say=context.say,
    )
    if as_json:
        print_json(made.as_json())
        return
    versions = [f"{name}@{number}" for name, each in made.adapters.items() for number in each]
    bases = f" and the files of {', '.join(made.bases)}" if made.bases else ""
    click.echo(f"{file}: {', '.join(versions)}{bases}; {made.bytes:,} bytes")
    if not with_bases:
        context.say("without the files of its bases: --with-bases takes them along")
    context.say(f"{made.sha256}; next, on the other machine: adapter-hub bundle apply {file.name}")


@command.command("apply", epilog="Example: adapter-hub bundle apply sql.tar --dry-run")
@click.argument("file", type=FILE)
@click.option("--as", "name", help="The adapter's name here, for a bundle of one.")
@click.option(
    "--dry-run", is_flag=True, help="Verify it and say what would be added; write nothing."
)
@json_option("what was added")
@pass_context
def apply(context: Context, file: Path, name: str | None, dry_run: bool, as_json: bool) -> None:
    """Verify the bundle FILE, and add what is in it to the registry."""
    from adapter_hub.loading.unbundle import apply_bundle
    from adapter_hub.plugins import load_catalog

    applied = apply_bundle(
        file,
        registry=context.open_registry(),
        catalog=load_catalog(),
        name=name,
        dry_run=dry_run,
        say=context.say,
    )
    if as_json:
        print_json(applied.as_json())
        return
    verb = "would add" if dry_run else "added"
    for each, told in applied.adapters.items():
        for came, number in told["added"].items():
            as_what = "" if int(came) == number else f", which is version {came} in the bundle"
            click.echo(f"{verb} {each}@{number}{as_what}")
        for number in told["same"].values():
            click.echo(f"{each}@{number} is here already")
        for alias, number in told["kept_aliases"].items():
            context.say(f"{each}@{alias} is version {number} here, and stays so")
    verb = "would be written" if dry_run else "were written"
    context.say(f"every file is what the manifest says; {applied.bytes:,} bytes {verb}")


@command.command("show", epilog="Example: adapter-hub bundle show sql.tar")
@click.argument("file", type=FILE)
@json_option("its manifest")
@pass_context
def show(context: Context, file: Path, as_json: bool) -> None:
    """Say what is in the bundle FILE, as its manifest tells it; its files are not read."""
    from adapter_hub.loading.manifest import read_bundle

    manifest, _ = read_bundle(file)
    if as_json:
        print_json(manifest.as_json())
        return
    rows = [
        (
            f"{name}@{number}",
            each.base,
            manifest.adapters[name].recipe.method,
            [alias for alias, n in manifest.adapters[name].aliases.items() if n == number],
            f"{sum(entry.size for entry in each.files.values()):,}",
        )
        for name, versions in sorted(manifest.versions.items())
        for number, each in sorted(versions.items())
    ]
    print_table(("adapter", "base", "method", "aliases", "bytes"), rows)
    click.echo()
    print_table(
        ("base", "source", "revision", "files", "bytes"),
        [
            (
                name,
                str(each.base.source),
                (each.base.revision or "")[:19],
                len(each.files),
                f"{sum(entry.size for entry in each.files.values()):,}",
            )
            for name, each in sorted(manifest.bases.items())
        ],
    )
