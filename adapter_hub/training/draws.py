"""Points of a sweep drawn by Optuna, each in the light of those that were tried."""

from __future__ import annotations

import json
from typing import Any

from adapter_hub.errors import UsageError
from adapter_hub.training.space import Point, Space, Span


class Draws:
    """Draws with the tree-structured Parzen estimator (Bergstra et al. 2011), by ``seed``.

    The same losses make the same draws: a sweep that is started again comes by the same points.
    Raises UsageError where Optuna is not installed.
    """

    def __init__(self, space: Space, seed: int) -> None:
        optuna = import_optuna()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed % 2**32))
        self._distributions = {
            name: _distribution(optuna.distributions, values) for name, values in space.items()
        }
        self._asked: list[tuple[str, Any]] = []

    def ask(self, count: int) -> list[Point]:
        """The next points."""
        points = []
        for _ in range(count):
            trial = self._study.ask(self._distributions)
            point = {name: self._value(name, trial.params[name]) for name in self._space}
            self._asked.append((_key(point), trial))
            points.append(point)
        return points

    def tell(self, point: Point, loss: float | None) -> None:
        """What came of a point; None for a failure."""
        place = next(n for n, (key, _) in enumerate(self._asked) if key == _key(point))
        _, trial = self._asked.pop(place)
        if loss is None:
            self._study.tell(trial, state=import_optuna().trial.TrialState.FAIL)
        else:
            self._study.tell(trial, loss)

    def _value(self, name: str, drawn: Any) -> Any:
        values = self._space[name]
        if isinstance(values, Span):
            # As many digits as a person would write: the value stands in a recipe.
            return drawn if values.whole else float(f"{drawn:.3g}")
        return values[drawn]


def import_optuna() -> Any:
    """The library. Raises UsageError where it is missing."""
    try:
        import optuna
    except ImportError:
        raise UsageError(
            "--optuna needs Optuna, which is not installed.",
            hint="pip install 'adapter-hub[optuna]'; or leave --optuna out, for a grid",
        ) from None
    return optuna


def _distribution(kinds: Any, values: Any) -> Any:
    if not isinstance(values, Span):
        # Optuna takes no tables and arrays as choices: their numbers.
        return kinds.CategoricalDistribution(list(range(len(values))))
    if values.whole:
        return kinds.IntDistribution(values.low, values.high, log=values.by_ratio)
    return kinds.FloatDistribution(float(values.low), float(values.high), log=values.by_ratio)


def _key(point: Point) -> str:
    return json.dumps(point, sort_keys=True, default=str)
