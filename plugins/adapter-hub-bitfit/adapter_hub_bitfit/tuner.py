"""BitFit on PEFT's own foundations: Ben Zaken, Ravfogel and Goldberg 2021, arXiv:2106.10199.

The base stays as it is. What a trained bias differs by is kept apart, one vector a layer, and added
to the layer's output: y = W x + b + d. Layers without a bias, as in Llama, have b = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, check_adapters_to_merge
from torch import nn
from transformers.pytorch_utils import Conv1D

from adapter_hub import register_with_peft

PEFT_TYPE = "BITFIT"


@dataclass
class BitFitConfig(PeftConfig):
    """Which layers get a trained bias."""

    target_modules: list[str] | str | None = field(
        default="all-linear",
        metadata={
            "help": "layers whose biases are trained: ends of their names, one regular expression, "
            'or "all-linear" for all but the output head'
        },
    )
    exclude_modules: list[str] | str | None = field(
        default=None, metadata={"help": "layers to leave out of them"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PEFT_TYPE
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)
        if isinstance(self.exclude_modules, list):
            self.exclude_modules = set(self.exclude_modules)


class BitFitLayer(nn.Module, BaseTunerLayer):
    """A linear layer and, for each adapter, what its bias differs by: ``bitfit_bias``, (out,)."""

    adapter_layer_names = ("bitfit_bias",)

    def __init__(self, base_layer: nn.Module, adapter_name: str, inference_mode: bool) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.bitfit_bias = nn.ParameterDict()
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, inference_mode)

    def update_layer(self, adapter_name: str, inference_mode: bool) -> None:
        base = self.get_base_layer()
        width = base.nf if isinstance(base, Conv1D) else base.out_features
        self.bitfit_bias[adapter_name] = nn.Parameter(torch.zeros(width))
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=inference_mode)

    def forward(self, x: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        """(…, in) to (…, out)."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        result: torch.Tensor = self.base_layer(x, *arguments, **named)
        if self.disable_adapters or self.merged:
            return result
        for name in self.active_adapters:
            if name in self.bitfit_bias:
                result = result + self.bitfit_bias[name].to(result.dtype)
        return result

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add the differences to the base's biases. Raises ValueError where there is none."""
        for name in check_adapters_to_merge(self, adapter_names):
            if name not in self.bitfit_bias:
                continue
            merged = self._bias() + self.bitfit_bias[name].data.to(self._bias().dtype)
            if safe_merge and not torch.isfinite(merged).all():
                raise ValueError(f"adapter {name} has numbers that are not finite")
            self._bias().data = merged
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        while self.merged_adapters:
            name = self.merged_adapters.pop()
            self._bias().data -= self.bitfit_bias[name].data.to(self._bias().dtype)

    def _bias(self) -> nn.Parameter:
        bias = self.get_base_layer().bias
        if bias is None:
            # The architecture would not save a new one: a merged model would lose it in silence.
            raise ValueError("the base has no biases, so BitFit cannot be merged into it")
        return bias  # type: ignore[no-any-return]


class BitFitModel(BaseTuner):
    """Puts a ``BitFitLayer`` in the place of each target."""

    prefix = "bitfit_"
    tuner_layer_cls = BitFitLayer
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012  (as PEFT declares it)

    def _create_and_replace(
        self,
        peft_config: BitFitConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
    ) -> None:
        if isinstance(target, BitFitLayer):
            target.update_layer(adapter_name, peft_config.inference_mode)
            return
        if not isinstance(target, (nn.Linear, Conv1D)):
            raise ValueError(f"{current_key} is a {type(target).__name__}, not a linear layer")
        layer = BitFitLayer(target, adapter_name, peft_config.inference_mode)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)


register_with_peft(PEFT_TYPE, BitFitConfig, BitFitModel)
