"""Runs made in other processes, of this machine or others, by an executor that a plugin offers.

A run travels as a plain mapping, and what came of it comes back as one. The version itself is
published by the process that trained it, by the same edit of the same registry: every process
must see the registry's folder.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import AdapterHubError, Interrupted, PluginError
from adapter_hub.isolation import one_line
from adapter_hub.options import check_options
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.training.plan import Changes, Trial
from adapter_hub.training.run_options import RunOptions
from adapter_hub.training.several import Training, train_several
from adapter_hub.training.start import Start, find_start
from adapter_hub.training.workbench import Workbench

if TYPE_CHECKING:
    from adapter_hub.hookspecs import Executor

_BENCH = Workbench()
"""Of this process: executors use one for many runs."""


def find_executor(name: str, options: Mapping[str, Any], catalog: Catalog) -> Executor:
    """What a plugin offers as ``name``, with its options. Raises UnknownOfferError, OptionError."""
    offer = catalog.find("executor", name)
    checked = check_options(
        offer.options(), options, owner=f"executor {name!r}", see="adapter-hub plugins"
    )
    try:
        executor: Executor = offer.resolve()(**checked)
    except AdapterHubError:
        raise
    except Exception as error:
        raise PluginError(
            f"executor {name!r} of {offer.distribution} cannot be had: {one_line(error)}.",
            hint="adapter-hub plugins",
        ) from error
    return executor


def train_elsewhere(
    trainings: Sequence[Training],
    executor: Executor,
    *,
    registry: Registry,
    say: Callable[[str], None],
    again: str,
    start: Start | None = None,
    restart: bool = False,
    options: RunOptions | None = None,
) -> None:
    """``train_several`` by ``executor``: what came of each run is written into ``trainings``.

    Raises Interrupted when the user stops, PluginError when the executor itself fails.
    """
    runs = [
        {
            "registry": str(registry.path),
            "name": each.name,
            "label": each.label,
            "changes": asdict(each.changes),
            "trial": each.trial and _packed(each.trial),
            "start": start and start.reference,
            "restart": restart,
            "options": asdict(options or RunOptions()),
        }
        for each in trainings
    ]

    def done(number: int, told: Mapping[str, Any]) -> None:
        each = trainings[number]
        _take(each, told)
        label = f", {each.label}" if each.label else ""
        say(f"{each.name}{label}: {each.error or each.outcome}")

    try:
        executor(runs, done)
    except (KeyboardInterrupt, Interrupted) as error:
        finished = sum(each.outcome == "trained" for each in trainings)
        raise Interrupted(
            f"interrupted; {finished} of {len(trainings)} were trained.",
            hint=f"to go on: {again}",
        ) from error
    except AdapterHubError:
        raise
    except Exception as error:
        raise PluginError(
            f"the executor failed: {one_line(error)}.", hint=f"to go on: {again}"
        ) from error


def make_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """Make one run in this process; what came of it, for whoever sent it. Raises nothing of ours.

    A run that was interrupted before, in whatever process, is gone on with.
    """
    training = Training(run["name"], run["label"], Changes(**run["changes"]))
    try:
        training.trial = run["trial"] and _unpacked(run["trial"])
        _require_seen(run)
        registry = Registry.open(Path(run["registry"]))
        train_several(
            [training],
            registry=registry,
            catalog=load_catalog(),
            say=lambda text: print(text, file=sys.stderr, flush=True),
            progress=_no_progress,
            again="",
            start=find_start(run["start"], registry) if run["start"] else None,
            restart=run["restart"],
            options=RunOptions(**run["options"]),
            bench=_BENCH,
        )
    except Interrupted:
        pass  # the outcome says so
    except AdapterHubError as error:
        training.outcome, training.error = "failed", error.message
    return training.as_json()


@contextlib.contextmanager
def _no_progress() -> Iterator[Callable[..., None]]:
    yield lambda *_: None


def _require_seen(run: Mapping[str, Any]) -> None:
    if not Path(run["registry"]).is_file():
        raise PluginError(
            f"the process that is to train {run['name']!r} does not see {run['registry']}: the "
            "registry's folder must be shared."
        )


def _packed(trial: Trial) -> dict[str, Any]:
    return {
        "vary": asdict(trial.vary),
        "told": dict(trial.told),
        "parent": trial.parent and dict(trial.parent),
    }


def _unpacked(told: Mapping[str, Any]) -> Trial:
    return Trial(Changes(**told["vary"]), told["told"], told["parent"])


def _take(training: Training, told: Mapping[str, Any]) -> None:
    from adapter_hub.training.train import TrainResult

    training.outcome = told["outcome"]
    training.error = told["error"] or ""
    training.result = TrainResult(**told["result"]) if told["result"] else None
