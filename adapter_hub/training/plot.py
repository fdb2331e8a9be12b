"""The loss curve of a run as a PNG."""

from __future__ import annotations

import io
import math

from adapter_hub.training.progress import Progress

SMOOTHING = 0.9


def loss_plot(title: str, progress: Progress) -> bytes:
    """Training loss (each step, and smoothed) and held-out loss over the steps: PNG bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    losses = list(progress.history.loss)
    steps = range(1, len(losses) + 1)
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(steps, losses, color="#9db7d5", linewidth=1, label="training, each step")
    axes.plot(steps, _smoothed(losses), color="#1f5fa8", linewidth=2, label="training, smoothed")
    if progress.evaluations:
        at = [entry["step"] for entry in progress.evaluations]
        held_out = [entry["loss"] for entry in progress.evaluations]
        axes.plot(at, held_out, "o--", color="#c8502a", label="held out")
        axes.annotate(
            f"{held_out[-1]:.3f}",
            (at[-1], held_out[-1]),
            textcoords="offset points",
            xytext=(-6, 8),
            ha="right",
        )
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats a token")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _smoothed(losses: list[float]) -> list[float]:
    """Exponential moving average with the bias of its start taken out."""
    average, smoothed = 0.0, []
    for number, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - math.pow(SMOOTHING, number)))
    return smoothed
