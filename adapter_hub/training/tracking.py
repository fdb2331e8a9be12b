"""``--track``: a run's numbers in TensorBoard, Weights & Biases, MLflow or Trackio, by accelerate.

A tracker is somebody else's program, often on the network: whatever it does, the run goes on.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapter_hub.errors import UsageError
from adapter_hub.isolation import one_line, talk_on_stderr

PACKAGES = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "trackio": ("trackio",),
}
"""The trackers, and the packages of which one must be installed."""


def check_trackers(names: Sequence[str]) -> None:
    """Raises UsageError for a tracker that is unknown or not installed. Imports none of them."""
    for name in names:
        if name not in PACKAGES:
            raise UsageError(f"there is no tracker {name!r}; there are {', '.join(PACKAGES)}.")
        if not any(map(importlib.util.find_spec, PACKAGES[name])):
            raise UsageError(f"{name} is not installed.", hint=f"pip install {PACKAGES[name][0]}")


class Trackers:
    """Start those in ``names``, each with the run's ``settings``; leave it (``with``) to end them.

    ``project`` is what runs are found under, ``folder`` where those write that need one. One that
    fails is told of with ``say`` and left out from then on.
    """

    def __init__(
        self,
        names: Sequence[str],
        project: str,
        run: str,
        folder: Path,
        settings: Mapping[str, Any],
        say: Callable[[str], None],
    ) -> None:
        self._say = say
        self._started: dict[str, Any] = {}
        plain = {
            key: value if isinstance(value, (bool, int, float, str)) else str(value)
            for key, value in settings.items()
            if value is not None
        }
        for name in dict.fromkeys(names):
            with self._surviving(name):
                tracker = _make(name, project, run, folder)
                tracker.start()
                self._started[name] = tracker
                tracker.store_init_configuration(plain)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send numbers of a step to every tracker that still works."""
        for name in list(self._started):
            with self._surviving(name):
                self._started[name].log(dict(values), step=step)

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, *_error: object) -> None:
        for name in list(self._started):
            with self._surviving(name):
                self._started.pop(name).finish()

    @contextlib.contextmanager
    def _surviving(self, name: str) -> Iterator[None]:
        """Whatever it prints is talk; when it fails, it is left out."""
        try:
            with talk_on_stderr():
                yield
        except (Exception, SystemExit) as error:
            self._started.pop(name, None)
            self._say(f"{name} is told no more of this run: {one_line(error)}")


def _make(name: str, project: str, run: str, folder: Path) -> Any:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kind = LOGGER_TYPE_TO_CLASS[name]
    if name == "tensorboard":
        return kind(run, folder / name)
    if name == "mlflow":
        return kind(experiment_name=project, run_name=run)
    return kind(project, name=run)
