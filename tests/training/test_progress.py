"""What is kept of every step, and the look that was best."""

from __future__ import annotations

import pytest

from adapter_hub.training.progress import History, best_evaluation


def test_the_mean_loss_is_over_tokens() -> None:
    history = History()
    for loss, tokens in [(9.0, 1), (1.0, 3), (2.0, 1)]:
        history.append(loss, tokens, 7, 0.5)
    assert len(history) == 3
    assert history.mean_loss(2) == pytest.approx((1.0 * 3 + 2.0) / 4)
    assert history.mean_loss(100) == pytest.approx((9 + 3 + 2) / 5)
    assert list(history.seconds) == [0.5, 0.5, 0.5]


def looks(*losses: float) -> list[dict[str, float]]:
    return [{"step": 10 * number, "loss": loss} for number, loss in enumerate(losses)]


def test_the_best_look_is_none_of_the_bare_base() -> None:
    assert best_evaluation([]) is None
    assert best_evaluation(looks(1.0)) is None
    assert best_evaluation(looks(1.0, 3.0, 2.0, 2.5)) == {"step": 20, "loss": 2.0}


def test_of_equals_the_latest_is_best() -> None:
    assert best_evaluation(looks(5.0, 2.0, 2.0, 3.0)) == {"step": 20, "loss": 2.0}
