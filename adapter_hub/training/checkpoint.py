"""The state of a run in one safetensors file, replaced atomically.

Everything that the next step depends on is in it: adapter weights, optimizer moments, the step
number, and the weights that did best so far. The order of the data and every random draw follow
from the seed and the step.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from adapter_hub.errors import TrainingError
from adapter_hub.training.processes import shard_like, whole
from adapter_hub.training.progress import History, Progress

_WEIGHT, _EXTRA, _BEST, _HISTORY = "weight.", "method.", "best.", "history"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def collect(
    model: Any, optimizer: torch.optim.Optimizer | None, extra: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Adapter weights as ``weight.NAME``, and their moments; ``extra`` as ``method.NAME``.

    Every process must call this.
    """
    tensors = {f"{_EXTRA}{name}": tensor.contiguous() for name, tensor in extra.items()}
    for name, parameter in _trainable(model):
        tensors[f"{_WEIGHT}{name}"] = whole(parameter.detach()).contiguous()
        state = {} if optimizer is None else optimizer.state.get(parameter, {})
        for moment in _MOMENTS:
            if moment in state:
                tensors[f"{moment}.{name}"] = whole(state[moment]).contiguous()
    return tensors


def bring_back(model: Any, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Set the weights that were collected; what was ``extra`` then is returned.

    Every process must call this. Raises KeyError for a weight that is missing, RuntimeError for
    one of another shape.
    """
    with torch.no_grad():
        for name, parameter in _trainable(model):
            parameter.copy_(shard_like(state[f"{_WEIGHT}{name}"], parameter))
    return _under(_EXTRA, state)


def weights_in(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of what was collected, by their own names."""
    return _under(_WEIGHT, state)


def save(
    path: Path,
    identity: str,
    progress: Progress,
    tensors: Mapping[str, torch.Tensor],
    best: Mapping[str, torch.Tensor],
) -> None:
    """Write the state. ``identity`` names the run it belongs to. Raises OSError, SafetensorError."""
    told = {key: value for key, value in vars(progress).items() if key != _HISTORY}
    metadata = {"identity": identity, "progress": json.dumps(told)}
    content = {
        **tensors,
        **{f"{_BEST}{name}": tensor for name, tensor in best.items()},
        _HISTORY: _as_tensor(progress.history),
    }
    temporary = path.with_suffix(".tmp")
    try:
        save_file(content, temporary, metadata=metadata)
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
            return (file.metadata() or {})["identity"], _progress(file)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None


def restore(
    path: Path, model: Any, optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Bring model and optimizer back; ``extra`` and the best are returned. Raises TrainingError."""
    try:
        with safe_open(path, framework="pt") as file:
            progress = _progress(file)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        extra = bring_back(model, state)
        for name, parameter in _trainable(model):
            if f"{_MOMENTS[0]}.{name}" in state:  # else it has had no gradient yet
                step, *moments = (state[f"{each}.{name}"] for each in _MOMENTS)
                average, square = (shard_like(each, parameter) for each in moments)
                optimizer.state[parameter] = {
                    "step": step, "exp_avg": average, "exp_avg_sq": square
                }  # fmt: skip
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise TrainingError(
            f"the checkpoint {path} cannot be used: {error}.", hint="train again without --resume"
        ) from error
    return progress, extra, _under(_BEST, state)


def _progress(file: Any) -> Progress:
    columns = file.get_tensor(_HISTORY)
    history = History(*(array("d", column.tolist()) for column in columns))
    return Progress(**json.loads(file.metadata()["progress"]), history=history)


def _as_tensor(history: History) -> torch.Tensor:
    """float64 (columns, steps)."""
    return torch.from_numpy(np.array([getattr(history, each.name) for each in fields(History)]))


def _under(prefix: str, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }


def _trainable(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    return [
        (name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad
    ]
