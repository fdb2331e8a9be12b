"""One run in several processes, as ``torchrun`` and ``accelerate launch`` start them.

Every process goes through the same story with its share of each step's batches. The first alone
talks, locks, and writes what stays; they share the registry's folder.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from adapter_hub.errors import TrainingError

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

T = TypeVar("T")


def process_count() -> int:
    """How many processes the launcher has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_index() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def leave(code: int) -> NoReturn:
    """End this launched process with everything written, but without Python's own finalisation.

    A launched process was seen to abort in that (SIGABRT, "terminate called without an active
    exception"), after all its work was done, and the launcher calls such a run failed. It is likely
    a thread of gloo's that lets go of a tensor when the interpreter ends whoever asks for it.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(code)


def make_accelerator() -> Accelerator:
    """Join the processes that the launcher has started.

    Raises TrainingError when that fails, or when they are to share the model in a way that the
    loop is not written for.
    """
    import torch
    from accelerate import Accelerator, DistributedType

    # Without the word, accelerate takes processes on a machine without a GPU for unrelated ones.
    cpu = process_count() > 1 and not torch.accelerator.is_available()
    accelerator = Accelerator(cpu=cpu)
    # Threads that still wait for the others would abort a process at its end.
    atexit.register(accelerator.state.destroy_process_group)
    if accelerator.num_processes != process_count():
        raise TrainingError(
            f"{process_count()} processes were launched, and accelerate sees {accelerator.num_processes}.",
            hint="launch them with `accelerate launch` or `torchrun`",
        )
    kind = accelerator.distributed_type
    if kind == DistributedType.FSDP and not accelerator.is_fsdp2:
        raise TrainingError(
            "the first version of FSDP flattens an adapter's weights into those of its base.",
            hint="accelerate launch --use_fsdp --fsdp_version 2 …",
        )
    if kind in (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise TrainingError(
            f"{kind.value} steps the optimizer by itself, which the training loop does not allow for.",
            hint="accelerate launch --use_fsdp --fsdp_version 2 …",
        )
    return accelerator


def prepared(accelerator: Accelerator, model: Any, optimizer: Any) -> tuple[Any, Any]:
    """Model and optimizer shared out over the processes. Raises TrainingError."""
    try:
        both: tuple[Any, Any] = accelerator.prepare(model, optimizer)
    except Exception as error:
        # Weights that two modules share, or that PEFT keeps in ways of its own, can be in the way.
        raise TrainingError(
            f"accelerate cannot share this model out as {accelerator.distributed_type.value}: {error}",
            hint="launch without --use_fsdp, or with options that train other modules",
        ) from error
    return both


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


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor put together from the shards that FSDP made of it; every process must ask."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def shard_like(tensor: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """``tensor`` where ``parameter`` lies, in shards if that is; every process must ask."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    tensor = tensor.to(parameter.device)
    if not isinstance(parameter, DTensor):
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)


def reshard(accelerator: Accelerator, model: Any) -> None:
    """Put every weight of a sharded model back into its shards.

    A forward pass leaves those of the last layers together, as other parameters: what is set on
    them, such as ``requires_grad``, is lost with them.
    """
    if not accelerator.is_fsdp2:
        return
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def gather_adapter(accelerator: Accelerator, model: Any) -> None:
    """Give a sharded model the whole of every weight it trained, so that PEFT can save it.

    Every process must call this; the model cannot be trained on afterwards.
    """
    if not accelerator.is_fsdp2:
        return
    import torch

    reshard(accelerator, model)  # else the hooks of its state would bring the shards back
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.requires_grad:
                setattr(module, name, torch.nn.Parameter(whole(parameter.detach())))
