"""Norms, distances and cosines from factors are those of the products that are never built."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_hub.loading.distance import Sums, Update, tensor_sums, update_sums

SIZES = st.integers(1, 12)
SCALES = st.sampled_from([0.0, 1e-3, 0.5, 1.0, 2.0, 64.0, -1.5])
RANKS = st.integers(1, 16)  # also beyond the sizes


def random_update(seed: int, outputs: int, inputs: int, rank: int, scale: float) -> Update:
    generator = np.random.default_rng(seed)
    return Update(
        generator.normal(size=(rank, inputs)), generator.normal(size=(outputs, rank)), scale
    )


def dense(update: Update) -> Any:
    return update.scale * update.b @ update.a


def assert_close(found: Sums, a: Any, b: Any) -> None:
    size = max(np.linalg.norm(a), np.linalg.norm(b), 1e-300)
    for value, expected in (
        (math.sqrt(found.a), np.linalg.norm(a)),
        (math.sqrt(found.b), np.linalg.norm(b)),
        (math.sqrt(found.distance), np.linalg.norm(a - b)),
    ):
        assert value == pytest.approx(expected, rel=1e-10, abs=1e-12 * size)
    assert found.inner == pytest.approx(np.vdot(a, b), rel=1e-10, abs=1e-12 * size**2)


@given(SIZES, SIZES, RANKS, RANKS, SCALES, SCALES, st.integers(0, 2**32))
def test_factors_tell_what_the_product_tells(
    outputs: int, inputs: int, r1: int, r2: int, s1: float, s2: float, seed: int
) -> None:
    one = random_update(seed, outputs, inputs, r1, s1)
    other = random_update(seed + 1, outputs, inputs, r2, s2)
    assert_close(update_sums(one, other), dense(one), dense(other))


@given(SIZES, SIZES, RANKS, RANKS, SCALES, st.integers(0, 2**32))
def test_they_equal_the_traces(
    outputs: int, inputs: int, r1: int, r2: int, scale: float, seed: int
) -> None:
    one = random_update(seed, outputs, inputs, r1, 1.0)
    other = random_update(seed + 1, outputs, inputs, r2, scale)
    found = update_sums(one, other)
    norm = np.trace(one.b.T @ one.b @ one.a @ one.a.T)
    inner = scale * np.trace(one.b.T @ other.b @ other.a @ one.a.T)
    assert found.a == pytest.approx(norm)
    assert found.inner == pytest.approx(inner, rel=1e-9, abs=1e-9 * norm)


@given(SIZES, SIZES, RANKS, SCALES, st.integers(0, 2**32))
def test_one_update_factored_in_two_ways_is_one(
    outputs: int, inputs: int, rank: int, scale: float, seed: int
) -> None:
    one = random_update(seed, outputs, inputs, rank, scale)
    zeros = np.zeros((outputs, 3))
    wider = Update(
        np.concatenate([one.a / 2, np.ones((3, inputs))]),
        np.concatenate([one.b, zeros], axis=1),
        2 * scale,
    )
    found = update_sums(one, wider)
    assert math.sqrt(found.distance) <= 1e-12 * math.sqrt(found.a)


def test_a_small_change_of_a_large_update_is_seen() -> None:
    """Traces alone would find noise of 1e-8 of the norm, a thousand times the change."""
    one = random_update(0, 200, 100, 8, 1.0)
    b = one.b.copy()
    b[3, 2] += 1e-10
    other = Update(one.a, b, 1.0)
    expected = 1e-10 * np.linalg.norm(one.a[2])
    assert math.sqrt(update_sums(one, other).distance) == pytest.approx(expected, rel=1e-3)


def test_the_same_update_has_no_distance_at_all() -> None:
    one = random_update(0, 20, 10, 4, 2.0)
    again = Update(one.a.copy(), one.b.copy(), 2.0)
    found = update_sums(one, again).as_json()
    assert (found["distance"], found["relative"]) == (0, 0)
    assert found["cosine"] == pytest.approx(1)
    assert found["norm_a"] == found["norm_b"] == pytest.approx(np.linalg.norm(dense(one)))


@pytest.mark.parametrize("both", [False, True])
def test_a_fresh_adapter_has_no_cosine(both: bool) -> None:
    fresh = random_update(0, 6, 5, 4, 1.0)
    fresh.b[:] = 0
    other = Update(-fresh.a, fresh.b, 1.0) if both else random_update(1, 6, 5, 2, 1.0)
    found = update_sums(fresh, other).as_json()
    assert found["norm_a"] == 0
    assert found["relative"] is None
    assert found["cosine"] is None
    assert found["distance"] == found["norm_b"]


def test_a_missing_update_is_zero() -> None:
    one = random_update(0, 6, 5, 4, 3.0)
    norm = pytest.approx(np.linalg.norm(dense(one)))
    left, right = update_sums(one, None).as_json(), update_sums(None, one).as_json()
    assert (left["norm_a"], left["norm_b"], left["distance"]) == (norm, 0, norm)
    assert (right["norm_a"], right["norm_b"], right["distance"]) == (0, norm, norm)
    assert update_sums(None, None) == Sums()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_none(value: float) -> None:
    one, other = random_update(0, 6, 5, 4, 1.0), random_update(1, 6, 5, 2, 1.0)
    one.a[0, 0] = value
    for pair in ((one, other), (other, one), (one, None), (one, one)):
        found = update_sums(*pair).as_json()
        assert found["distance"] is None
        assert found["cosine"] is None
    assert tensor_sums([one.a.ravel()], [one.a.ravel()]).as_json()["norm_a"] is None


@given(st.lists(st.integers(0, 5), max_size=4), st.integers(0, 2**32))
def test_pieces_add_up(lengths: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    a = [generator.normal(size=length) for length in lengths]
    b = [generator.normal(size=length) for length in lengths]
    whole = (np.concatenate([*each, []]) for each in (a, b))
    assert_close(tensor_sums(a, b), *whole)
