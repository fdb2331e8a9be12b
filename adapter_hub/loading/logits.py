"""Whether two models say the same: the largest difference of their logits on a few sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapter_hub.loading.bases import context_length
from adapter_hub.loading.memory import memory_shortage

if TYPE_CHECKING:
    import torch

LENGTH = 24
"""Tokens of a sequence."""
NOISE = 1e-4
"""The difference, in parts of the largest logit, that float32 alone may make.

A sum of n products has a relative error of about sqrt(n) * 6e-8 (Higham, Accuracy and Stability of
Numerical Algorithms, 2002, section 4.2): 4e-6 for the 4,096 inputs of a layer, and layers add up.
"""


def probes(model: Any, config: Mapping[str, Any]) -> list[torch.Tensor]:
    """Sequences of token ids [1, tokens] that reach what an adapter may have changed.

    Two are drawn from the whole vocabulary, always the same; one has its last rows, where added
    tokens lie, and one the rows that the adapter's configuration names.
    """
    import torch

    rows = model.get_input_embeddings().weight.shape[0]
    length = min(LENGTH, rows, context_length(model.config) or LENGTH)
    drawn = torch.randint(rows, (2, length), generator=torch.Generator().manual_seed(0))
    sequences = [*drawn, torch.arange(rows - length, rows)]
    named = sorted(_named_rows(config.get("trainable_token_indices")))
    if named:
        sequences.append(torch.tensor(named[:length]))
    return [each.unsqueeze(0) for each in sequences]


def logits(model: Any, sequences: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The logits [1, tokens, vocabulary] of each sequence, in float32 and in main memory.

    Raises OutOfMemoryError.
    """
    import torch

    shortage = memory_shortage("comparing the logits", "export on a machine with more memory")
    with shortage, torch.inference_mode():
        return [
            model(input_ids=each.to(model.device), use_cache=False).logits.float().cpu()
            for each in sequences
        ]


def largest_difference(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
    """Over all logits; infinite where one of them is no number, or the vocabularies differ."""
    import torch

    if any(a.shape != b.shape for a, b in zip(one, other, strict=True)):
        return float("inf")
    differences = [float((a - b).abs().max()) for a, b in zip(one, other, strict=True)]
    finite = all(
        bool(torch.isfinite(a).all() & torch.isfinite(b).all())
        for a, b in zip(one, other, strict=True)
    )
    return max(differences) if finite else float("inf")


def noise_of(values: Sequence[torch.Tensor]) -> float:
    """What rounding in float32 may change of these logits."""
    return NOISE * max(1.0, *(float(each.abs().max()) for each in values))


def _named_rows(told: Any) -> set[int]:
    lists = told.values() if isinstance(told, Mapping) else [told or []]
    return {int(each) for rows in lists for each in rows}
