"""The state of a run in one safetensors file, replaced atomically.

Everything that the next step depends on is in it: adapter weights, optimizer moments and the step
number. The order of the data and every random draw follow from the seed and the step.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from adapter_hub.errors import TrainingError
from adapter_hub.training.processes import shard_like, whole

_EXTRA = "method."
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """Where a run stands. ``history`` has one entry a step, ``evaluations`` one a held-out pass."""

    step: int = 0
    tokens: int = 0
    loss_tokens: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    evaluations: list[dict[str, float]] = field(default_factory=list)
    base_eval_loss: float | None = None


def collect(
    model: Any, optimizer: torch.optim.Optimizer, extra: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Adapter weights as ``weight.NAME``, and their moments; ``extra`` as ``method.NAME``.

    Every process must call this.
    """
    tensors = {f"{_EXTRA}{name}": tensor.contiguous() for name, tensor in extra.items()}
    for name, parameter in _trainable(model):
        tensors[f"weight.{name}"] = whole(parameter.detach()).contiguous()
        state = optimizer.state.get(parameter, {})
        for moment in _MOMENTS:
            if moment in state:
                tensors[f"{moment}.{name}"] = whole(state[moment]).contiguous()
    return tensors


def save(path: Path, identity: str, progress: Progress, tensors: dict[str, torch.Tensor]) -> None:
    """Write the state. ``identity`` names the run it belongs to. Raises OSError, SafetensorError."""
    metadata = {"identity": identity, "progress": json.dumps(vars(progress))}
    temporary = path.with_suffix(".tmp")
    try:
        save_file(tensors, temporary, metadata=metadata)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # it may be what fills the disk
        raise


def peek(path: Path) -> tuple[str, Progress] | None:
    """The identity and progress in a checkpoint; None when there is none that can be read."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return metadata["identity"], Progress(**json.loads(metadata["progress"]))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None


def restore(
    path: Path, model: Any, optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, torch.Tensor]]:
    """Bring model and optimizer back; what else was collected is returned. Raises TrainingError."""
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            saved = set(file.keys())
            extra = {
                name.removeprefix(_EXTRA): file.get_tensor(name)
                for name in saved
                if name.startswith(_EXTRA)
            }
            for name, parameter in _trainable(model):
                with torch.no_grad():
                    parameter.copy_(shard_like(file.get_tensor(f"weight.{name}"), parameter))
                if f"{_MOMENTS[0]}.{name}" in saved:  # else it has had no gradient yet
                    step, *moments = (file.get_tensor(f"{each}.{name}") for each in _MOMENTS)
                    average, square = (shard_like(each, parameter) for each in moments)
                    optimizer.state[parameter] = {
                        "step": step, "exp_avg": average, "exp_avg_sq": square
                    }  # fmt: skip
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise TrainingError(
            f"the checkpoint {path} cannot be used: {error}.", hint="train again without --resume"
        ) from error
    return progress, extra


def _trainable(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    return [
        (name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad
    ]
