"""The loss curve."""

from __future__ import annotations

import struct

import pytest

from adapter_hub.training.plot import _smoothed, loss_plot
from adapter_hub.training.progress import History, Progress


def progress(steps: int, evaluations: int) -> Progress:
    history = History()
    for n in range(1, steps + 1):
        history.append(3.0 / n, 5, 9, 0.1)
    return Progress(
        history=history,
        evaluations=[{"step": n, "loss": 2.0} for n in range(evaluations)],
    )


@pytest.mark.parametrize(("steps", "evaluations"), [(1, 0), (1, 2), (500, 2), (2, 1)])
def test_it_is_a_picture(steps: int, evaluations: int) -> None:
    png = loss_plot("sums on llama", progress(steps, evaluations))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (960, 540)


def test_it_is_the_same_picture_again() -> None:
    assert loss_plot("sums", progress(9, 2)) == loss_plot("sums", progress(9, 2))
    assert loss_plot("sums", progress(9, 2)) != loss_plot("sums", progress(8, 2))


def test_it_does_not_say_who_drew_it() -> None:
    assert b"Matplotlib" not in loss_plot("sums", progress(9, 2))


def test_the_average_starts_without_a_bias() -> None:
    assert _smoothed([2.0, 2.0, 2.0]) == pytest.approx([2.0, 2.0, 2.0])
    assert _smoothed([]) == []
    falling = _smoothed([4.0, 2.0])
    assert falling[0] == 4.0
    assert 2.0 < falling[1] < 4.0
