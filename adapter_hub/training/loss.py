"""The summed loss of a batch, with only the loss tokens projected through the output head.

The head of a small model costs as much as its layers (V = 49,152 for SmolLM2), and most tokens
of a prompt-and-completion row carry no loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from adapter_hub.training.batches import Batch


class LossHead:
    """Attach to a model; ``sum_loss`` is its forward pass. ``detach`` leaves the model as it was.

    ``wrapper`` is what several processes wrap around the model: its forward pass averages the
    gradients.
    """

    def __init__(self, model: Any, wrapper: Any | None = None) -> None:
        self._model = model if wrapper is None else wrapper
        self._keep: torch.Tensor | None = None
        self._hook = model.get_output_embeddings().register_forward_pre_hook(self._select)

    def sum_loss(self, batch: Batch) -> torch.Tensor:
        """Cross-entropy summed over the loss tokens of ``batch``, in nats: a scalar, float32."""
        return summed_cross_entropy(*self._predict(batch))

    def predictions(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, V), float32, and targets (N,) of the N loss tokens of ``batch``, row by row."""
        logits, targets = self._predict(batch)
        return logits.float(), targets

    def _predict(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        targets = batch.input_ids[:, 1:]
        wanted = batch.loss[:, 1:] & batch.attention_mask[:, 1:]
        keep = torch.zeros_like(batch.loss)
        keep[:, :-1] = wanted  # the position before a loss token predicts it
        self._keep = keep
        try:
            logits = self._model(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask.long(),
                use_cache=False,
            ).logits
        finally:
            self._keep = None
        return logits, targets[wanted]

    def detach(self) -> None:
        self._hook.remove()

    def _select(
        self, _module: torch.nn.Module, arguments: tuple[Any, ...]
    ) -> tuple[Any, ...] | None:
        if self._keep is None:
            return None
        hidden, *rest = arguments  # (B, S, H), or (B, virtual + S, H) with virtual tokens in front
        length = self._keep.shape[1]
        return (hidden[:, -length:][self._keep], *rest)  # (N, H)


def summed_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """``-Σ log softmax(logits)[target]`` in float32, of logits (N, V) and targets (N,).

    Instead of the logits in float32 and their logarithms it keeps one matrix in the type of the
    logits, which is the gradient already (Hsu et al. 2024, arXiv:2410.10989).
    """
    loss: torch.Tensor = _CrossEntropy.apply(logits, targets)  # type: ignore[no-untyped-call]
    return loss


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logs = torch.log_softmax(logits, -1, torch.float32)
        wanted = targets[:, None]
        loss = -logs.gather(1, wanted).sum()
        if ctx.needs_input_grad[0]:
            gradient = logs.exp_()  # the softmax, less one at the target
            gradient.scatter_add_(1, wanted, torch.full_like(wanted, -1.0, dtype=torch.float32))
            ctx.save_for_backward(gradient.to(logits.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, outer: torch.Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient * outer, None  # a scalar, which leaves the type as it is
