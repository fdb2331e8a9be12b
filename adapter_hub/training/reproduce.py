"""``reproduce NAME@N``: train again from a version's record, and compare. Nothing is registered."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from adapter_hub.datasets.files import is_data_file
from adapter_hub.errors import (
    AdapterHubError,
    ConflictError,
    Interrupted,
    UnknownNameError,
    UnknownOfferError,
    UsageError,
    VerificationError,
)
from adapter_hub.loading.compared import AdapterWeights, compare_weights
from adapter_hub.loading.folders import CONFIG, WEIGHTS, read_record, recorded
from adapter_hub.loading.identity import read_json
from adapter_hub.loading.origins import with_origin
from adapter_hub.loading.recorded import base_of
from adapter_hub.loading.saving import environment, write_record
from adapter_hub.loading.weights import Weights
from adapter_hub.model import Base, DType, Recipe, Reference, parse_reference
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.schema import read_training
from adapter_hub.registry.store import Registry
from adapter_hub.registry.tables import SchemaError
from adapter_hub.registry.versions import damage
from adapter_hub.training.inputs import Input, compare_inputs
from adapter_hub.training.plan import Plan, settle
from adapter_hub.training.processes import process_count
from adapter_hub.training.progress import recorded_loss
from adapter_hub.training.run_options import RunOptions
from adapter_hub.training.start import recorded_start
from adapter_hub.training.workbench import Workbench
from adapter_hub.training.workspace import CHECKPOINT

if TYPE_CHECKING:
    from adapter_hub.training.train import Fitted, OnStep

Verdict = Literal["identical", "different", "other inputs", "impossible"]


@dataclass
class Reproduction:
    """What ``reproduce --json`` prints. Losses are nats a token.

    ``verdict`` is ``identical``: bit for bit; ``different``: other weights though every input is
    the same; ``other inputs``: other weights, and inputs differ, or are not known to be the same;
    ``impossible``: the data is not here. ``weights`` is what ``diff`` tells of the recorded ones
    (A) and those of now (B), and whether they are ``identical``.
    """

    name: str
    version: int
    verdict: Verdict
    inputs: list[Input]
    unknown: list[str]
    weights: dict[str, Any] | None = None
    recorded_eval_loss: float | None = None
    eval_loss: float | None = None
    seconds: float = 0.0
    kept: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _silent(*_said: object) -> None: ...


def reproduce(
    reference: str | Reference,
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    keep: Path | None = None,
    say: Any = _silent,
    on_step: OnStep = _silent,
) -> Reproduction:
    """Train the version's recorded recipe again in a scratch folder and compare the weights.

    With its number type and, where this machine has as many processors, its number of threads.
    ``keep`` is a folder to put the result into. Raises UsageError for a version without a record
    of its training, VerificationError when its files are not what was recorded, ConflictError when
    something is at ``keep``, Interrupted, and what ``train`` raises.
    """
    registry = registry or Registry.open()
    catalog = catalog or load_catalog()
    name, number, folder, record = _recorded_run(reference, registry)
    if keep is not None and os.path.lexists(keep) and not (keep.is_dir() and not os.listdir(keep)):
        raise ConflictError(f"{keep} is already there; nothing was done.", hint="name a new folder")
    base = base_of(read_json(folder / CONFIG), record, folder, registry)
    if base.source.kind != "hf":
        # Another base in that place is an input that differs, and no reason to stop.
        base = dataclasses.replace(base, revision=None)
    recipe = _recipe(record, base, registry.adapter(name).recipe, f"{name}@{number}")
    gone, start = [], None
    try:
        start = recorded_start(record, registry)
    except UnknownNameError as error:
        gone.append(Input(error.message.removesuffix(", is not in the registry."), "there", "gone"))
    for data in filter(None, (recipe.data, recipe.eval_data)):
        if is_data_file(data) and not data.startswith("hf:"):
            path = registry.folder / data
            if not path.is_file():
                gone.append(Input(f"data file {data}", "there", "gone"))
    if gone:
        return Reproduction(name, number, "impossible", gone, [])
    try:
        plan = settle(name, recipe, recipe, base, registry.folder, catalog)
    except UnknownOfferError as error:
        raise with_origin(error, record) from None
    plan = dataclasses.replace(plan, start=start)
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="adapter-hub-", ignore_cleanup_errors=True) as scratch,
        _nothing_left(f"{name}@{number}"),
    ):
        fitted, after = _train_again(plan, registry, catalog, record, Path(scratch), say, on_step)
        made = Path(scratch) / "adapter"
        weights = _compare_weights(folder, made)
        if keep is not None:
            shutil.copytree(made, keep, dirs_exist_ok=True)
    inputs, unknown = compare_inputs(record, after)
    return Reproduction(
        name,
        number,
        _verdict(weights["identical"], inputs, unknown),
        inputs,
        unknown,
        weights,
        recorded_loss(record.get("evaluations")),
        recorded_loss(fitted.progress.evaluations),
        round(time.monotonic() - started, 2),
        str(keep) if keep else None,
    )


def _verdict(identical: bool, inputs: list[Input], unknown: list[str]) -> Verdict:
    if identical:
        return "identical"
    return "other inputs" if inputs or unknown else "different"


def _compare_weights(recorded_folder: Path, made: Path) -> dict[str, Any]:
    """Of two adapters' folders. Raises BaseModelError."""
    one, other = (
        (Weights(folder / WEIGHTS), read_json(folder / CONFIG))
        for folder in (recorded_folder, made)
    )
    return {
        "identical": one[0].has_same_bits(other[0]),
        **compare_weights(AdapterWeights(*one), AdapterWeights(*other)),
    }


def _recorded_run(
    reference: str | Reference, registry: Registry
) -> tuple[str, int, Path, dict[str, Any]]:
    """Name, number, folder and record of the version."""
    parsed = parse_reference(reference) if isinstance(reference, str) else reference
    if parsed.kind != "name":
        raise UsageError(
            f"{parsed} is no version of the registry.", hint="adapter-hub list, for those that are"
        )
    if process_count() > 1:
        raise UsageError("reproduce trains in one process.", hint="start it without a launcher")
    adapter, version = registry.resolve(parsed)
    what = f"{adapter.name}@{version.number}"
    folder = registry.version_folder(adapter.name, version.number)
    problems = damage(folder, version)
    if problems:
        raise VerificationError(
            f"{what} is not what was recorded: {'; '.join(problems)}.",
            hint=f"adapter-hub verify {what}",
        )
    record = read_record(folder)
    if not recorded(record, "recipe") or not recorded(record, "data"):
        raise UsageError(
            f"{what} has no record of how it was trained, so it cannot be trained again.",
            hint=f"adapter-hub show {what}",
        )
    return adapter.name, version.number, folder, record


def _recipe(record: dict[str, Any], base: Base, now: Recipe, what: str) -> Recipe:
    """The recorded recipe, with the number type that it came to."""
    told = recorded(record, "recipe")
    given = {key: value for key, value in recorded(told, "training").items() if value is not None}
    if record.get("dtype") in get_args(DType):
        given["dtype"] = record["dtype"]
    try:
        return Recipe(
            base=base.name,
            method=str(told.get("method", "lora")),
            options=recorded(told, "options"),
            data=_data_here(told.get("data"), now.data),
            data_options=recorded(told, "data_options"),
            eval_data=_data_here(told.get("eval_data"), now.eval_data),
            column_map=recorded(told, "column_map"),
            training=read_training(given, ("adapter_hub.json", "recipe")),
        )
    except (AdapterHubError, SchemaError, TypeError) as error:
        raise UsageError(f"the record of {what} tells a recipe that is none: {error}.") from error


def _data_here(told: Any, now: str | None) -> str | None:
    """Records name a file of an absolute path by its last part; the recipe may still know it."""
    if not isinstance(told, str):
        return None
    return now if now and Path(now).is_absolute() and Path(now).name == told else told


def _train_again(
    plan: Plan,
    registry: Registry,
    catalog: Catalog,
    record: dict[str, Any],
    scratch: Path,
    say: Any,
    on_step: OnStep,
) -> tuple[Fitted, dict[str, Any]]:
    """The run, saved in ``scratch/adapter``, and its own record."""
    from adapter_hub.training.hardware import hardware
    from adapter_hub.training.prepare import prepare
    from adapter_hub.training.provenance import provenance
    from adapter_hub.training.save import write_adapter
    from adapter_hub.training.train import fit

    with _threads(recorded(record, "hardware").get("threads")):
        job = prepare(plan, registry, catalog, scratch, say)
        options = RunOptions(samples=0)
        bench, root = Workbench(shared=False), registry.folder
        fitted = fit(
            plan, job, scratch / CHECKPOINT, False, False, options, say, on_step, root, bench
        )
        after = {
            **provenance(
                plan, job, fitted.progress, fitted.dtype,
                fitted.model.get_nb_trainable_parameters(), {},
            ),
            "hardware": hardware(fitted.accelerator),
        }  # fmt: skip
    made = scratch / "adapter"
    made.mkdir()
    write_adapter(fitted.model, plan.base, made)
    write_record(made, after)
    return fitted, {**after, "environment": environment()}


@contextlib.contextmanager
def _threads(count: Any) -> Iterator[None]:
    """As many threads as were recorded: sums are shared out over them, and rounded accordingly."""
    import torch

    before = torch.get_num_threads()
    if type(count) is int and 0 < count <= (os.cpu_count() or 1):
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _nothing_left(what: str) -> Iterator[None]:
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        raise Interrupted(f"interrupted; nothing is left of the second {what}.") from error
