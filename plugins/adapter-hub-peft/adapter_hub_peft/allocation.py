"""AdaLoRA and AdaMSS: what is trained is chosen while it trains, by importance.

peft leaves it to the training loop to call ``update_and_allocate`` after every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from adapter_hub import TrainHooks
from adapter_hub.errors import OptionError

_AVERAGES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class AdaLoraHooks(TrainHooks):
    """Zhang et al. 2023, "AdaLoRA": the schedule of ranks, and the penalty that keeps P and Q orthogonal."""

    def before_model(self, config: Any, steps: int) -> None:
        """Raises OptionError for a schedule that leaves no step to choose ranks in."""
        config.total_step = steps
        if config.tinit + config.tfinal >= steps:
            raise OptionError(
                f"method 'adalora': tinit = {config.tinit} and tfinal = {config.tfinal} leave none "
                f"of the {steps} steps to choose ranks in.",
                hint="make them smaller, or train longer",
            )
        if config.target_r >= config.init_r:
            raise OptionError(
                f"method 'adalora': target_r = {config.target_r} must be below "
                f"init_r = {config.init_r}, from where the ranks come down."
            )

    def loss(self, model: Any) -> Any:
        """Their equation 4, as ``AdaLoraModel.forward`` adds it for those that pass it labels."""
        factors = list(_factors(model))
        distances = [torch.linalg.norm(each @ each.T - torch.eye(len(each))) for each in factors]
        weight = model.active_peft_config.orth_reg_weight
        return weight * torch.stack(distances).mean() if weight and distances else None

    def after_step(self, model: Any, step: int) -> None:
        model.base_model.update_and_allocate(step)

    def state(self, model: Any) -> dict[str, Any]:
        allocator = model.base_model.rankallocator
        averages = {
            f"{kind}.{name}": tensor.detach()
            for kind in _AVERAGES
            for name, tensor in getattr(allocator, kind).items()
        }
        ranks = model.active_peft_config.rank_pattern or {}
        return averages | {f"ranks.{name}": torch.tensor(kept) for name, kept in ranks.items()}

    def restore(self, model: Any, state: dict[str, Any]) -> None:
        allocator = model.base_model.rankallocator
        ranks = {}
        for name, tensor in state.items():
            kind, _, weight = name.partition(".")
            if kind == "ranks":
                ranks[weight] = tensor.tolist()
            else:
                getattr(allocator, kind)[weight] = tensor
        model.active_peft_config.rank_pattern = ranks or None


class AdamssHooks(TrainHooks):
    """The choice of subspaces (``use_asa``); nothing without it."""

    def after_step(self, model: Any, step: int) -> None:
        model.base_model.update_and_allocate(step)


def _factors(model: Any) -> Iterator[torch.Tensor]:
    """P and Q of every layer, the rank first: (r, in) and (r, out)."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "lora_A" in name:
            yield parameter
        elif parameter.requires_grad and "lora_B" in name:
            yield parameter.T
