"""What can be asked of a run that changes nothing of its result, so that no recipe has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunOptions:
    """``samples`` answers are shown at the end, and every ``sample_every`` steps if that is given.

    The state is saved every ``save_every`` steps besides every half minute; ``track`` names the
    trackers that are told of the losses.
    """

    samples: int = 3
    sample_every: int | None = None
    save_every: int | None = None
    track: tuple[str, ...] = ()
