"""What a run looked like: PNG files, and SVG for a page that is light or dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from adapter_hub.model import TrainingSettings
from adapter_hub.training.learning_rate import learning_rate
from adapter_hub.training.progress import Progress, best_evaluation

SMOOTHING = 0.9
_POINTS = 500
"""The most points of a curve: more are not to be seen."""
RAW, _LINE, HELD_OUT = "#6a96cd", "#2f74c0", "#d1602f"
"""Each with a contrast of three or more to white and to the dark of the report."""
_DOTS = 50
"""The most points that are marked as such: more would hide the other curves."""
_INK = "#010203"
"""Stands for the colour of the page's text in an SVG, until it is written."""
_PAGE = {
    "svg.fonttype": "none",
    **dict.fromkeys(
        (
            "text.color",
            "axes.edgecolor",
            "axes.labelcolor",
            "xtick.color",
            "ytick.color",
            "grid.color",
        ),
        _INK,
    ),
}


@dataclass(frozen=True)
class Curves:
    """Of every step: mean loss in nats a token, learning rate, real tokens a second.

    ``evaluations`` have ``step`` and ``loss``; ``lengths`` are the tokens of each training example.
    """

    loss: Sequence[float]
    learning_rate: Sequence[float]
    tokens_per_second: Sequence[float]
    evaluations: Sequence[dict[str, float]]
    lengths: Any


def curves_of(progress: Progress, settings: TrainingSettings, steps: int, lengths: Any) -> Curves:
    """The curves of a run that was to take ``steps``."""
    history = progress.history
    return Curves(
        loss=history.loss,
        learning_rate=[learning_rate(settings, step, steps) for step in range(len(history))],
        tokens_per_second=[
            tokens / max(seconds, 1e-9)
            for tokens, seconds in zip(history.tokens, history.seconds, strict=True)
        ],
        evaluations=progress.evaluations,
        lengths=lengths,
    )


def loss_plot(title: str, curves: Curves) -> bytes:
    """Training loss (each step, and smoothed) and held-out loss over the steps: PNG bytes."""
    return _png(1, (8, 4.5), title, [draw_loss], curves)


def training_plot(title: str, curves: Curves) -> bytes:
    """Learning rate, tokens a second and the lengths of the examples, side by side: PNG bytes."""
    return _png(3, (12, 3.6), title, [draw_learning_rate, draw_speed, draw_lengths], curves)


def svg_plots(curves: Curves) -> dict[str, str]:
    """Each plot by what it shows, as an ``<svg>`` in the colours of the page around it."""
    drawings = {
        "loss": (draw_loss, (6.4, 3.4)),
        "learning rate": (draw_learning_rate, (5.2, 2.9)),
        "tokens a second": (draw_speed, (5.2, 2.9)),
        "lengths of the examples": (draw_lengths, (5.2, 2.9)),
    }
    return {name: _svg(name, draw, size, curves) for name, (draw, size) in drawings.items()}


def draw_loss(axes: Any, curves: Curves) -> None:
    steps = range(1, len(curves.loss) + 1)
    axes.plot(*_thinned(steps, curves.loss), color=RAW, linewidth=1, label="training, each step")
    smooth = _smoothed(curves.loss)
    axes.plot(*_thinned(steps, smooth), color=_LINE, linewidth=2, label="training, smoothed")
    if curves.evaluations:
        _draw_held_out(axes, curves.evaluations)
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats a token")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _draw_held_out(axes: Any, evaluations: Sequence[dict[str, float]]) -> None:
    at = [each["step"] for each in evaluations]
    losses = [each["loss"] for each in evaluations]
    axes.plot(at, losses, _held_out_style(len(at)), color=HELD_OUT, markersize=4, label="held out")
    shown = best_evaluation(evaluations) or evaluations[-1]
    place = (shown["step"], shown["loss"])
    axes.plot(*place, "o", color=HELD_OUT, markersize=9, fillstyle="none")
    axes.annotate(
        f"{shown['loss']:.3f}",
        place,
        textcoords="offset points",
        xytext=(-6, 8),
        ha="right" if place[0] > at[-1] / 2 else "left",
    )


def _held_out_style(points: int) -> str:
    return "o--" if points <= _DOTS else "-"


def draw_learning_rate(axes: Any, curves: Curves) -> None:
    steps = range(1, len(curves.learning_rate) + 1)
    axes.plot(*_thinned(steps, curves.learning_rate), color=_LINE, linewidth=2)
    axes.set_xlabel("step")
    axes.set_ylabel("learning rate")
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)


def draw_speed(axes: Any, curves: Curves) -> None:
    speed = curves.tokens_per_second
    steps = range(1, len(speed) + 1)
    axes.plot(*_thinned(steps, speed), color=RAW, linewidth=1)
    axes.plot(*_thinned(steps, _smoothed(speed)), color=_LINE, linewidth=2)
    axes.set_xlabel("step")
    axes.set_ylabel("tokens a second")
    axes.set_ylim(bottom=0)


def draw_lengths(axes: Any, curves: Curves) -> None:
    axes.hist(curves.lengths, bins=min(40, max(1, len(set(curves.lengths)))), color=_LINE)
    axes.set_xlabel("tokens of an example")
    axes.set_ylabel("examples")


def _png(
    panels: int,
    size: tuple[float, float],
    title: str,
    draw: Sequence[Callable[[Any, Curves], None]],
    curves: Curves,
) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for axes, each in zip(figure.subplots(1, panels, squeeze=False)[0], draw, strict=True):
        each(axes, curves)
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _svg(
    name: str, draw: Callable[[Any, Curves], None], size: tuple[float, float], curves: Curves
) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with _page_style(name):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        draw(axes, curves)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    return _inline(buffer.getvalue(), name, _told(curves)[name])


@contextmanager
def _page_style(name: str) -> Iterator[None]:
    import matplotlib

    # Names within the picture follow from this instead of from chance.
    with matplotlib.rc_context({**_PAGE, "svg.hashsalt": name}):
        yield


def _told(curves: Curves) -> dict[str, str]:
    """Each plot in words, for those who do not see it."""
    held_out = [each["loss"] for each in curves.evaluations]
    lengths = [int(each) for each in curves.lengths]
    return {
        "loss": f"training: {_ends(curves.loss)}; held out: {_ends(held_out)}",
        "learning rate": _ends(curves.learning_rate),
        "tokens a second": _ends(curves.tokens_per_second),
        "lengths of the examples": f"{len(lengths)} examples of {min(lengths, default=0)} to "
        f"{max(lengths, default=0)} tokens",
    }


def _ends(values: Sequence[float]) -> str:
    known = [each for each in values if math.isfinite(each)]
    if not known:
        return "nothing"
    return f"{known[0]:.4g} at first, {known[-1]:.4g} at last, {min(known):.4g} at the lowest"


def _inline(svg: str, name: str, told: str) -> str:
    """The element alone, with names of its own among several on a page."""
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor").strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    mark = name.replace(" ", "-")
    svg = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{mark}-", svg)
    opening, inside = svg.split(">", 1)
    opening = opening.replace("<svg", f'<svg role="img" aria-label="{name}"', 1)
    return f"{opening}><desc>{told}</desc>{inside}"


def _thinned(steps: Sequence[int], values: Sequence[float]) -> tuple[list[int], list[float]]:
    """At most ``_POINTS`` points: of each stretch of steps the lowest and the highest value."""
    if len(values) <= _POINTS:
        return list(steps), list(values)
    size = math.ceil(len(values) / (_POINTS // 2))
    kept = []
    for start in range(0, len(values), size):
        places = range(start, min(start + size, len(values)))
        ends = min(places, key=values.__getitem__), max(places, key=values.__getitem__)
        kept += sorted(set(ends))
    return [steps[place] for place in kept], [values[place] for place in kept]


def _smoothed(values: Sequence[float]) -> list[float]:
    """Exponential moving average with the bias of its start taken out."""
    average, smoothed = 0.0, []
    for number, value in enumerate(values, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * value
        smoothed.append(average / (1 - math.pow(SMOOTHING, number)))
    return smoothed
