"""``adapter-hub run REF [PROMPT]``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_json_line


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
@click.option("--seed", type=int, help="Repeat a drawn answer.")
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
    batch_size: int,
    dtype: str,
    as_json: bool,
) -> None:
    """Answer PROMPT (or standard input) with REF, streaming; REF base:NAME is the bare base."""
    from adapter_hub.errors import UsageError
    from adapter_hub.generation.generate import (
        Sampling,
        in_batches,
        open_generator,
    )
    from adapter_hub.generation.generate import (
        as_json as to_json,
    )
    from adapter_hub.generation.prompts import read_prompts
    from adapter_hub.model import parse_reference

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
    registry = context.registry_if_any()
    if registry and parsed.kind == "name":
        registry.resolve(parsed)
    batch = read_prompts(prompts) if prompts else None
    if batch is None and prompt is None:
        prompt = sys.stdin.read().removesuffix("\n")
    context.hush_libraries()
    style = None if chat is None else "chat" if chat else "plain"
    generator = open_generator(parsed, registry=registry, style=style, dtype=dtype)  # type: ignore[arg-type]
    if batch is not None:
        for each in in_batches(generator, batch, sampling, batch_size, system=system):
            print_json_line(to_json(each))
        return
    assert prompt is not None
    show = (lambda text: None) if as_json else (lambda text: click.echo(text, nl=False))
    answer = generator.stream(prompt, sampling, system=system, on_text=show)
    if as_json:
        print_json(to_json(answer))
    else:
        click.echo()
