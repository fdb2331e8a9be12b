"""``sweep NAME``: the recipe with other values, a version for each, and the best one named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import AdapterHubError, TrainingError, UsageError
from adapter_hub.loading.folders import read_record, recorded
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.aliases import check_alias
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import adopt_version, version_digest
from adapter_hub.training.changed import Here, find_changes
from adapter_hub.training.plan import Changes, Plan, Trial, canonical, make_plan
from adapter_hub.training.progress import recorded_loss
from adapter_hub.training.run_options import RunOptions
from adapter_hub.training.several import Training, train_several
from adapter_hub.training.space import Point, Space, Span, changes_of, grid, shown
from adapter_hub.training.start import Start, continued_parent, find_start, parents_of
from adapter_hub.training.workbench import Workbench

if TYPE_CHECKING:
    from adapter_hub.model import Adapter, Version

PLOT = "sweep.png"
Work = Callable[[Sequence[Training]], None]
"""Makes the runs, and writes into each what came of it."""


@dataclass
class Tried:
    """One point of a sweep. ``version`` is what it made, now or before; losses in nats a token."""

    point: Point
    training: Training
    outcome: str = "not tried"
    version: int | None = None
    eval_loss: float | None = None
    train_loss: float | None = None
    seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        told = {key: getattr(self, key) for key in _TOLD}
        return {"varied": dict(self.point), **told, "error": self.training.error or None}


_TOLD = ("outcome", "version", "eval_loss", "train_loss", "seconds")


@dataclass
class Sweep:
    """What ``sweep --json`` prints. ``best`` is the version of the lowest held-out loss.

    ``better`` is the version that had the alias before, and keeps it: its loss on the same rows is
    lower.
    """

    name: str
    sweep: str
    tried: list[Tried]
    alias: str
    best: int | None = None
    better: int | None = None
    plot: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "tried": [each.as_json() for each in self.tried]}

    @property
    def ranking(self) -> list[Tried]:
        """The best first; those without a loss last, as they were tried."""
        return sorted(self.tried, key=lambda each: (each.eval_loss is None, each.eval_loss or 0.0))


class Sweeping:
    """A sweep that is set out and checked: ``run`` makes its trials.

    A trial that a version was made for before, by the same recipe of what lies here now, is not
    made again: a sweep that was interrupted goes on. Raises UsageError and what ``make_plan`` does.
    """

    def __init__(
        self,
        registry: Registry,
        name: str,
        space: Space,
        changes: Changes,
        catalog: Catalog,
        *,
        start: Start | None = None,
        alias: str = "best",
        draws: int | None = None,
    ) -> None:
        check_alias(alias)
        if not space:
            raise UsageError(
                "nothing is varied.",
                hint=f"give several values: adapter-hub sweep {name} -o r=4,8 --learning-rate 1e-4,3e-4",
            )
        self.registry, self.catalog, self.name, self.start = registry, catalog, name, start
        self._changes, self._alias = changes, alias
        self._space, self._draws = space, draws
        self._parent = _newest(registry, name)
        self._here = Here(registry)
        self._points = _corners(space) if draws else grid(space)
        self._total = draws or len(self._points)
        plan = self._plan(self._points[0], {})
        if plan.recipe.training.eval_fraction == 0:
            raise UsageError(
                "a sweep compares held-out losses, and eval_fraction is 0.",
                hint=f"adapter-hub sweep {name} … --eval-fraction 0.1",
            )
        told = [name, plan.base.name, canonical(_plain(space)), canonical(asdict(changes))]
        told.append(start.digest if start else None)
        self.id = hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:12]
        self._seed = plan.recipe.training.seed
        for point in self._points:
            self._plan(point, {})

    def planned(self) -> list[Tried]:
        """The trials of a grid, and what is there of them; of draws the points at the ends."""
        return [self._tried(point, number) for number, point in enumerate(self._points, 1)]

    def run(self, work: Work, at_once: int = 1) -> Sweep:
        """Make the trials by ``work``, then name the best one. Raises Interrupted, TrainingError."""
        sweep = Sweep(self.name, self.id, [], self._alias)
        if self._draws:
            self._draw(sweep, work, at_once)
        else:
            self._try(sweep, self._points, work)
        self._adopt(sweep)
        return sweep

    def _draw(self, sweep: Sweep, work: Work, at_once: int) -> None:
        """Points that Optuna draws, each batch in the light of those before."""
        from adapter_hub.training.draws import Draws

        draws = Draws(self._space, self._seed)
        while len(sweep.tried) < self._total:
            points = draws.ask(min(at_once, self._total - len(sweep.tried)))
            for each in self._try(sweep, points, work):
                draws.tell(each.point, each.eval_loss)

    def _try(self, sweep: Sweep, points: Sequence[Point], work: Work) -> list[Tried]:
        # Other processes may have made trials of before; draws can come again.
        self.registry = Registry.open(self.registry.path)
        tried = [self._tried(point, len(sweep.tried) + n) for n, point in enumerate(points, 1)]
        sweep.tried += tried
        new = [each for each in tried if each.version is None]
        runs = {repr(each.point): each.training for each in reversed(new)}
        for each in new:
            each.training = runs[repr(each.point)]
        try:
            if new:
                work(list({id(each.training): each.training for each in new}.values()))
        finally:
            for each in new:
                _take(each)
        return tried

    def _tried(self, point: Point, number: int) -> Tried:
        told = {"id": self.id, "trial": number, "trials": self._total, "varied": dict(point)}
        plan = self._plan(point, told)
        training = Training(self.name, shown(point), self._changes, plan.trial)
        tried = Tried(point, training)
        found = self._made_before(plan)
        if found is not None:
            tried.outcome, tried.version = "there already", found.number
            tried.eval_loss = self._loss_of(found)
            tried.train_loss = found.metrics.get("train_loss")
        return tried

    def _plan(self, point: Point, told: Mapping[str, Any]) -> Plan:
        trial = Trial(changes_of(point), told, self._parent)
        return make_plan(self.registry, self.name, self._changes, self.catalog, self.start, trial)

    def _made_before(self, plan: Plan) -> Version | None:
        """A version that this very trial made: same recipe, base, data and start."""
        if not self.registry.has_adapter(self.name):
            return None
        for version in self.registry.adapter(self.name).versions.values():
            if version.recipe != plan.digest:
                continue
            record = self._record(version)
            parent = continued_parent(record)
            same_start = (parent and parent.get("digest")) == (self.start and self.start.digest)
            found = find_changes(plan.recipe, plan.base, record, True, self._here)
            if record and same_start and not found.changes:
                return version
        return None

    def _record(self, version: Version) -> dict[str, Any]:
        try:
            return read_record(self.registry.version_folder(self.name, version.number))
        except AdapterHubError:
            return {}

    def _loss_of(self, version: Version) -> float | None:
        """To its last digit, as a new trial has it: metrics are rounded."""
        loss = recorded_loss(self._record(version).get("evaluations"))
        return version.metrics.get("eval_loss") if loss is None else loss

    def _adopt(self, sweep: Sweep) -> None:
        """The best one's recipe becomes the adapter's, and the alias points to it."""
        ranking = [each for each in sweep.ranking if each.eval_loss is not None]
        if not ranking:
            failed = next((each.training.error for each in sweep.tried if each.training.error), "")
            raise TrainingError(
                f"no trial of {self.name!r} has a held-out loss: {failed or 'no rows were held out'}",
                hint=f"adapter-hub sweep {self.name} … --eval-fraction 0.1",
            )
        best = ranking[0]
        assert best.version is not None
        sweep.best = best.version
        self.registry = Registry.open(self.registry.path)
        sweep.better = self._better(self.registry.adapter(self.name), best)
        if sweep.better is None:
            plan = self._plan(best.point, {})
            adopt_version(
                self.registry, self.name, best.version, self._alias, plan.kept, plan.recipe
            )
        folder = self.registry.version_folder(self.name, best.version)
        sweep.plot = _plotted(sweep, folder / PLOT)

    def _better(self, adapter: Adapter, best: Tried) -> int | None:
        """The version that has the alias, if its loss is lower and of the same held-out rows."""
        holder = adapter.versions.get(adapter.aliases.get(self._alias, 0))
        if holder is None or holder.number == best.version:
            return None
        loss = self._loss_of(holder)
        ours = self._record(adapter.versions[best.version or 0])
        same = _held_out(self._record(holder)) == _held_out(ours)
        lower = loss is not None and best.eval_loss is not None and loss < best.eval_loss
        return holder.number if same and lower else None


def sweep(
    name: str,
    space: Space,
    changes: Changes | None = None,
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    start: str | Start | None = None,
    alias: str = "best",
    draws: int | None = None,
    run_options: RunOptions | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Sweep:
    """Train ``name`` with every combination of ``space``, in this process, and name the best.

    ``space`` has ``options.NAME`` for options of the method and names of training settings, each
    with its values; ``changes`` are the same for all. With ``draws`` so many are drawn by Optuna.
    Raises what ``Sweeping`` does, Interrupted, TrainingError.
    """
    registry = registry or Registry.open()
    catalog = catalog or load_catalog()
    found = find_start(start, registry) if isinstance(start, str) else start
    sweeping = Sweeping(
        registry, name, space, changes or Changes(), catalog, start=found, alias=alias, draws=draws
    )
    bench = Workbench()

    def work(trainings: Sequence[Training]) -> None:
        train_several(
            trainings,
            registry=registry,
            catalog=catalog,
            say=say,
            progress=lambda: nullcontext(lambda *_: None),
            again="the same sweep",
            start=found,
            options=run_options or RunOptions(samples=0),
            bench=bench,
        )

    return sweeping.run(work)


def _held_out(record: dict[str, Any]) -> tuple[Any, ...]:
    """What decides on which rows a version's loss was measured, and on which of their tokens."""
    settings = recorded(recorded(record, "recipe"), "training")
    return (
        recorded(record, "data").get("fingerprint"),
        recorded(record, "eval_data"),
        record.get("max_length"),
        *(settings.get(key) for key in ("train_on", "eval_fraction", "seed")),
    )


def _plotted(sweep: Sweep, path: Path) -> str | None:
    from adapter_hub.training.sweep_plot import sweep_plot

    try:
        path.write_bytes(sweep_plot(sweep))
    except OSError:  # a picture is no reason to fail after the work
        return None
    return str(path)


def _take(tried: Tried) -> None:
    """What came of the run."""
    tried.outcome = tried.training.outcome
    result = tried.training.result
    if result is not None:
        tried.version, tried.seconds = result.version, result.seconds
        tried.train_loss, tried.eval_loss = result.train_loss, result.eval_loss


def _newest(registry: Registry, name: str) -> dict[str, str] | None:
    """The version whose recipe is varied, as its trials' parent."""
    newest = registry.adapter(name).newest if registry.has_adapter(name) else None
    if newest is None:
        return None
    try:
        record = read_record(registry.version_folder(name, newest.number))
    except AdapterHubError:
        record = {}
    if recorded(record, "sweep"):
        # A sweep that goes on: the parent is that of its first trials.
        return next((each for each in parents_of(record) if each.get("kind") == "varied"), None)
    digest = version_digest(newest.files)
    return {"kind": "varied", "reference": f"{name}@{newest.number}", "digest": digest}


def _corners(space: Space) -> list[Point]:
    """Points in which each value and each end of a span is at least once: enough to check all."""
    ends = {k: (v.low, v.high) if isinstance(v, Span) else v for k, v in space.items()}
    most = max(len(values) for values in ends.values())
    return [
        {name: values[min(number, len(values) - 1)] for name, values in ends.items()}
        for number in range(most)
    ]


def _plain(space: Space) -> dict[str, Any]:
    return {k: asdict(v) if isinstance(v, Span) else list(v) for k, v in space.items()}
