"""The learning rate over a run."""

from __future__ import annotations

import math

from adapter_hub.model import TrainingSettings


def learning_rate(settings: TrainingSettings, step: int, steps: int) -> float:
    """The learning rate of ``step`` (from 0): a linear warm-up, then the schedule down to 0."""
    warmup = settings.warmup * steps if settings.warmup < 1 else settings.warmup
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    share = (step - warmup) / max(1.0, steps - warmup)
    factor = {
        "constant": 1.0,
        "linear": 1.0 - share,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * share)),
    }[settings.schedule]
    return settings.learning_rate * factor
