"""Everything before the weights: the base's folder, PEFT's word on the method, the data, the steps."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import DataError, UsageError
from adapter_hub.plugins import Catalog
from adapter_hub.registry.digests import Digests
from adapter_hub.registry.store import Registry
from adapter_hub.training.plan import Plan
from adapter_hub.training.processes import process_count
from adapter_hub.training.sources import DataSource, open_rows
from adapter_hub.training.workbench import BaseFiles, Workbench

if TYPE_CHECKING:
    from adapter_hub.datasets.files import BadRow, SourceRow
    from adapter_hub.hookspecs import TrainHooks
    from adapter_hub.prompts.encode import Encoder
    from adapter_hub.training.data import EncodedData, Examples

Say = Callable[[str], None]
STREAM_ROWS = 50_000
"""Of a plugin's rows so many are read where the steps need fewer: the run's are drawn from them."""
_CHOOSE = "choose with --eval-data or --eval-fraction"


@dataclass(frozen=True)
class Job:
    """A plan with its base found and its data encoded; no weights loaded yet."""

    base_folder: Path
    identity: dict[str, str]
    tokenizer: Any
    model_config: Any
    peft_config: Any
    hooks: TrainHooks
    parameters: tuple[int, int] | None
    data: EncodedData
    examples: Examples
    held_out: Examples | None
    held_out_data: EncodedData | None
    max_length: int
    schedule: Any
    steps: int


def prepare(
    plan: Plan,
    registry: Registry,
    catalog: Catalog,
    scratch: Path,
    say: Say,
    bench: Workbench | None = None,
) -> Job:
    """Find the base, have PEFT check the method, encode the data. Loads no weights.

    What is on the ``bench`` is not made again.

    Raises BaseModelError, OptionError, DataError.
    """
    from adapter_hub.loading.bases import context_length
    from adapter_hub.training.build import build_config, count_parameters

    bench = bench or Workbench(shared=False)
    base = bench.base_files(plan.base, catalog, registry.folder)
    peft_config = build_config(plan.method, plan.recipe.options)
    parameters = count_parameters(
        plan.method, peft_config, base.config, plan.base.trust_remote_code
    )
    max_length = min(
        plan.recipe.training.max_length,
        context_length(base.config) or plan.recipe.training.max_length,
    )
    data, held_out_data = _encode(plan, registry, scratch, base, max_length, bench, say)
    examples, held_out = _split(plan, data, held_out_data, say)
    schedule, steps = _schedule(plan, examples)
    hooks = plan.method.train_hooks()
    hooks.before_model(peft_config, steps)
    return Job(
        base_folder=base.folder,
        identity=bench.identity(base.folder),
        tokenizer=base.tokenizer,
        model_config=base.config,
        peft_config=peft_config,
        hooks=hooks,
        parameters=parameters,
        data=data,
        examples=examples,
        held_out=held_out,
        held_out_data=held_out_data,
        max_length=max_length,
        schedule=schedule,
        steps=steps,
    )


def _encode(
    plan: Plan,
    registry: Registry,
    scratch: Path,
    base: BaseFiles,
    max_length: int,
    bench: Workbench,
    say: Say,
) -> tuple[EncodedData, EncodedData | None]:
    from adapter_hub.prompts.encode import Encoder
    from adapter_hub.prompts.rows import TrainingRow, style_of
    from adapter_hub.training.data import encode_data
    from adapter_hub.training.token_cache import DataFile, template_day

    settings, recipe, tokenizer = plan.recipe.training, plan.recipe, base.tokenizer
    skip_bad = settings.on_bad_row == "skip"
    digests = Digests(registry)

    def make_encoder(row: TrainingRow) -> Encoder:
        style = style_of(row, bool(tokenizer.chat_template))
        return Encoder(tokenizer, style, max_length, settings.train_on)

    def encode(source: DataSource, table: str, encoder: Encoder | None, note: str) -> EncodedData:
        most = _most_rows(plan) if source.offer is not None else None
        cut = False

        def encode_into(path: Path) -> EncodedData:
            nonlocal cut
            rows = _announced(open_rows(source, registry.folder), source, most, say)
            encoded = encode_data(
                source.name,
                itertools.islice(rows, most),
                encoder,
                make_encoder,
                column_map=recipe.column_map,
                skip_bad=skip_bad,
                path=path,
            )
            cut = most is not None and next(rows, None) is not None
            return encoded

        style = encoder.style if encoder else None
        decides = [
            base.digest,
            max_length,
            settings.train_on,
            dict(recipe.column_map),
            skip_bad,
            style,
        ]
        if source.is_stream:
            about = [*decides, source.name, dict(source.options), most]
            encoded, cut = bench.encoded(
                json.dumps(about, sort_keys=True, default=str),
                lambda: (encode_into(scratch / table), cut),
            )
            say(_data_line(source, encoded, max_length, cut, note))
            return encoded
        file = DataFile(registry.folder / source.name, digests)
        day = template_day(tokenizer.chat_template)
        encoded, kept = file.encoded(decides, day, encode_into, scratch / table, say)
        notes = ", ".join(filter(None, (note, "encoded before" if kept else "")))
        say(_data_line(source, encoded, max_length, cut, notes))
        return encoded

    data = encode(plan.data, "train.arrow", None, "")
    held_out = None
    if plan.held_out is not None:
        note = "" if recipe.eval_data else f"held out for evaluation ({_CHOOSE})"
        encoder = Encoder(tokenizer, data.style, max_length, settings.train_on)
        held_out = encode(plan.held_out, "eval.arrow", encoder, note)
    digests.keep(all_were_asked=False)
    return data, held_out


def _most_rows(plan: Plan) -> int | None:
    """How many rows of a dataset that may be endless the run can use; None for all of them."""
    from adapter_hub.training.data import AUTO_EVAL_SHARE

    settings = plan.recipe.training
    if settings.steps is None:
        return None
    used = settings.steps * settings.batch_size * settings.grad_accum * process_count()
    share = settings.eval_fraction or AUTO_EVAL_SHARE
    return max(STREAM_ROWS, math.ceil(used / (1 - share)))


def _announced(
    rows: Iterator[SourceRow | BadRow], source: DataSource, most: int | None, say: Say
) -> Iterator[SourceRow | BadRow]:
    """The same rows, with a word now and then while many are read."""
    advice = "; if it never ends, say how far to read it: --steps" if source.offer else ""
    for number, row in enumerate(rows, 1):
        yield row
        if number % STREAM_ROWS == 0 and number != most:
            say(f"{source}: {number:,} rows so far{advice if most is None else ''}")


def _data_line(
    source: DataSource, encoded: EncodedData, max_length: int, cut: bool, note: str
) -> str:
    notes = [note] if note else []
    if cut:
        notes.append("more than the steps can use, so the rest is not read")
    if encoded.skipped:
        notes.append(f"{encoded.skipped:,} bad rows skipped, the first {encoded.first_skipped}")
    if encoded.truncated:
        notes.append(f"{encoded.truncated:,} cut at {max_length} tokens")
    first = "the first " if cut else ""
    told = f"{source}: {first}{encoded.rows:,} rows, {len(encoded.table):,} examples"
    return "; ".join([told, *notes])


def _split(
    plan: Plan, data: EncodedData, held_out_data: EncodedData | None, say: Say
) -> tuple[Examples, Examples | None]:
    from adapter_hub.training.data import Examples, split

    if held_out_data is not None:
        return Examples(data.table), Examples(held_out_data.table)
    fraction = plan.recipe.training.eval_fraction
    examples, held_out = split(data, fraction, plan.recipe.training.seed)
    if held_out is None and plan.recipe.training.early_stop:
        raise DataError(
            f"{plan.data} has so few rows that none are held out, and early_stop needs some.",
            hint="say how many: --eval-fraction 0.2, or --early-stop 0",
        )
    if held_out is not None:
        choice = "" if fraction is not None else f" ({_CHOOSE})"
        say(f"{len(held_out):,} of {len(data.table):,} examples held out for evaluation{choice}")
    return examples, held_out


def _schedule(plan: Plan, examples: Examples) -> tuple[Any, int]:
    from adapter_hub.training.batches import Schedule

    settings = plan.recipe.training
    if not int(examples.loss_tokens.sum()):
        raise DataError(f"{plan.data} has no token to learn.")
    per_step = settings.grad_accum * process_count()
    schedule = Schedule(examples.lengths, settings.batch_size, per_step, settings.seed)
    steps = settings.steps or schedule.steps_for(settings.epochs)
    if settings.warmup >= max(1, steps) > 1:
        raise UsageError(
            f"a warm-up of {settings.warmup:g} steps leaves none of the {steps} steps of the run.",
            hint="a shorter one: --warmup 0.05, a share of the steps",
        )
    return schedule, steps
