"""The number type for the frozen base on this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from adapter_hub.model import DType

BFLOAT16_GAIN = 1.2
"""bfloat16 must be this much faster than float32 to be worth its lost digits on a CPU."""


def choose_dtype(setting: DType) -> tuple[torch.dtype, str]:
    """The type, and why: ``auto`` measures. CPUs without bfloat16 instructions are slower in it."""
    import torch

    if setting != "auto":
        return getattr(torch, setting), "as asked"
    if torch.cuda.is_available():
        supported = torch.cuda.is_bf16_supported()
        return (
            (torch.bfloat16, "the GPU has it")
            if supported
            else (torch.float16, "the GPU has no bfloat16")
        )
    gain = _seconds(torch.float32) / _seconds(torch.bfloat16)
    if gain >= BFLOAT16_GAIN:
        return torch.bfloat16, f"{gain:.1f} times float32 on this CPU"
    return torch.float32, f"bfloat16 is only {gain:.1f} times as fast on this CPU"


def _seconds(dtype: torch.dtype, size: int = 768, runs: int = 5) -> float:
    """The best time of a square matrix product: a few milliseconds each."""
    import torch

    left, right = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        torch.mm(left, right)
        times.append(time.perf_counter() - start)
    return min(times)
