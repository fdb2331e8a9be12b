"""Where LoRA starts: matrices taken from the base's weights, or from a pass over rows.

PiSSA, OLoRA, CorDA and LoRA-GA start from a product B₀A₀ that is not zero. PEFT takes it out of the
base's weights, so that what is trained fits that altered base only. Here the base stays as it is: the
start lies in the adapter itself a second time, with the other sign, as a second half of its rank
that is not trained. W + s·(BA − B₀A₀) is what is trained, saved and loaded, on the clean base.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import OptionError, TrainingError
from adapter_hub.hookspecs import Batches, TrainHooks

if TYPE_CHECKING:
    import torch

    Matrices = tuple[torch.Tensor, torch.Tensor]

DOUBLED = ("pissa", "pissa_niter_4", "pissa_niter_16", "olora", "corda", "lora_ga")
"""The starts that take a second half of rank."""
BATCHES = 16
"""Of the run's own rows, for a pass over data."""
_START = "_adapter_hub_start"
_DAMPING = 0.01
_GAMMA = 16
"""LoRA-GA's stable scaling, as PEFT has it (LoraGAConfig.stable_gamma)."""


def mark(config: Any, start: str) -> None:
    """Have ``config`` start so; those of ``DOUBLED`` by twice the rank, of which half stands still.

    The update's scale stays what it was: alpha / r, or alpha / sqrt(r) with rsLoRA.
    """
    setattr(config, _START, start)
    config.init_lora_weights = True
    if start not in DOUBLED:
        return
    alpha = 2**0.5 if config.use_rslora else 2
    config.r, config.lora_alpha = 2 * config.r, alpha * config.lora_alpha
    config.rank_pattern = {key: 2 * each for key, each in config.rank_pattern.items()}
    config.alpha_pattern = {key: alpha * each for key, each in config.alpha_pattern.items()}


class LoraStart(TrainHooks):
    """Of the built-in method ``lora``: nothing for the starts that PEFT makes by itself."""

    def __init__(self) -> None:
        self._start = ""
        self._held: list[tuple[Any, Any]] = []

    def before_model(self, config: Any, steps: int) -> None:
        self._start = getattr(config, _START, "")

    def after_adapter(self, model: Any, batches: Batches) -> None:
        """Set the start. Raises OptionError for layers that have none, TrainingError under FSDP."""
        if not self._start:
            return
        if self._start == "eva":
            _eva(model, batches)
            return
        if os.environ.get("ACCELERATE_USE_FSDP") == "true":
            raise TrainingError(
                f"init_lora_weights = {self._start!r} holds half of a matrix still, which shards cannot.",
                hint="launch without --use_fsdp, or train with init_lora_weights = true",
            )
        layers = dict(_layers(model, self._start))
        matrices = _matrices(self._start, model, layers, batches)
        for name, layer in layers.items():
            self._set(layer, *matrices(name))

    def _set(self, layer: Any, first: torch.Tensor, second: torch.Tensor) -> None:
        """A = [A₀; A₀] and B = [B₀, −B₀]; the gradients of the second halves are nothing."""
        import torch

        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        with torch.no_grad():
            a.copy_(torch.cat([first, first], 0))
            b.copy_(torch.cat([second, -second], 1))
        a.register_hook(lambda gradient: _first_half(gradient, 0))
        b.register_hook(lambda gradient: _first_half(gradient, 1))

    def loss(self, model: Any) -> Any:
        """Remember, before the first step, what must stand still: weight decay moves all."""
        if self._start in DOUBLED and not self._held:
            for _, layer in _layers(model, self._start):
                for dimension, each in enumerate((layer.lora_A, layer.lora_B)):
                    weight = each["default"].weight
                    half = weight.detach().chunk(2, dimension)[1]
                    self._held.append((half, half.clone()))
        return None

    def after_step(self, model: Any, step: int) -> None:
        for half, was in self._held:
            half.copy_(was)


def _first_half(gradient: torch.Tensor, dimension: int) -> torch.Tensor:
    kept = gradient.clone()
    kept.chunk(2, dimension)[1].zero_()
    return kept


def _layers(model: Any, start: str) -> Iterator[tuple[str, Any]]:
    """The adapted layers by name. Raises OptionError for one that is not a plain linear one."""
    from peft.tuners.lora.layer import LoraLayer

    for name, layer in model.named_modules():
        if not isinstance(layer, LoraLayer):
            continue
        weight = layer.get_base_layer().weight
        linear = "default" in layer.lora_A and weight.dim() == 2
        variant = start in DOUBLED and layer.lora_variant
        if not linear or not weight.is_floating_point() or variant:
            what = "it is no linear layer"
            if linear:
                what = "it is a variant of LoRA" if variant else "it is quantised"
            raise OptionError(
                f"init_lora_weights = {start!r} cannot start at {name}: {what}.",
                hint="-o init_lora_weights=true, or other target_modules",
            )
        rank = layer.r["default"] // 2
        if start in DOUBLED and rank > min(weight.shape):
            raise OptionError(
                f"init_lora_weights = {start!r} needs a rank of at most {min(weight.shape)} at {name}, "
                f"not {rank}.",
                hint="-o r=8",
            )
        yield name, layer


def _matrices(
    start: str, model: Any, layers: dict[str, Any], batches: Batches
) -> Callable[[str], Matrices]:
    """A function from a layer's name to its A₀ (r, in) and B₀ (out, r), float32."""
    if start == "corda":
        moments = _second_moments(model, layers, batches)
        return lambda name: _corda(*_weight(layers[name]), moments.pop(name))
    if start == "lora_ga":
        gradients = _gradients(model, layers, batches)
        return lambda name: _lora_ga(*_weight(layers[name]), gradients.pop(name))
    if start == "olora":
        return lambda name: _olora(*_weight(layers[name]))
    rounds = int(start.rpartition("_")[2]) if "niter" in start else 0
    return lambda name: _pissa(*_weight(layers[name]), rounds)


def _weight(layer: Any) -> tuple[torch.Tensor, int, float]:
    """The base's W (out, in) in float32, the rank that is trained, and the update's scale."""
    weight = layer.get_base_layer().weight.detach().float()
    return (
        weight.T if layer.fan_in_fan_out else weight,
        layer.r["default"] // 2,
        layer.scaling["default"],
    )


def _pissa(weight: torch.Tensor, rank: int, scale: float, rounds: int) -> Matrices:
    """The principal part of W, shared out evenly (Meng et al. 2024, arXiv:2404.02948, section 3)."""
    import torch

    if rounds:
        u, s, v = torch.svd_lowrank(weight, q=rank, niter=rounds)
        vh = v.T
    else:
        u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    root = (s[:rank] / scale).sqrt()
    return root[:, None] * vh[:rank], u[:, :rank] * root


def _olora(weight: torch.Tensor, rank: int, _scale: float) -> Matrices:
    """The first columns of QR = W (Büyükakyüz 2024, arXiv:2406.01775, algorithm 1)."""
    import torch

    q, r = torch.linalg.qr(weight)
    return r[:rank], q[:, :rank]


def _corda(weight: torch.Tensor, rank: int, scale: float, moment: torch.Tensor) -> Matrices:
    """The principal part of W·C, C the inputs' second moment, with C taken out again.

    Yang et al. 2024, arXiv:2406.05223, section 3.2, for learning the rows (instruction-previewed).
    """
    import torch

    damping = _DAMPING * moment.diagonal().mean()
    moment = moment + damping * torch.eye(len(moment), device=moment.device)
    u, s, vh = torch.linalg.svd(weight @ moment, full_matrices=False)
    first = torch.linalg.solve(moment, vh[:rank].T).T  # C is symmetric
    root = (s[:rank] / scale).sqrt()
    return root[:, None] * first, u[:, :rank] * root


def _lora_ga(weight: torch.Tensor, rank: int, scale: float, gradient: torch.Tensor) -> Matrices:
    """The directions in which W itself would go (Wang et al. 2024, arXiv:2407.05000, section 3).

    A takes the first right and B the next left singular vectors, scaled to be stable.
    """
    import torch

    u, _, vh = torch.linalg.svd(gradient, full_matrices=False)
    size = len(weight) ** 0.25 / _GAMMA**0.5
    place = rank if 2 * rank <= u.shape[1] else 0
    return size * vh[:rank], size * u[:, place : place + rank] / scale


def _second_moments(
    model: Any, layers: dict[str, Any], batches: Batches
) -> dict[str, torch.Tensor]:
    """Of each layer's inputs over the rows' tokens: (in, in), float32."""
    import torch

    moments: dict[str, torch.Tensor] = {}
    mask: list[torch.Tensor] = []

    def look(name: str) -> Callable[..., None]:
        def hook(_module: Any, arguments: tuple[Any, ...], _output: Any) -> None:
            x = arguments[0].detach().float()[mask[0]]  # (N, in)
            moments[name] = moments.get(name, 0) + x.T @ x

        return hook

    handles = [each.register_forward_hook(look(name)) for name, each in layers.items()]
    try:
        with torch.no_grad():
            for batch in islice(batches(), BATCHES):
                mask[:] = [batch["attention_mask"].bool()]
                _forward(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    return {name: each / each.diagonal().mean().clamp_min(1e-12) for name, each in moments.items()}


def _gradients(model: Any, layers: dict[str, Any], batches: Batches) -> dict[str, torch.Tensor]:
    """Of the loss by each adapted weight, summed over the batches: (out, in), float32.

    By what reaches a layer's output, which needs no gradient of the frozen weight itself.
    """
    gradients: dict[str, Any] = {}

    def look(name: str) -> Callable[..., None]:
        def hook(_module: Any, arguments: tuple[Any, ...], output: Any) -> None:
            x = arguments[0].detach().float().flatten(0, -2)  # (N, in)

            def add(gradient: torch.Tensor) -> None:
                found = gradient.float().flatten(0, -2).T @ x
                gradients[name] = gradients.get(name, 0) + found

            output.register_hook(add)

        return hook

    handles = [each.register_forward_hook(look(name)) for name, each in layers.items()]
    try:
        for batch in islice(batches(), BATCHES):
            _forward(model, batch).loss.backward()
    finally:
        for handle in handles:
            handle.remove()
        model.zero_grad(set_to_none=True)
    return gradients


def _forward(model: Any, batch: dict[str, Any]) -> Any:
    model.eval()  # without dropout
    return model(**batch, use_cache=False)


def _eva(model: Any, batches: Batches) -> None:
    """The main directions of each layer's inputs as A, by PEFT (Paischer et al. 2024, arXiv:2410.07170)."""
    from peft import EvaConfig, initialize_lora_eva_weights

    model.eval()
    config = model.peft_config["default"]
    # Only for as long as it takes: a file that names it has PEFT warn at every load.
    config.init_lora_weights, config.eva_config = "eva", EvaConfig()
    initialize_lora_eva_weights(
        model,
        list(islice(batches(), BATCHES)),
        gather_distributed_inputs=False,
        show_progress_bar=False,
    )
    config.init_lora_weights, config.eva_config = True, None
