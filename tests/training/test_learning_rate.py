"""The learning rate over a run."""

from __future__ import annotations

from typing import Any

import pytest

from adapter_hub.model import TrainingSettings
from adapter_hub.training.learning_rate import learning_rate


def rates(steps: int, **settings: Any) -> list[float]:
    made = TrainingSettings(learning_rate=1.0, **settings)
    return [round(learning_rate(made, step, steps), 4) for step in range(steps)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"schedule": "constant", "warmup": 0}, [1, 1, 1, 1]),
        ({"schedule": "linear", "warmup": 0}, [1, 0.75, 0.5, 0.25]),
        ({"schedule": "cosine", "warmup": 0}, [1, 0.8536, 0.5, 0.1464]),
        ({"schedule": "constant", "warmup": 0.5}, [0.3333, 0.6667, 1, 1]),
        ({"schedule": "constant", "warmup": 3}, [0.25, 0.5, 0.75, 1]),
        ({"schedule": "linear", "warmup": 2}, [0.3333, 0.6667, 1, 0.5]),
        ({"schedule": "cosine", "warmup": 100}, [0.0099, 0.0198, 0.0297, 0.0396]),
    ],
)
def test_the_learning_rate_of_each_step(settings: Any, expected: list[float]) -> None:
    assert rates(4, **settings) == expected


def test_the_last_step_still_learns() -> None:
    for schedule in ("cosine", "linear", "constant"):
        assert rates(1, schedule=schedule, warmup=0) == [1.0]
        assert all(rate > 0 for rate in rates(50, schedule=schedule))
