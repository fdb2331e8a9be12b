"""Every way in which memory runs out, and errors that are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from adapter_hub.errors import OutOfMemoryError
from adapter_hub.loading.memory import memory_shortage


def raise_cuda() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(
    "ask", [lambda: torch.empty(2**60), lambda: bytearray(2**60), raise_cuda], ids=str
)
def test_a_shortage_is_said(ask: Callable[[], Any]) -> None:
    with (
        pytest.raises(OutOfMemoryError, match="not enough memory for the picture") as caught,
        memory_shortage("the picture", "try a smaller one"),
    ):
        ask()
    assert caught.value.hint == "try a smaller one"


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_shortage("it", "less"):
        raise RuntimeError("shapes do not match")
