"""Attention over short rows on a CPU, as plain multiplications.

PyTorch's fused attention is made for long rows: on a CPU it spends more on short ones than the
multiplications take, most of all in bfloat16, and transformers copies the keys and values of
grouped heads for it. Here one batched multiplication serves all heads that share a key, and the
only thing kept for the backward pass besides queries, keys and values are the probabilities.

Scores and their softmax are float32; all else is multiplied in the model's own type, as fused
attention does (Dao et al. 2022, arXiv:2205.14135).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from adapter_hub.training.packed_rows import PackedRows

NAME = "adapter_hub_short"
LONGEST = {torch.float32: 128, torch.bfloat16: 192}
"""Tokens of a row. On two cores of an EPYC, rows of 96 take 0.4 of the fused time in bfloat16 and
0.7 in float32, those of 128 take 0.5 and 0.7, those of 192 take 0.8 and 1.0, of 256 1.0 and 1.1."""


class ShortAttention:
    """Attach to a model that attends by PyTorch's fused attention; ``detach`` leaves it as it was.

    Rows that are not short, dropout, soft caps and generation stay with it, and so
    does every model that attends in another way or lies on another device.
    """

    def __init__(self, model: Any) -> None:
        base = model.get_base_model()
        fused = base.config._attn_implementation == "sdpa"
        # One without weights is asked what it would take on this machine.
        self._model = base if fused and base.device.type in ("cpu", "meta") else None
        if self._model is not None:
            _register()
            self._model.set_attn_implementation(NAME)

    def detach(self) -> None:
        if self._model is not None:
            self._model.set_attn_implementation("sdpa")
            self._model = None


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, _mask)


def _mask(batch_size: int, q_length: int, kv_length: int, *arguments: Any, **named: Any) -> Any:
    """What to add to the scores: float32 (B, 1, S, S); of other rows what fused attention takes."""
    from transformers.masking_utils import sdpa_mask

    if not 1 < q_length == kv_length <= max(LONGEST.values()):
        return sdpa_mask(batch_size, q_length, kv_length, *arguments, **named)
    skips = {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    seen = sdpa_mask(batch_size, q_length, kv_length, *arguments, **{**named, **skips})
    lowest = torch.finfo(torch.float32).min
    return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, lowest)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packed: PackedRows | None = None,
    **named: Any,
) -> tuple[torch.Tensor, None]:
    """As ``transformers`` calls it: (B, H, S, D) and fewer key heads, to (B, S, H, D).

    With ``packed`` both are of one sequence, and the mask says nothing.
    """
    if packed is not None:
        query = packed.spread(query, all_used=False)
        key, value = packed.spread(key), packed.spread(value)
        attention_mask = packed.causal_bias() if _is_short(query, key) else None
    given = any(named.get(name) is not None for name in ("softcap", "position_bias", "cache"))
    if _is_short(query, key) and attention_mask is not None and not (dropout or given):
        if attention_mask.dtype == torch.bool:
            lowest = torch.finfo(torch.float32).min
            attention_mask = torch.zeros(attention_mask.shape).masked_fill_(~attention_mask, lowest)
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        output = _Attention.apply(query, key, value, attention_mask, scale)  # type: ignore[no-untyped-call]
    else:
        output = _fused(module, query, key, value, attention_mask, dropout, scaling, named)
    return output.transpose(1, 2).contiguous() if packed is None else packed.collect(output), None


def _is_short(query: torch.Tensor, key: torch.Tensor) -> bool:
    return 1 < query.shape[2] == key.shape[2] <= LONGEST.get(query.dtype, 0)


def _fused(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float,
    scaling: float | None,
    named: dict[str, Any],
) -> torch.Tensor:
    """PyTorch's own attention by way of transformers: (B, H, S, D)."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if mask is not None and mask.is_floating_point():
        mask = mask.to(query.dtype)
    output: torch.Tensor = sdpa_attention_forward(
        module, query, key, value, mask, dropout=dropout, scaling=scaling, **named
    )[0]
    return output.transpose(1, 2)


class _Attention(torch.autograd.Function):
    """``softmax(scale · Q Kᵀ + bias) V`` (Vaswani et al. 2017, arXiv:1706.03762)."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bias: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        b, heads, s, _ = query.shape
        shared = key.shape[1]
        # Heads that share a key stand below each other: (B·shared, heads/shared·S, D).
        q = query.reshape(b * shared, -1, query.shape[-1])
        k, v = (each.reshape(b * shared, s, each.shape[-1]) for each in (key, value))
        scores = torch.bmm(q.float(), (k.float() * scale).transpose(1, 2))
        scores = scores.view(b, heads, s, s).add_(bias)
        seen = torch.softmax(scores, -1).to(query.dtype).view(b * shared, -1, s)
        ctx.save_for_backward(q, k, v, seen)
        ctx.shapes, ctx.scale = (query.shape, key.shape, value.shape), scale
        return torch.bmm(seen, v).view(b, heads, s, -1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        q, k, v, seen = ctx.saved_tensors
        outer = gradient.reshape(len(v), -1, v.shape[-1])
        to_value = torch.bmm(seen.transpose(1, 2), outer)
        to_seen = torch.bmm(outer, v.transpose(1, 2))
        to_scores = torch._softmax_backward_data(to_seen, seen, -1, seen.dtype).mul_(ctx.scale)
        to_query = torch.bmm(to_scores, k)
        to_key = torch.bmm(to_scores.transpose(1, 2), q)
        gradients = zip((to_query, to_key, to_value), ctx.shapes, strict=True)
        return *(each.view(shape) for each, shape in gradients), None, None
