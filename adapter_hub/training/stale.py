"""``train --stale``: every adapter that ``status`` calls stale or never trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from adapter_hub.registry.store import Registry
from adapter_hub.training.several import Training, by_base
from adapter_hub.training.status import TO_TRAIN, Status, all_status


@dataclass(kw_only=True)
class StaleTraining(Training):
    """A run, with what ``status`` says of its adapter."""

    status: Status

    def as_json(self) -> dict[str, Any]:
        told = super().as_json()
        why = {
            "state": self.status.state,
            "why": self.status.why,
            "changes": [asdict(each) for each in self.status.changes],
        }
        return {"name": told.pop("name"), **why, **told}


def to_train(registry: Registry) -> list[Training]:
    """What is stale or was never trained, by base and name. Raises RegistryError."""
    found = [each for each in all_status(registry) if each.state in TO_TRAIN]
    trainings = [
        StaleTraining(
            name=each.name, label=": ".join(filter(None, (each.state, each.why))), status=each
        )
        for each in found
    ]
    return by_base(trainings, registry)
