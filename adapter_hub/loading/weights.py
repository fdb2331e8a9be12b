"""The tensors of a safetensors file as numpy arrays, read one at a time and without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import BaseModelError
from adapter_hub.loading.heads import Shape, Shapes, tensor_shapes
from adapter_hub.loading.identity import safetensors_header

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

PIECE = 1 << 20
"""How many elements ``pieces`` reads at once."""

# Little-endian, as the format has them. numpy knows no bfloat16: the upper half of a float32.
_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U8": "<u1",
    "BOOL": "?",
}


class Weights:
    """The file at ``path``: ``shapes`` by name, and the tensors when they are asked for.

    Raises BaseModelError when it is no safetensors file or its header does not fit it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        header, start = safetensors_header(path)
        self.shapes: Shapes = tensor_shapes(header, str(path))
        size = path.stat().st_size - start
        self._places = {
            name: self._place(name, entry, start, size) for name, entry in header.items()
        }

    def read(self, name: str) -> Array:
        """A whole tensor in float64. Raises BaseModelError."""
        import numpy as np

        pieces = list(self.pieces(name, math.prod(self.shapes[name])))
        return (pieces[0] if pieces else np.zeros(0)).reshape(self.shapes[name])

    def pieces(self, name: str, length: int = PIECE) -> Iterator[Array]:
        """A tensor's elements in float64 and in order, at most ``length`` of them at a time.

        Raises BaseModelError.
        """
        import numpy as np

        kind, _ = self._places[name]
        dtype = np.dtype(_TYPES[kind])
        for content in self._content(name, length):
            yield _as_float64(np.frombuffer(content, dtype), kind)

    def has_same_bits(self, other: Weights) -> bool:
        """Whether both files have the same tensors, in whatever order. Raises BaseModelError.

        Bits tell apart what numbers do not: ``0.0`` and ``-0.0``, and one NaN from another.
        """
        return self.shapes == other.shapes and all(
            self._places[name][0] == other._places[name][0]
            and all(a == b for a, b in zip(self._content(name), other._content(name), strict=True))
            for name in self.shapes
        )

    def _content(self, name: str, length: int = PIECE) -> Iterator[bytes]:
        """The bytes of a tensor, at most those of ``length`` elements at a time."""
        kind, place = self._places[name]
        width = _width(kind)
        count = math.prod(self.shapes[name])
        try:
            with self.path.open("rb") as file:
                file.seek(place)
                for start in range(0, count, max(1, length)):
                    wanted = min(length, count - start) * width
                    content = file.read(wanted)
                    if len(content) < wanted:
                        raise self._damaged(f"it ends before {name} does")
                    yield content
        except OSError as error:
            reason = error.strerror or error
            raise BaseModelError(f"{self.path} cannot be read: {reason}.") from None

    def _place(self, name: str, entry: Any, start: int, size: int) -> tuple[str, int]:
        """The type of a tensor and the offset of its bytes, which are all there."""
        kind, offsets = entry.get("dtype"), entry.get("data_offsets")
        if not isinstance(kind, str) or kind not in _TYPES:
            raise BaseModelError(f"{self.path}: {name} is of type {kind!r}, which is not compared.")
        if not (
            isinstance(offsets, list)
            and len(offsets) == 2
            and all(type(each) is int for each in offsets)
        ):
            raise self._damaged(f"it does not say where {name} is")
        first, last = offsets
        if not 0 <= first <= last <= size:
            raise self._damaged(f"{name} is outside it")
        if last - first != _bytes_of(self.shapes[name], kind):
            raise self._damaged(f"{name} has another size than its shape")
        return kind, start + first

    def _damaged(self, why: str) -> BaseModelError:
        return BaseModelError(f"{self.path} is damaged: {why}.")


def _bytes_of(shape: Shape, kind: str) -> int:
    """-1 for a shape that none can have."""
    return -1 if any(each < 0 for each in shape) else math.prod(shape) * _width(kind)


def _width(kind: str) -> int:
    return 1 if kind == "BOOL" else int(_TYPES[kind][-1])


def _as_float64(raw: Any, kind: str) -> Array:
    import numpy as np

    if kind == "BF16":
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        return np.asarray(raw, np.float64)
