"""What torchrun starts in every process: NAME trained on rows, in the working directory.

    launched.py NAME [stop | resume] [KEY=VALUE of the method …]

With ACCELERATE_USE_FSDP the model is sharded. Accelerate does so on GPUs alone, though torch's
own FSDP works over gloo on CPUs too; so it is told of another kind of device.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import workshop
from accelerate import PartialState
from accelerate.utils import DistributedType

from adapter_hub.errors import AdapterHubError
from adapter_hub.options import parse_assignment
from adapter_hub.training.processes import leave


def stop_at_two(progress: Any, _steps: int) -> None:
    if progress.step == 2:
        os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    name, *more = sys.argv[1:]
    if "ACCELERATE_USE_FSDP" in os.environ:
        PartialState(cpu=True).distributed_type = DistributedType.MULTI_XPU
    how: dict[str, Any] = {
        "steps": 4,
        "batch_size": 2,
        "learning_rate": 0.01,
        "resume": "resume" in more,
    }
    if "stop" in more:
        how["on_step"] = stop_at_two
    how["options"] = dict(parse_assignment(each) for each in more if "=" in each)
    try:
        workshop.run_training(Path.cwd(), name, **how)
    except AdapterHubError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        leave(1)
    leave(0)
