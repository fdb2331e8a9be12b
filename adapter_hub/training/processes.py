"""One run in several processes, as ``torchrun`` and ``accelerate launch`` start them.

Every process goes through the same story with its share of each step's batches. The first alone
talks, locks, and writes what stays; they share the registry's folder.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from adapter_hub.errors import TrainingError

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


def process_count() -> int:
    """How many processes the launcher has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_index() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def make_accelerator() -> Accelerator:
    """Join the processes that the launcher has started. Raises TrainingError when that fails."""
    import torch
    from accelerate import Accelerator

    # Without the word, accelerate takes processes on a machine without a GPU for unrelated ones.
    cpu = process_count() > 1 and not torch.accelerator.is_available()
    accelerator = Accelerator(cpu=cpu)
    if accelerator.num_processes != process_count():
        raise TrainingError(
            f"{process_count()} processes were launched, and accelerate sees {accelerator.num_processes}.",
            hint="launch them with `accelerate launch` or `torchrun`",
        )
    return accelerator


def summed(accelerator: Accelerator, *values: float) -> list[float]:
    """Each value summed over the processes."""
    if accelerator.num_processes == 1:
        return list(values)
    import torch

    mine = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    return [float(each) for each in accelerator.reduce(mine, "sum").tolist()]


def from_first(accelerator: Accelerator, value: T | None) -> T:
    """The first process's value, in every process. The others pass None."""
    from accelerate.utils import broadcast_object_list

    values = [value]
    if accelerator.num_processes > 1:
        broadcast_object_list(values, from_process=0)
    assert values[0] is not None
    return values[0]
