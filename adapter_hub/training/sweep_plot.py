"""What the trials of a sweep came to, as a picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from adapter_hub.training.plot import HELD_OUT, RAW
from adapter_hub.training.space import OPTIONS, shown

if TYPE_CHECKING:
    from adapter_hub.training.sweep import Sweep, Tried

_MOST = 30
"""Trials in the ranking: the best ones."""
_PANELS = 4


def sweep_plot(sweep: Sweep) -> bytes:
    """The trials by held-out loss, and the loss over each thing that was varied: PNG bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measured = [each for each in sweep.ranking if each.eval_loss is not None]
    names = list(dict.fromkeys(name for each in measured for name in each.point))[:_PANELS]
    height = 1.6 + 0.28 * min(len(measured), _MOST)
    figure = Figure(figsize=(11, height + 3), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{sweep.name}: held-out loss of {len(measured)} trials")
    parts: Any = figure.subfigures(2, 1, height_ratios=(height, 3))
    above, below = parts
    _draw_ranking(above.add_subplot(), measured[:_MOST])
    panels = below.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for axes, name in zip(panels, names, strict=True):
        _draw_over(axes, name, measured)
    panels[0].set_ylabel("loss, nats a token")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_ranking(axes: Any, trials: list[Tried]) -> None:
    places = range(len(trials))
    losses = [each.eval_loss for each in trials]
    axes.hlines(places, min(filter(None, losses), default=0), losses, color=RAW, linewidth=1)
    axes.plot(losses, places, "o", color=RAW)
    axes.plot(losses[0], 0, "o", color=HELD_OUT, markersize=9)
    axes.set_yticks(places, [shown(each.point) for each in trials])
    for place, each in zip(places, trials, strict=True):
        axes.annotate(
            f"{each.eval_loss:.3f}  @{each.version}",
            (each.eval_loss, place),
            textcoords="offset points",
            xytext=(7, -3),
            fontsize=8,
        )
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("held-out loss, nats a token")


def _draw_over(axes: Any, name: str, trials: list[Tried]) -> None:
    values: list[Any] = [each.point[name] for each in trials]
    losses = [each.eval_loss for each in trials]
    numbers = all(type(each) in (int, float) for each in values)
    known: list[Any] = sorted(set(values)) if numbers else sorted(set(map(str, values)))
    at = values if numbers else [known.index(str(each)) for each in values]
    if numbers and known[0] > 0 and known[-1] / known[0] >= 8:
        axes.set_xscale("log")
    if not numbers:
        axes.set_xticks(range(len(known)), known)
        axes.margins(x=0.2)
    elif len(known) <= 6:
        axes.set_xticks(known, [f"{each:g}" for each in known])
        axes.set_xticks([], minor=True)
    axes.plot(at, losses, "o", color=RAW)
    axes.plot(at[0], losses[0], "o", color=HELD_OUT, markersize=9)
    axes.set_xlabel(name.removeprefix(OPTIONS))
    axes.grid(alpha=0.3)
