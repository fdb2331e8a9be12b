"""``adapter-hub export REF DIR --format F``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json


@click.command(
    "export", epilog="Example: adapter-hub export sums@prod ./sums-merged --format merged"
)
@click.argument("reference", metavar="REF")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--format",
    type=click.Choice(["merged", "gguf", "ollama", "vllm"]),
    required=True,
    help="merged: the base with REF in it; gguf: for llama.cpp; ollama: that and a Modelfile; vllm: for vllm serve.",
)
@click.option("--ollama-from", metavar="MODEL", help="With ollama: Ollama's name of the base.")
@json_option("what was written")
@pass_context
def command(
    context: Context,
    reference: str,
    directory: Path,
    format: str,
    ollama_from: str | None,
    as_json: bool,
) -> None:
    """Write REF into the new folder DIR as another program takes it."""
    from adapter_hub.exporting.export import check_export, export
    from adapter_hub.model import parse_reference

    parsed = parse_reference(reference)
    needed = parsed.kind in ("name", "base")
    registry = context.open_registry() if needed else context.registry_if_any()
    check_export(parsed, directory, format, registry, ollama_from)
    context.prepare_libraries()
    done = export(
        parsed,
        directory,
        format,  # type: ignore[arg-type]
        registry=registry,
        ollama_from=ollama_from,
        say=context.say,
    )
    if as_json:
        print_json(asdict(done))
        return
    size = sum(done.files.values())
    click.echo(f"{directory}: {', '.join(done.files)}; {size:,} bytes")
    for each in done.commands:
        click.echo(each)
