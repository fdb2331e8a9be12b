"""Plain LoRA layers computed in the base's own number type, in as few passes as there can be.

PEFT keeps an adapter in float32 over a base in bfloat16, and so casts a layer's input up, makes
two thin multiplications in float32, casts the result down, scales and adds it: two fifths of a
step on a CPU. Here the input stays as it is, the thin multiplications are made in the base's type
and add to what is there (``addmm``), and only the gradients go back to float32, as under autocast.
On a base in float32 nothing changes but the order of sums.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

_TYPES = (torch.float32, torch.bfloat16)


class FusedLora:
    """Attach to a ``PeftModel``; ``detach`` leaves the model as it was. ``layers`` counts them.

    Only layers of plain LoRA over ``torch.nn.Linear`` are taken: no dropout, no variant such as
    DoRA, no bias of the adapter's own. The others stay PEFT's, and so does every call that is
    not just the one adapter on its base: switched off, merged, or several in one batch.
    """

    def __init__(self, model: Any) -> None:
        from peft.tuners.lora.layer import Linear

        self._taken = [each for each in model.modules() if type(each) is Linear and _is_plain(each)]
        for module in self._taken:
            module.forward = _forward(module, module.forward)

    @property
    def layers(self) -> int:
        return len(self._taken)

    def detach(self) -> None:
        for module in self._taken:
            del module.forward  # the class has its own
        self._taken = []


def _is_plain(module: Any) -> bool:
    """Whether the layer has one adapter, which is B·A and nothing else."""
    base = module.base_layer
    names = list(module.lora_A)
    if type(base) is not torch.nn.Linear or len(names) != 1 or module.lora_variant:
        return False
    first, second = module.lora_A[names[0]], module.lora_B[names[0]]
    return (
        base.weight.dtype in _TYPES
        and not base.weight.requires_grad
        and first.weight.requires_grad
        and second.weight.requires_grad
        and first.bias is None
        and second.bias is None
        and not module.fan_in_fan_out
        and isinstance(module.lora_dropout[names[0]], torch.nn.Identity)
    )


def _forward(module: Any, original: Any) -> Any:
    (name,) = module.lora_A

    def forward(x: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        alone = list(module.active_adapters) == [name] and not (arguments or named)
        if not alone or module.disable_adapters or module.merged or x.dtype != module.weight.dtype:
            result: torch.Tensor = original(x, *arguments, **named)
            return result
        return _lora(
            x,
            module.base_layer.weight,
            module.base_layer.bias,
            module.lora_A[name].weight,
            module.lora_B[name].weight,
            module.scaling[name],
        )

    return forward


def _lora(*arguments: Any) -> torch.Tensor:
    result: torch.Tensor = _Lora.apply(*arguments)  # type: ignore[no-untyped-call]
    return result


class _Lora(torch.autograd.Function):
    """``x Wᵀ + bias + scaling · (x Aᵀ) Bᵀ`` (Hu et al. 2021, arXiv:2106.09685), W and bias frozen."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        first: torch.Tensor,
        second: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (N, in)
        a, b = first.to(weight.dtype), (second * scaling).to(weight.dtype)  # (r, in), (out, r)
        inner = rows @ a.t()  # (N, r)
        result = F.linear(rows, weight, bias).addmm_(inner, b.t())  # (N, out)
        ctx.save_for_backward(rows, weight, a, b, inner)
        ctx.scaling, ctx.shape = scaling, x.shape
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        rows, weight, a, b, inner = ctx.saved_tensors
        outer = gradient.reshape(-1, gradient.shape[-1])  # (N, out)
        through = outer @ b  # (N, r)
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = (outer @ weight).addmm_(through, a).view(ctx.shape)
        to_first = (through.t() @ rows).float()
        # Twice as fast as the gradient of B itself: oneDNN would turn the larger matrix.
        to_second = (inner.t() @ outer).t().float() * ctx.scaling
        return to_x, None, None, to_first, to_second, None
