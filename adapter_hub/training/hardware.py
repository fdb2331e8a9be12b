"""What of a machine decides how sums are rounded. Nothing in it names a person or a machine."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelerate import Accelerator


def hardware(accelerator: Accelerator) -> dict[str, Any]:
    """The record's ``hardware``: device, processor and its instructions, threads, processes.

    torch and its libraries choose their kernels by the processor, and share sums out over threads.
    """
    import torch

    device = accelerator.device.type
    return {
        "device": device,
        "device_name": torch.cuda.get_device_name() if device == "cuda" else None,
        "processor": processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "processes": accelerator.num_processes,
    }


def processor() -> str:
    """The processor's model, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except (OSError, UnicodeDecodeError):
        pass
    return platform.processor()
