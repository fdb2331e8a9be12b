"""The held-out loss during a run: when it is looked at, which weights did best, when to stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from adapter_hub.model import TrainingSettings
from adapter_hub.training import checkpoint
from adapter_hub.training.progress import best_evaluation

if TYPE_CHECKING:
    import torch

    from adapter_hub.hookspecs import TrainHooks

MOST, SHARE = 10, 0.05
"""If nothing else is said: so many looks before the end, for at most this share of the work."""


def steps_between(
    settings: TrainingSettings, steps: int, tokens: float, held_out_tokens: float
) -> int:
    """How many steps lie between two looks; 0 for none before the end.

    ``tokens`` are those of the whole run. A look takes the forward pass alone, half the work of
    training on as many.
    """
    if settings.eval_every is not None:
        return settings.eval_every
    looks = min(MOST, int(SHARE * tokens / (0.5 * held_out_tokens)))
    if settings.early_stop:
        looks = MOST  # there is nothing to decide by without them
    return math.ceil(steps / (looks + 1)) if looks else 0


def out_of_patience(evaluations: Sequence[dict[str, float]], patience: int) -> bool:
    """Whether the last ``patience`` looks were no better than one before; never for 0."""
    best = best_evaluation(evaluations)
    if not patience or best is None:
        return False
    return sum(each["step"] > best["step"] for each in evaluations) >= patience


class Best:
    """What was trained, as it was at the lowest held-out loss so far; empty until it is kept."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        self.state = state

    def keep(self, model: Any, hooks: TrainHooks) -> None:
        """Every process must call this: shards come together."""
        now = checkpoint.collect(model, None, hooks.state(model))
        self.state = {name: tensor.cpu().clone() for name, tensor in now.items()}

    def bring_back(self, model: Any, hooks: TrainHooks) -> None:
        """Every process must call this."""
        hooks.restore(model, checkpoint.bring_back(model, self.state))
