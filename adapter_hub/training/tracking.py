"""``--track``: a run's numbers in TensorBoard, Weights & Biases, MLflow or Trackio, by accelerate.

A tracker is somebody else's program, often on the network: whatever it does, the run goes on.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import shlex
import sys
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

    ``project`` is what runs are found under. Files lie in ``folder``, unless the tracker's own
    variables (``WANDB_DIR``, ``MLFLOW_TRACKING_URI``, ``TRACKIO_DIR``) name another place; ``say``
    tells how to look at them. One that fails is told of with ``say`` and left out from then on.
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
        looks: dict[str, str | None] = {}
        for name in dict.fromkeys(names):
            with self._surviving(name), _nobody_to_ask():
                folder.mkdir(parents=True, exist_ok=True)
                tracker, look = _make(name, project, run, folder.resolve())
                tracker.start()
                self._started[name] = tracker
                tracker.store_init_configuration(plain)
                looks[name] = look
        for name, look in looks.items():
            if look:
                say(f"{name}: {look}")

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
                _finish(name, self._started.pop(name))

    @contextlib.contextmanager
    def _surviving(self, name: str) -> Iterator[None]:
        """Whatever it prints is talk; when it fails, it is left out."""
        try:
            with talk_on_stderr():
                yield
        except (Exception, SystemExit) as error:
            self._started.pop(name, None)
            self._say(f"{name} is told no more of this run: {one_line(error)}")


@contextlib.contextmanager
def _nobody_to_ask() -> Iterator[None]:
    """W&B without a login asks at a terminal, and the run would wait for the answer for ever."""
    asked = sys.stdin
    with open(os.devnull, encoding="utf-8") as sys.stdin:
        try:
            yield
        finally:
            sys.stdin = asked


def _make(name: str, project: str, run: str, folder: Path) -> tuple[Any, str | None]:
    """A tracker that has not begun, and the command that shows what it writes to ``folder``."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kind = LOGGER_TYPE_TO_CLASS[name]
    if name == "tensorboard":
        place = folder / name
        return kind(run, place), f"tensorboard --logdir {shlex.quote(str(place))}"
    if name == "mlflow":
        address = _mlflow_address(folder)
        look = address and f"mlflow ui --backend-store-uri {shlex.quote(address)}"
        return kind(experiment_name=project, run_name=run), look
    if name == "trackio":
        own = _trackio_folder(folder / name)
        look = own and f"TRACKIO_DIR={shlex.quote(own)} trackio show --project {project}"
        return kind(project, name=run), look
    return kind(project, name=run, **_wandb_settings(folder)), None


def _wandb_settings(folder: Path) -> dict[str, Any]:
    """Of what it would send by itself, not what is printed: sample answers quote rows."""
    settings: dict[str, Any] = {}
    if not os.environ.get("WANDB_DIR"):
        settings["dir"] = str(folder)
    if not os.environ.get("WANDB_CONSOLE"):
        settings["settings"] = {"console": "off"}
    return settings


def _mlflow_address(folder: Path) -> str | None:
    """The address set to be a file of ``folder``, where the user has set none."""
    mlflow = importlib.import_module("mlflow")
    if mlflow.is_tracking_uri_set():
        return None
    address = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(address)
    return address


def _trackio_folder(folder: Path) -> str | None:
    """Its folder set to be this, where the user has set none; it looks only while it is imported."""
    if "trackio" in sys.modules or os.environ.get("TRACKIO_DIR"):
        return None
    os.environ["TRACKIO_DIR"] = str(folder)
    return str(folder)


def _finish(name: str, tracker: Any) -> None:
    if name == "trackio":
        # Accelerate ends the run but leaves it the current one: at exit it would end again, on stdout.
        importlib.import_module("trackio").finish()
    else:
        tracker.finish()
