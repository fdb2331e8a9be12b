"""The number type for the frozen base."""

from __future__ import annotations

import pytest
import torch

from adapter_hub.loading import dtype
from adapter_hub.loading.dtype import choose_device, choose_dtype


@pytest.mark.parametrize("setting", ["float32", "bfloat16", "float16"])
def test_a_type_that_was_asked_for(setting: str) -> None:
    assert choose_dtype(setting) == (getattr(torch, setting), "as asked")  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this is about the CPU")
@pytest.mark.parametrize(
    ("capable", "chosen", "why"),
    [
        (True, torch.bfloat16, "this CPU has instructions for it"),
        (False, torch.float32, "this CPU has no bfloat16 instructions"),
    ],
)
def test_the_processor_decides(
    monkeypatch: pytest.MonkeyPatch, capable: bool, chosen: torch.dtype, why: str
) -> None:
    monkeypatch.setattr(dtype, "_cpu_has_bfloat16", lambda: capable)
    assert choose_dtype("auto") == (chosen, why)


def test_this_machine_always_chooses_the_same() -> None:
    assert choose_dtype("auto") == choose_dtype("auto")


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_fastest_device_is_chosen(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device() == chosen
