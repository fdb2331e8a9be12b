"""Where the model computes on this machine, and the number type of its frozen base."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from adapter_hub.model import DType


def choose_dtype(setting: DType) -> tuple[torch.dtype, str]:
    """The type, and why. ``auto`` takes bfloat16 where the processor multiplies in it.

    Without such instructions a CPU is slower in bfloat16 than in float32. What the processor
    can do is asked and not timed, so that the same run chooses the same type again.
    """
    import torch

    if setting != "auto":
        return getattr(torch, setting), "as asked"
    if torch.cuda.is_available():
        if torch.cuda.is_bf16_supported():
            return torch.bfloat16, "this GPU has it"
        return torch.float16, "this GPU has no bfloat16"
    if _cpu_has_bfloat16():
        return torch.bfloat16, "this CPU has instructions for it"
    return torch.float32, "this CPU has no bfloat16 instructions"


def choose_device() -> str:
    """``cuda``, else ``mps``, else ``cpu``: the fastest that this machine has."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _cpu_has_bfloat16() -> bool:
    import torch

    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is None:  # torch before 2.10
        return bool(torch.cpu._is_avx512_bf16_supported())
    return any(present is True and "bf16" in name for name, present in capabilities().items())
