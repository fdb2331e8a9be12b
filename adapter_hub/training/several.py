"""Several runs in one process, one after the other: what fails ends none of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from adapter_hub.errors import AdapterHubError, Interrupted
from adapter_hub.isolation import one_line
from adapter_hub.plugins import Catalog
from adapter_hub.registry.store import Registry
from adapter_hub.training.plan import Changes, Trial
from adapter_hub.training.run_options import RunOptions
from adapter_hub.training.start import Start
from adapter_hub.training.workbench import Workbench

if TYPE_CHECKING:
    from adapter_hub.training.train import OnStep, TrainResult

Outcome = Literal["trained", "failed", "interrupted", "not tried"]


@dataclass
class Training:
    """One run to make, ``label`` for people, and what came of it."""

    name: str
    label: str = ""
    changes: Changes = field(default_factory=Changes)
    trial: Trial | None = None
    outcome: Outcome = "not tried"
    result: TrainResult | None = None
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "outcome": self.outcome,
            "result": asdict(self.result) if self.result else None,
            "error": self.error or None,
        }


def train_several(
    trainings: Sequence[Training],
    *,
    registry: Registry,
    catalog: Catalog,
    say: Callable[[str], None],
    progress: Callable[[], AbstractContextManager[OnStep]],
    again: str,
    start: Start | None = None,
    restart: bool = False,
    options: RunOptions | None = None,
    bench: Workbench | None = None,
) -> None:
    """Train each, and go on after a failure; what came of it is written into ``trainings``.

    The base and the encoded rows stay in memory from one run to the next that has the same; put
    such runs beside each other. A run that was interrupted and is still the same is gone on with,
    unless ``restart``. ``progress`` makes what is called after each step. Raises Interrupted when
    the user stops, with ``again`` as the command to go on, and nothing else.
    """
    from adapter_hub.training.train import train

    bench = bench or Workbench()
    for number, each in enumerate(trainings, 1):
        label = f", {each.label}" if each.label else ""
        say(f"{number} of {len(trainings)}: {each.name}{label}")
        try:
            with progress() as on_step:
                each.result = train(
                    each.name,
                    each.changes,
                    registry=registry,
                    catalog=catalog,
                    start=start,
                    trial=each.trial,
                    resume=False if restart else None,
                    restart=restart,
                    run_options=options,
                    bench=bench,
                    say=getattr(on_step, "say", say),  # around a line that is still open
                    on_step=on_step,
                )
            each.outcome = "trained"
        except (Interrupted, KeyboardInterrupt) as error:
            each.outcome, each.error = "interrupted", "interrupted"
            if isinstance(error, Interrupted):
                each.error = error.message
            done = sum(other.outcome == "trained" for other in trainings)
            raise Interrupted(
                f"{each.name} was interrupted; {done} of {len(trainings)} were trained.",
                hint=f"to go on: {again}",
            ) from error
        except AdapterHubError as error:
            each.outcome, each.error = "failed", error.message
            say(
                f"{each.name} failed: {error.message}" + (f"\n  {error.hint}" if error.hint else "")
            )
        except Exception as error:  # of a plugin, or a library: the others are to be trained
            each.outcome, each.error = "failed", one_line(error)
            say(f"{each.name} failed: {each.error}")


def by_base(trainings: Sequence[Training], registry: Registry) -> list[Training]:
    """Those of one base beside each other, in the order in which the bases come first."""
    first: dict[str, int] = {}

    def place(each: Training) -> int:
        base = each.changes.base
        if base is None and registry.has_adapter(each.name):
            base = registry.adapter(each.name).recipe.base
        return first.setdefault(str(base), len(first))

    return sorted(trainings, key=place)
