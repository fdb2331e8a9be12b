"""The progress of a training run on stderr: one live line, or a few lines in a log."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from adapter_hub.training.progress import Progress

LOG_LINES = 20
WINDOW = 20


class ProgressLine:
    """Call it after every step; leave it (``with``) to end a live line that is still open."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._shown = 0.0
        self._started: tuple[float, int] | None = None
        self._open = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._open:
            click.echo(err=True)

    def __call__(self, progress: Progress, steps: int) -> None:
        now = time.monotonic()
        if self._started is None:
            self._started = (now, progress.step)
        last = progress.step == steps
        if self._quiet or not (last or self._due(progress.step, steps, now)):
            return
        self._shown = now
        text = self._text(progress, steps, now)
        if self._live:
            click.echo(f"\r\033[K{text}", err=True, nl=last)
            self._open = not last
        else:
            click.echo(text, err=True)

    def say(self, text: str) -> None:
        """Talk, on lines of its own; the live line comes again with the next step."""
        if self._quiet:
            return
        click.echo(f"\r\033[K{text}" if self._open else text, err=True)
        self._open = False
        self._shown = 0.0

    def _due(self, step: int, steps: int, now: float) -> bool:
        if self._live:
            return now - self._shown > 0.1
        return step % -(-steps // LOG_LINES) == 0

    def _text(self, progress: Progress, steps: int, now: float) -> str:
        loss = progress.history.mean_loss(WINDOW)
        speed = progress.tokens / max(progress.seconds, 1e-9)
        assert self._started is not None
        began, first = self._started
        done = progress.step - first
        left = f"  {duration((now - began) / done * (steps - progress.step))} left" if done else ""
        return f"step {progress.step}/{steps}  loss {loss:.3f}  {speed:,.0f} tokens/s{left}"


def duration(seconds: float) -> str:
    """``75`` as ``1 min 15 s``."""
    whole = int(seconds + 0.5)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
