"""``train --stale``: every adapter that ``status`` calls stale or never trained, one by one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from adapter_hub.errors import AdapterHubError, Interrupted
from adapter_hub.isolation import one_line
from adapter_hub.plugins import Catalog
from adapter_hub.registry.store import Registry
from adapter_hub.training.status import Status, all_status

if TYPE_CHECKING:
    from adapter_hub.training.train import OnStep, TrainResult

Outcome = Literal["trained", "failed", "interrupted", "not tried"]


@dataclass
class Training:
    """One adapter to train: why, and what came of it."""

    status: Status
    outcome: Outcome = "not tried"
    result: TrainResult | None = None
    error: str = ""

    @property
    def reason(self) -> str:
        """``stale: training.steps 6 → 7``."""
        return ": ".join(filter(None, (self.status.state, self.status.why)))

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.status.name,
            "state": self.status.state,
            "why": self.status.why,
            "changes": [asdict(each) for each in self.status.changes],
            "outcome": self.outcome,
            "result": asdict(self.result) if self.result else None,
            "error": self.error or None,
        }


def to_train(registry: Registry) -> list[Training]:
    """What ``train_stale`` would train, by name. Raises RegistryError."""
    found = all_status(registry)
    return [Training(each) for each in found if each.state in ("stale", "never trained")]


def train_stale(
    trainings: list[Training],
    *,
    registry: Registry,
    catalog: Catalog,
    say: Callable[[str], None],
    progress: Callable[[], AbstractContextManager[OnStep]],
) -> None:
    """Train each, and go on after a failure; what came of it is written into ``trainings``.

    A run that was interrupted and is still the same is gone on with. ``progress`` makes what is
    called after each step. Raises Interrupted when the user stops, and nothing else.
    """
    from adapter_hub.training.train import train

    for number, each in enumerate(trainings, 1):
        name = each.status.name
        say(f"{number} of {len(trainings)}: {name}, {each.reason}")
        try:
            with progress() as on_step:
                each.result = train(
                    name,
                    registry=registry,
                    catalog=catalog,
                    resume=None,
                    say=say,
                    on_step=on_step,
                )
            each.outcome = "trained"
        except (Interrupted, KeyboardInterrupt) as error:
            each.outcome, each.error = "interrupted", "interrupted"
            if isinstance(error, Interrupted):
                each.error = error.message
            raise Interrupted(
                f"{name} was interrupted; {_count(trainings, 'trained')} of {len(trainings)} were trained.",
                hint="to go on: adapter-hub train --stale",
            ) from error
        except AdapterHubError as error:
            each.outcome, each.error = "failed", error.message
            say(f"{name} failed: {error.message}" + (f"\n  {error.hint}" if error.hint else ""))
        except Exception as error:  # of a plugin, or a library: the others are to be trained
            each.outcome, each.error = "failed", one_line(error)
            say(f"{name} failed: {each.error}")


def _count(trainings: list[Training], outcome: Outcome) -> int:
    return sum(each.outcome == outcome for each in trainings)
