"""``adapter-hub run REF [PROMPT]``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_json_line

if TYPE_CHECKING:
    from adapter_hub.generation.generate import Prompt


@click.command(
    "run", epilog='Example: adapter-hub run gpt-lora "To be, or not" --temperature 0.8 --seed 1'
)
@click.argument("reference", metavar="REF")
@click.argument("prompt", required=False)
@click.option(
    "--max-new-tokens", type=int, default=256, show_default=True, help="Stop after so many tokens."
)
@click.option("--temperature", type=float, default=0.7, show_default=True, help="0 is greedy.")
@click.option(
    "--top-p",
    type=float,
    default=0.95,
    show_default=True,
    help="Draw from the likeliest tokens of this total.",
)
@click.option(
    "--top-k", type=int, default=0, show_default=True, help="Draw from so many tokens; 0: no limit."
)
@click.option("--greedy", is_flag=True, help="Always the likeliest token.")
@click.option(
    "--seed",
    type=int,
    help="Repeat drawn answers: it is set once, before the first prompt.",
)
@click.option("--stop", "stops", multiple=True, help="End at this text; repeatable.")
@click.option("--system", help="The system message, for chat.")
@click.option(
    "--chat/--raw",
    "chat",
    default=None,
    help="Build the prompt as a chat, or not at all; else as in training.",
)
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    help="A file of prompts; answers come as JSON lines.",
)
@click.option(
    "--column-map",
    multiple=True,
    metavar="COLUMN=NAME",
    help="Of --prompts: read COLUMN as NAME; repeatable. Else as in training.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Prompts answered together.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    help="Type of the base's weights.",
)
@json_option("the answer with its circumstances")
@pass_context
def command(
    context: Context,
    reference: str,
    prompt: str | None,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    top_k: int,
    greedy: bool,
    seed: int | None,
    stops: tuple[str, ...],
    system: str | None,
    chat: bool | None,
    prompts: Path | None,
    column_map: tuple[str, ...],
    batch_size: int,
    dtype: str,
    as_json: bool,
) -> None:
    """Answer PROMPT (or standard input) with REF, streaming; REF base:NAME is the bare base."""
    from adapter_hub.errors import UsageError
    from adapter_hub.generation.generate import Sampling, in_batches, open_generator
    from adapter_hub.generation.prompts import read_prompts, recorded_columns
    from adapter_hub.loading.early import find_folder
    from adapter_hub.loading.folders import read_record
    from adapter_hub.model import parse_reference
    from adapter_hub.options import parse_assignment

    sampling = Sampling(
        max_new_tokens=max_new_tokens,
        temperature=0.0 if greedy else temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        stop=stops,
    )
    parsed = parse_reference(reference)
    if prompt is not None and prompts is not None:
        raise UsageError("PROMPT and --prompts exclude each other.")
    if column_map and prompts is None:
        raise UsageError("--column-map is for the rows of --prompts.")
    columns = {key: str(value) for key, value in map(parse_assignment, column_map)}
    needs_registry = parsed.kind in ("name", "base")
    registry = context.open_registry() if needs_registry else context.registry_if_any()
    folder = find_folder(parsed, registry)

    def read(record: Mapping[str, Any]) -> list[Prompt] | None:
        if prompts is None:
            return None
        return read_prompts(prompts, columns, recorded_columns(record), raw=chat is False)

    # The record of an adapter on the Hub is not here yet.
    batch = None if parsed.kind == "hf" else read(read_record(folder) if folder else {})
    if prompts is None and prompt is None:
        prompt = _standard_input(context)
    context.prepare_libraries()
    style = None if chat is None else "chat" if chat else "plain"
    generator = open_generator(parsed, registry=registry, style=style, dtype=dtype)  # type: ignore[arg-type]
    if parsed.kind == "hf":
        batch = read(generator.opened.record)
    if batch is not None:
        for each in in_batches(generator, batch, sampling, batch_size, system=system):
            print_json_line(asdict(each))
        return
    assert prompt is not None
    show = (lambda text: None) if as_json else (lambda text: click.echo(text, nl=False))
    answer = generator.stream(prompt, sampling, system=system, on_text=show)
    if as_json:
        print_json(asdict(answer))
    else:
        click.echo()


def _standard_input(context: Context) -> str:
    """The prompt from standard input. Raises UsageError, DataError."""
    from adapter_hub.errors import DataError, UsageError

    if sys.stdin is None or sys.stdin.closed:
        raise UsageError(
            "there is no PROMPT, and standard input is closed.", hint='adapter-hub run REF "…"'
        )
    if sys.stdin.isatty():
        context.say("type the prompt, end with Ctrl-D")
    try:
        prompt = sys.stdin.read().removesuffix("\n")
        if prompt:
            return prompt
        raise UsageError(
            "there is no PROMPT, and standard input is empty.", hint='adapter-hub run REF "…"'
        )
    except UnicodeDecodeError as error:
        raise DataError(f"standard input is not UTF-8 text ({error.reason}).") from None
