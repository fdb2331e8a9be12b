"""Memory that ran out, as an error that says what to do: torch has one for each kind of device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from adapter_hub.errors import OutOfMemoryError


@contextlib.contextmanager
def memory_shortage(doing: str, hint: str) -> Iterator[None]:
    """Raises OutOfMemoryError, naming what was ``doing``, when memory runs out in the block."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _ran_out(error):
            raise
        raise OutOfMemoryError(f"there is not enough memory for {doing}.", hint=hint) from error


def _ran_out(error: BaseException) -> bool:
    import torch

    # CPU allocators raise a plain RuntimeError, and Windows has another text for it.
    texts = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        text in str(error) for text in texts
    )
