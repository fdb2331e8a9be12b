"""Which examples make up which batch, and a batch as tensors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter_hub.training.batches import Schedule, collate, in_order
from adapter_hub.training.data import _SCHEMA, Examples

LENGTHS = np.random.default_rng(0).integers(4, 400, 1000)


def examples_of(*lengths: int, loss_from: int = 1) -> Examples:
    rows = [
        {
            "input_ids": list(range(10, 10 + length)),
            "loss": [place >= loss_from for place in range(length)],
            "full_length": length,
            "row": number,
            "where": f"rows:{number}",
        }
        for number, length in enumerate(lengths, 1)
    ]
    return Examples(pa.Table.from_pylist(rows, schema=_SCHEMA))


def padding(lengths: Any, batches: list[list[int]]) -> float:
    padded = sum(int(lengths[each].max()) * len(each) for each in batches)
    return 1 - int(lengths[list(itertools.chain(*batches))].sum()) / padded


@given(
    count=st.integers(1, 60),
    batch_size=st.integers(1, 9),
    per_step=st.integers(1, 5),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=50, deadline=None)
def test_an_epoch_has_every_example_once(
    count: int, batch_size: int, per_step: int, seed: int
) -> None:
    schedule = Schedule(np.arange(count), batch_size, per_step, seed)
    epochs = 3
    steps = -(-schedule.batches_per_epoch * epochs // per_step)
    batches = list(itertools.chain(*(schedule.step(number) for number in range(steps))))
    for epoch in range(epochs):
        start = epoch * schedule.batches_per_epoch
        own = batches[start : start + schedule.batches_per_epoch]
        assert sorted(itertools.chain(*own)) == list(range(count))
        assert all(len(each) <= batch_size for each in own)


def test_the_order_follows_from_the_seed() -> None:
    one, same, other = (Schedule(LENGTHS, 8, 1, seed) for seed in (1, 1, 2))
    assert [one.step(n) for n in range(200)] == [same.step(n) for n in range(200)]
    assert one.step(0) != other.step(0)


def test_epochs_differ() -> None:
    schedule = Schedule(LENGTHS, 8, 1, 0)
    first, second = ([schedule.step(n + start)[0] for n in range(125)] for start in (0, 125))
    assert first != second


def test_a_run_can_be_taken_up_at_any_step() -> None:
    whole = Schedule(LENGTHS, 8, 3, 0)
    steps = [whole.step(number) for number in range(100)]
    for start in (0, 41, 42, 83, 99):
        assert Schedule(LENGTHS, 8, 3, 0).step(start) == steps[start]
    assert whole.step(2) == steps[2], "also backwards"


def test_a_step_can_be_longer_than_an_epoch() -> None:
    schedule = Schedule(np.arange(3), 2, 5, 0)
    assert schedule.batches_per_epoch == 2
    step = schedule.step(0)
    assert len(step) == 5
    assert sorted(itertools.chain(*step[:2])) == sorted(itertools.chain(*step[2:4])) == [0, 1, 2]


@pytest.mark.parametrize(
    ("count", "batch_size", "per_step", "epochs", "steps"),
    [
        (100, 10, 1, 1.0, 10),
        (101, 10, 1, 1.0, 11),
        (100, 10, 4, 1.0, 3),
        (100, 10, 1, 0.25, 3),
        (100, 10, 1, 0.001, 1),
        (100, 1, 1, 1.1, 110),
        (1, 8, 4, 1.0, 1),
        (100, 10, 3, 0.3, 1),
    ],
)
def test_steps_of_epochs(
    count: int, batch_size: int, per_step: int, epochs: float, steps: int
) -> None:
    assert Schedule(np.ones(count), batch_size, per_step, 0).steps_for(epochs) == steps


def test_batches_have_similar_lengths_and_come_mixed() -> None:
    schedule = Schedule(LENGTHS, 8, 1, 0)
    batches = [schedule.step(number)[0] for number in range(schedule.batches_per_epoch)]
    order = np.random.default_rng(1).permutation(len(LENGTHS))
    random = [order[start : start + 8].tolist() for start in range(0, len(order), 8)]
    assert padding(LENGTHS, batches) < 0.06 < 0.3 < padding(LENGTHS, random)
    means = [LENGTHS[each].mean() for each in batches]
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3


def test_evaluation_takes_every_example_once() -> None:
    examples = examples_of(5, 3, 9, 4, 8)
    assert in_order(examples, 2) == [[1, 3], [0, 4], [2]]


def test_a_batch_is_padded_on_the_right() -> None:
    batch = collate(examples_of(2, 4, loss_from=1), [1, 0], pad_id=7)
    assert batch.input_ids.tolist() == [[10, 11, 12, 13], [10, 11, 7, 7]]
    assert batch.attention_mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert batch.loss.tolist() == [[False, True, True, True], [False, True, False, False]]
    assert batch.where == ("rows:2", "rows:1")
    assert str(batch.input_ids.dtype) == "torch.int64"
