"""The summed loss of a batch, with only the loss tokens projected through the output head.

The head of a small model costs as much as its layers (V = 49,152 for SmolLM2), and most tokens
of a prompt-and-completion row carry no loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from adapter_hub.training.packed_rows import pack

if TYPE_CHECKING:
    from adapter_hub.training.batches import Batch

AT_ONCE = 1 << 20
"""Logits: of 49,152 tokens 21 rows. So it takes half of the time of all rows at once on an EPYC."""


class LossHead:
    """Attach to a model; ``sum_loss`` is its forward pass. ``detach`` leaves the model as it was.

    ``wrapper`` is what several processes wrap around the model: its forward pass averages the
    gradients. With ``packs`` batches are packed (see ``packed_rows``).
    """

    def __init__(self, model: Any, wrapper: Any | None = None, packs: bool = False) -> None:
        self._model = model if wrapper is None else wrapper
        self._packs = packs
        self._keep: Callable[[torch.Tensor], torch.Tensor] | None = None
        self._hook = model.get_output_embeddings().register_forward_pre_hook(self._select)

    def sum_loss(self, batch: Batch) -> torch.Tensor:
        """Cross-entropy summed over the loss tokens of ``batch``, in nats: a scalar, float32."""
        return summed_cross_entropy(*self._predict(batch))

    def predictions(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, V), float32, and targets (N,) of the N loss tokens of ``batch``, row by row."""
        logits, targets = self._predict(batch)
        return logits.float(), targets

    def _predict(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = batch.loss[:, 1:] & batch.attention_mask[:, 1:]
        # The position before a loss token predicts it.
        if self._packs:
            packed = pack(batch)
            places = packed.where[:, :-1][wanted]
            given = packed.as_input()
            self._keep = lambda hidden: hidden[0, places]
        else:
            given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask.long()}
            keep = F.pad(wanted, (0, 1))
            # With virtual tokens in front there are more.
            self._keep = lambda hidden: hidden[:, -keep.shape[1] :][keep]
        try:
            logits = self._model(**given, use_cache=False).logits
        finally:
            self._keep = None
        return logits, batch.input_ids[:, 1:][wanted]

    def detach(self) -> None:
        self._hook.remove()

    def _select(
        self, _module: torch.nn.Module, arguments: tuple[Any, ...]
    ) -> tuple[Any, ...] | None:
        if self._keep is None:
            return None
        hidden, *rest = arguments  # (B, S, H)
        return (self._keep(hidden), *rest)  # (N, H)


def summed_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """``-Σ log softmax(logits)[target]`` in float32, of logits (N, V) and targets (N,).

    Instead of the logits in float32 and their logarithms it keeps one matrix in the type of the
    logits, which is the gradient already (Hsu et al. 2024, arXiv:2410.10989), and makes it a few
    rows at a time, in the processor's cache.
    """
    loss: torch.Tensor = _CrossEntropy.apply(logits, targets)  # type: ignore[no-untyped-call]
    return loss


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        size = max(1, AT_ONCE // logits.shape[1])
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        shape = (min(size, len(logits)), logits.shape[1])
        room = [logits.new_empty(shape, dtype=torch.float32) for _ in range(2)]
        loss = torch.zeros((), device=logits.device)
        for start in range(0, len(logits), size):
            part = logits[start : start + size]
            wanted = targets[start : start + size, None]
            wide, logs = (each[: len(part)] for each in room)
            torch.log_softmax(wide.copy_(part), -1, out=logs)
            loss -= logs.gather(1, wanted).sum()
            if gradient is not None:  # the softmax, less one at the target
                minus = torch.full_like(wanted, -1.0, dtype=torch.float32)
                gradient[start : start + size] = logs.exp_().scatter_add_(1, wanted, minus)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, outer: torch.Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        # In place: a second backward pass through it is refused, as through other freed graphs.
        return gradient.mul_(outer), None
