"""Which examples make up which batch, and a batch as padded tensors.

The order is a function of the seed and the epoch alone, so a run can be taken up at any step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adapter_hub.training.data import Examples

if TYPE_CHECKING:
    import torch

POOL = 32
"""Batches whose examples are sorted by length together: fewer pads, still well mixed."""


@dataclass(frozen=True)
class Batch:
    """``input_ids``: int64 (rows, length); ``attention_mask`` and ``loss``: bool (rows, length)."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    loss: torch.Tensor
    where: tuple[str, ...]


class Schedule:
    """The micro-batches of a whole run, epoch after epoch.

    One optimizer step takes ``per_step`` consecutive micro-batches (gradient accumulation times
    processes).
    """

    def __init__(self, lengths: Any, batch_size: int, per_step: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._per_step = per_step
        self._seed = seed
        self.batches_per_epoch = math.ceil(len(lengths) / batch_size)
        self._epochs: dict[int, tuple[Any, Any]] = {}

    def steps_for(self, epochs: float) -> int:
        """Optimizer steps in ``epochs`` passes, at least one."""
        # 100 * 1.1 is a little more than 110, and no reason for another step.
        return max(1, math.ceil(round(self.batches_per_epoch * epochs / self._per_step, 6)))

    def step(self, number: int) -> list[list[int]]:
        """The micro-batches of optimizer step ``number`` (from 0): example indices."""
        first = number * self._per_step
        return [self._batch(first + offset) for offset in range(self._per_step)]

    def _batch(self, position: int) -> list[int]:
        epoch, index = divmod(position, self.batches_per_epoch)
        if epoch not in self._epochs:
            # Two epochs can meet in one step; older ones are never asked for again.
            self._epochs = {key: value for key, value in self._epochs.items() if key == epoch - 1}
            self._epochs[epoch] = self._shuffled(epoch)
        order, batches = self._epochs[epoch]
        start = batches[index] * self._batch_size
        batch: list[int] = order[start : start + self._batch_size].tolist()
        return batch

    def _shuffled(self, epoch: int) -> tuple[Any, Any]:
        """All examples, each batch's side by side, and the order of the batches: arrays of int64."""
        random = np.random.default_rng((self._seed, epoch))
        order = random.permutation(len(self._lengths))
        pool = self._batch_size * POOL
        for start in range(0, len(order), pool):
            part = order[start : start + pool]
            order[start : start + pool] = part[np.argsort(self._lengths[part], kind="stable")]
        return order, random.permutation(self.batches_per_epoch)


def in_order(examples: Examples, batch_size: int) -> list[list[int]]:
    """Every example once, in batches of similar length, for evaluation."""
    order = np.argsort(examples.lengths, kind="stable")
    return [
        order[start : start + batch_size].tolist() for start in range(0, len(order), batch_size)
    ]


def collate(examples: Examples, indices: list[int], pad_id: int, device: Any = None) -> Batch:
    """The examples at ``indices``, padded on the right to the longest."""
    import torch

    sequences = [examples[index] for index in indices]
    shape = (len(sequences), max(len(each.input_ids) for each in sequences))
    ids = np.full(shape, pad_id, np.int64)
    mask, loss = np.zeros(shape, bool), np.zeros(shape, bool)
    for row, each in enumerate(sequences):
        length = len(each.input_ids)
        ids[row, :length], mask[row, :length], loss[row, :length] = each.input_ids, True, each.loss
    return Batch(
        torch.from_numpy(ids).to(device),
        torch.from_numpy(mask).to(device),
        torch.from_numpy(loss).to(device),
        tuple(each.where for each in sequences),
    )
