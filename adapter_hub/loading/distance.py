"""How far two weights are from each other: Frobenius norms, distance, cosine, in float64.

LoRA's update of a weight is ΔW = s·B·A with B [outputs, r], A [r, inputs]. It is never built, nor
need two adapters have one rank. With thin QR of both adapters' factors side by side,

    [B₁ B₂] = Q·[R₁ R₂],   [A₁ᵀ A₂ᵀ] = P·[S₁ S₂],   Q and P with orthonormal columns,

ΔWᵢ = Q·(sᵢ·Rᵢ·Sᵢᵀ)·Pᵀ, and as ‖Q·M·Pᵀ‖ = ‖M‖ and ⟨Q·M·Pᵀ, Q·N·Pᵀ⟩ = ⟨M, N⟩, all norms, distances
and inner products are those of the small cores Cᵢ = sᵢ·Rᵢ·Sᵢᵀ, at most (r₁+r₂)² large. That equals
the identities ‖BA‖² = tr(BᵀB·AAᵀ) and ⟨B₁A₁, B₂A₂⟩ = tr(B₁ᵀB₂·A₂A₁ᵀ). But ‖Δ₁−Δ₂‖² from those
is a difference of large numbers where two adapters are close, wrong from 1e-8 of the norm on;
the cores are subtracted before they are squared. (Golub and Van Loan, Matrix Computations,
chapter 5: Householder QR, and norms that orthogonal factors leave as they are.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapter_hub.loading.weights import Array


@dataclass(frozen=True)
class Sums:
    """‖a‖², ‖b‖², ‖a−b‖² and ⟨a, b⟩. They add up over modules and over pieces of a tensor."""

    a: float = 0.0
    b: float = 0.0
    distance: float = 0.0
    inner: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.a + other.a,
            self.b + other.b,
            self.distance + other.distance,
            self.inner + other.inner,
        )

    def as_json(self) -> dict[str, float | None]:
        """Norms of both, their distance, and where it has a meaning that relative to ‖a‖ and the
        cosine: None for a weight of zeros, and everything that is not finite."""
        norm_a, norm_b = math.sqrt(self.a), math.sqrt(self.b)
        distance = math.sqrt(self.distance)
        cosine = self.inner / norm_a / norm_b if norm_a and norm_b else math.nan
        return {
            "norm_a": _finite(norm_a),
            "norm_b": _finite(norm_b),
            "distance": _finite(distance),
            "relative": _finite(distance / norm_a if norm_a else math.nan),
            "cosine": _finite(max(-1.0, min(1.0, cosine)) if cosine == cosine else cosine),
        }


@dataclass(frozen=True)
class Update:
    """A LoRA update: ``scale`` · ``b`` [outputs, rank] · ``a`` [rank, inputs]."""

    a: Array
    b: Array
    scale: float


def update_sums(one: Update | None, other: Update | None) -> Sums:
    """The sums of two updates of one weight, by the formulas above; None is an update of zeros.

    Both ends' sizes must agree, the ranks need not.
    """
    import numpy as np

    if one is None or other is None:
        return _one_sided(one, other)
    if one.scale == other.scale and _equal(one.a, other.a) and _equal(one.b, other.b):
        norm = _one_sided(one, None).a
        return Sums(norm, norm, 0.0 * norm, norm)  # not a number stays none
    with np.errstate(all="ignore"):
        left = _triangles(one.b, other.b)
        right = _triangles(one.a.T, other.a.T)
        cores = [
            each.scale * (r @ s.T) for each, r, s in zip((one, other), left, right, strict=True)
        ]
        return tensor_sums([cores[0].ravel()], [cores[1].ravel()])


def tensor_sums(one: Iterable[Array], other: Iterable[Array]) -> Sums:
    """The sums of two tensors of one shape, given as the same flat pieces."""
    import numpy as np

    total = Sums()
    with np.errstate(all="ignore"):
        for a, b in zip(one, other, strict=True):
            apart = a - b
            total += Sums(_dot(a, a), _dot(b, b), _dot(apart, apart), _dot(a, b))
    return total


def _one_sided(one: Update | None, other: Update | None) -> Sums:
    import numpy as np

    there = one or other
    if there is None:
        return Sums()
    with np.errstate(all="ignore"):
        (left,), (right,) = _triangles(there.b), _triangles(there.a.T)
        core = (there.scale * (left @ right.T)).ravel()
        norm = _dot(core, core)
    zero = 0.0 * norm
    return Sums(norm, zero, norm, zero) if one else Sums(zero, norm, norm, zero)


def _triangles(*factors: Array) -> Iterator[Array]:
    """R of a thin QR of the factors side by side, cut where they were joined."""
    import numpy as np

    joined = np.concatenate(factors, axis=1)
    # LAPACK is not made for what is not finite, nor is there a norm of it.
    finite = bool(np.isfinite(joined).all())
    upper: Any = np.linalg.qr(joined, mode="r") if finite else np.nan * joined[:1]
    start = 0
    for each in factors:
        yield upper[:, start : start + each.shape[1]]
        start += each.shape[1]


def _equal(one: Array, other: Array) -> bool:
    import numpy as np

    return bool(np.array_equal(one, other))


def _dot(one: Array, other: Array) -> float:
    import numpy as np

    return float(np.dot(one, other))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
