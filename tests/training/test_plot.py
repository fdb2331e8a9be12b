"""Curves of a run, as PNG and as SVG for a page."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from adapter_hub.model import TrainingSettings
from adapter_hub.training.learning_rate import learning_rate
from adapter_hub.training.plot import (
    _LINE,
    HELD_OUT,
    RAW,
    Curves,
    _smoothed,
    _thinned,
    curves_of,
    loss_plot,
    svg_plots,
    training_plot,
)
from adapter_hub.training.progress import History, Progress

SVG = "{http://www.w3.org/2000/svg}"


def curves(steps: int, evaluations: int) -> Curves:
    history = History()
    for n in range(1, steps + 1):
        history.append(3.0 / n, 5, 9 + n % 7, 0.1)
    progress = Progress(
        history=history,
        evaluations=[{"step": n, "loss": 2.0 + n % 2} for n in range(evaluations)],
    )
    return curves_of(progress, TrainingSettings(), steps, np.array([5, 9, 9, 30]))


SIZES = [(1, 0), (1, 2), (500, 2), (2, 1), (3000, 7)]


@pytest.mark.parametrize(("steps", "evaluations"), SIZES)
def test_they_are_pictures(steps: int, evaluations: int) -> None:
    for draw, size in ((loss_plot, (960, 540)), (training_plot, (1440, 432))):
        png = draw("sums on llama", curves(steps, evaluations))
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", png[16:24]) == size


@pytest.mark.parametrize("draw", [loss_plot, training_plot])
def test_the_same_run_is_the_same_picture(draw: Any) -> None:
    assert draw("sums", curves(9, 2)) == draw("sums", curves(9, 2))
    assert draw("sums", curves(9, 2)) != draw("sums", curves(8, 2))
    assert b"Matplotlib" not in draw("sums", curves(9, 2))


def test_the_curves_of_a_run() -> None:
    made = curves(4, 2)
    assert made.tokens_per_second == pytest.approx([100, 110, 120, 130])
    assert len(made.learning_rate) == 4
    assert made.learning_rate == [learning_rate(TrainingSettings(), step, 4) for step in range(4)]
    assert list(made.loss) == pytest.approx([3.0, 1.5, 1.0, 0.75])


@pytest.mark.parametrize(("steps", "evaluations"), SIZES)
def test_svg_takes_the_colours_of_its_page(steps: int, evaluations: int) -> None:
    plots = svg_plots(curves(steps, evaluations))
    assert plots == svg_plots(curves(steps, evaluations))
    names: list[str] = []
    for name, svg in plots.items():
        root = ET.fromstring(svg)
        assert (root.get("role"), root.get("aria-label")) == ("img", name)
        assert "currentColor" in svg
        for black in ("#000000", "#010203", "fill: #ffffff"):
            assert black not in svg
        named = [each.get("id") for each in root.iter() if each.get("id")]
        names += [str(each) for each in named]
        used = re.findall(r"url\(#([^)]+)\)|xlink:href=\"#([^\"]+)", svg)
        assert {first or second for first, second in used} <= set(named)
        assert len(svg) < 60_000
    assert len(names) == len(set(names))


def test_svg_tells_in_words_what_it_shows() -> None:
    plots = svg_plots(curves(4, 3))
    told = {name: ET.fromstring(svg).findtext(f"{SVG}desc") for name, svg in plots.items()}
    assert told["loss"] == (
        "training: 3 at first, 0.75 at last, 0.75 at the lowest; "
        "held out: 2 at first, 2 at last, 2 at the lowest"
    )
    assert told["tokens a second"] == "100 at first, 130 at last, 100 at the lowest"
    assert told["lengths of the examples"] == "4 examples of 5 to 30 tokens"
    nothing = Curves([], [], [], [{"step": 1, "loss": float("nan")}], np.array([], dtype=int))
    told = {
        name: ET.fromstring(svg).findtext(f"{SVG}desc") for name, svg in svg_plots(nothing).items()
    }
    assert told["loss"] == "training: nothing; held out: nothing"


def _luminance(colour: str) -> float:
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", [RAW, _LINE, HELD_OUT])
@pytest.mark.parametrize("ground", ["#ffffff", "#14171b"])
def test_lines_stand_out_from_a_light_and_a_dark_page(colour: str, ground: str) -> None:
    dark, light = sorted((_luminance(colour), _luminance(ground)))
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_many_evaluations_are_a_line_and_few_are_points() -> None:
    def marked(evaluations: int) -> int:
        svg = svg_plots(curves(9, evaluations))["loss"]
        return len(re.findall(f"<use [^>]*{HELD_OUT}", svg))

    assert marked(50) - marked(2) == 48
    assert marked(400) <= marked(2)


def test_svg_has_text_that_can_be_read_out() -> None:
    root = ET.fromstring(svg_plots(curves(9, 2))["loss"])
    words = " ".join("".join(each.itertext()) for each in root.iter(f"{SVG}text"))
    for word in ("loss, nats a token", "training, smoothed", "held out", "3.000"):
        assert word in words


def test_of_many_points_the_extremes_are_kept() -> None:
    values = [1.0] * 100_000
    values[77_777], values[5] = 9.0, -9.0
    steps, kept = _thinned(range(1, 100_001), values)
    assert len(kept) <= 500
    assert steps[kept.index(9.0)] == 77_778
    assert steps[kept.index(-9.0)] == 6
    assert steps == sorted(steps)
    assert _thinned(range(3), [1.0, 2.0, 3.0]) == ([0, 1, 2], [1.0, 2.0, 3.0])


def test_the_average_starts_without_a_bias() -> None:
    assert _smoothed([2.0, 2.0, 2.0]) == pytest.approx([2.0, 2.0, 2.0])
    assert _smoothed([]) == []
    falling = _smoothed([4.0, 2.0])
    assert falling[0] == 4.0
    assert 2.0 < falling[1] < 4.0
