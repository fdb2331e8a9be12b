"""How far a run is, and what was measured on the way."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


def _column() -> array[float]:
    return array("d")


@dataclass
class History:
    """One entry a step, by columns: long runs stay small, and are saved in no time.

    ``loss`` is in nats a token over ``loss_tokens``, ``tokens`` are the real ones, without pads,
    ``seconds`` is what the step took.
    """

    loss: array[float] = field(default_factory=_column)
    loss_tokens: array[float] = field(default_factory=_column)
    tokens: array[float] = field(default_factory=_column)
    seconds: array[float] = field(default_factory=_column)

    def __len__(self) -> int:
        return len(self.loss)

    def append(self, loss: float, loss_tokens: float, tokens: float, seconds: float) -> None:
        self.loss.append(loss)
        self.loss_tokens.append(loss_tokens)
        self.tokens.append(tokens)
        self.seconds.append(seconds)

    def mean_loss(self, steps: int) -> float:
        """Over all loss tokens of the last ``steps`` steps."""
        tokens = self.loss_tokens[-steps:]
        return sum(a * b for a, b in zip(self.loss[-steps:], tokens, strict=True)) / sum(tokens)


@dataclass
class Progress:
    """Where a run stands.

    ``evaluations`` has a ``step`` and a ``loss`` for every look at the held-out rows, the first of
    them of the bare base; ``samples`` the ``step``, the ``number`` and the ``text`` of each answer.
    """

    step: int = 0
    tokens: int = 0
    loss_tokens: int = 0
    seconds: float = 0.0
    history: History = field(default_factory=History)
    evaluations: list[dict[str, float]] = field(default_factory=list)
    base_eval_loss: float | None = None
    samples: list[dict[str, Any]] = field(default_factory=list)


def best_evaluation(evaluations: Sequence[dict[str, float]]) -> dict[str, float] | None:
    """That of the lowest loss after the first step, the latest of equals; None without one."""
    trained = [each for each in evaluations if each["step"] > 0]
    return min(reversed(trained), key=lambda each: each["loss"], default=None)


def recorded_loss(evaluations: Any) -> float | None:
    """The held-out loss of the weights that were kept, as far as a record tells one."""
    listed = evaluations if isinstance(evaluations, list) else []
    sound = [
        each
        for each in listed
        if isinstance(each, dict)
        and all(isinstance(each.get(key), (int, float)) for key in ("step", "loss"))
    ]
    best = best_evaluation(sound)
    return None if best is None else best["loss"]
