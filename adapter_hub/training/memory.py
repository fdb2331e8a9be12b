"""What a run takes of memory at its peak, from one step of a model whose tensors have no content.

Of every tensor that the step would keep for its backward pass the size is taken, whatever the
architecture and the method; the rest is weights, optimizer and what a step needs for a moment.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.model import Quantize, TrainingSettings

if TYPE_CHECKING:
    import torch

_OPTIMIZER = 20
"""Bytes of a trained parameter besides itself: gradient, two moments, the best so far, its clip."""
_BITS: dict[Quantize, float] = {"4bit": 4.13, "8bit": 8.0}
"""Of a weight, with the constants of its block quantised again (QLoRA, section 3)."""
_LATER_BYTES = 190 << 20
"""What a run imports and prepares besides: optimizer, plots, kernels for its shapes."""
_RUNTIME_BYTES = 450 << 20
"""Python with torch, transformers and peft, where the system does not tell."""
_FOR_A_MOMENT = 4
"""Tensors of the widest module that a step needs besides what it keeps."""


@dataclasses.dataclass(frozen=True)
class Widest:
    """The batch that takes the most: rows, their padded length, and the loss tokens in them.

    ``packed`` is how many tokens it has where rows are packed (see ``packed_rows``), 0 where not.
    """

    rows: int
    length: int
    loss_tokens: int
    packed: int


def peak_bytes(
    model_config: Any,
    peft_config: Any,
    settings: TrainingSettings,
    dtype: torch.dtype,
    widest: Widest,
    base_folder: Path,
    trust_remote_code: bool = False,
) -> int | None:
    """The most that the process takes on a CPU; None where one step cannot be tried without weights."""
    from peft import LoraConfig

    resident = _resident()
    padded = dataclasses.replace(widest, packed=0)
    # Rows are packed over whole weights alone, which are tried here in any case.
    like = widest if settings.quantize == "none" else padded
    other = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear")
    for config, batch in ((peft_config, like), (other, padded)):
        try:
            step = _Step(model_config, config, dtype, batch, trust_remote_code)
        except Exception:  # a method, or a base, whose tensors must have content
            continue
        files = sum(path.stat().st_size for path in _weight_files(base_folder))
        weights = step.weights(settings.quantize)
        # The files are mapped while they are read, and count as long as that.
        training = weights + step.training(settings)
        return resident + _LATER_BYTES + max(files, training)
    return None


class _Step:
    """One forward pass on tensors that have a size and nothing else."""

    def __init__(
        self,
        model_config: Any,
        peft_config: Any,
        dtype: torch.dtype,
        widest: Widest,
        trust_remote_code: bool,
    ) -> None:
        import torch
        from peft import get_peft_model
        from transformers import AutoModelForCausalLM

        self._widest, self._dtype = widest, dtype
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            base = AutoModelForCausalLM.from_config(
                model_config, dtype=dtype, trust_remote_code=trust_remote_code
            )
            self._model = get_peft_model(base, copy.deepcopy(peft_config)).train()
            self.kept, self._tokens = _kept(self._model, widest)
        self._config = model_config
        parameters = list(self._model.parameters())
        self._trained = sum(each.numel() for each in parameters if each.requires_grad)
        self._widths = [
            module.weight.shape for module in base.modules() if isinstance(module, torch.nn.Linear)
        ]

    def weights(self, quantize: Quantize) -> int:
        """Bytes of all parameters, in as many bits as they have."""
        import torch

        total = 0.0
        seen: set[int] = set()
        head = self._model.get_output_embeddings()
        for module in self._model.modules():
            few = type(module) is torch.nn.Linear and module is not head
            for name, parameter in module.named_parameters(recurse=False):
                if id(parameter) in seen:
                    continue
                seen.add(id(parameter))
                packed = few and name == "weight" and not parameter.requires_grad
                bits = _BITS.get(quantize) if packed else None
                total += parameter.numel() * (bits / 8 if bits else parameter.itemsize)
        return int(total)

    def training(self, settings: TrainingSettings) -> int:
        """Bytes besides the weights at the peak, where the backward pass begins."""
        from adapter_hub.training.loss import AT_ONCE

        item = self._dtype.itemsize
        vocabulary = self._model.get_output_embeddings().weight.shape[0]
        hidden = self._model.get_output_embeddings().weight.shape[1]
        layers = getattr(self._config, "num_hidden_layers", 1)
        # Beside their gradient, which is kept, and a few rows of them in float32.
        logits = self._widest.loss_tokens * vocabulary * item
        head = logits + 2 * 4 * AT_ONCE
        kept = self.kept
        if settings.checkpoint_activations:
            # One layer's activations at a time, and the gradients of them.
            layer = 2 * (kept - logits) // layers
            kept = layer + layers * self._tokens * hidden * item + logits
        widest = max((shape[0] for shape in self._widths[:-1]), default=hidden)
        moment = _FOR_A_MOMENT * self._tokens * widest * item
        if settings.quantize != "none":
            moment += 2 * max(shape.numel() for shape in self._widths[:-1]) * item
        return int(kept + max(head, moment) + self._trained * _OPTIMIZER)


def _kept(model: Any, widest: Widest) -> tuple[int, int]:
    """Bytes that autograd keeps of the widest batch, each storage once, and no parameter.

    And the tokens that it has, pads among them.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    storages: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storages[_storage(tensor)] = tensor  # held, so that no other storage gets its address
        return tensor

    # Tensors of the CPU without content, and not of the device "meta": kernels are chosen by it.
    with FakeTensorMode():
        named = [*model.named_parameters(), *model.named_buffers()]
        tensors = {
            name: torch.empty(each.shape, dtype=each.dtype, device="cpu").requires_grad_(
                each.requires_grad
            )
            for name, each in named
        }
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            of_loss = _loss_of(model, widest)
            loss = torch.func.functional_call(of_loss, _under("model.", tensors), ())
        for each in tensors.values():
            storages.pop(_storage(each), None)
        size = sum(each.untyped_storage().nbytes() for each in storages.values())
        del loss
    return size, of_loss.given["input_ids"].numel()


def _under(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": each for name, each in tensors.items()}


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _loss_of(model: Any, widest: Widest) -> Any:
    """A module whose call is the loss of the widest batch, computed as the training loop does."""
    import torch

    from adapter_hub.training.fused_lora import FusedLora
    from adapter_hub.training.fused_norm import FusedNorms
    from adapter_hub.training.loss import summed_cross_entropy
    from adapter_hub.training.packed_rows import can_pack, of_size
    from adapter_hub.training.short_attention import ShortAttention

    ShortAttention(model)
    FusedNorms(model)
    packs = can_pack(model, FusedLora(model).layers) and widest.packed

    def select(_module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *rest = arguments
        return (hidden.reshape(-1, hidden.shape[-1])[: widest.loss_tokens], *rest)

    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            if packs:
                self.given = of_size(widest.rows, widest.length, widest.packed).as_input()
            else:
                shape = (widest.rows, widest.length)
                self.given = {"input_ids": torch.zeros(shape, dtype=torch.long, device="cpu")}

        def forward(self) -> torch.Tensor:
            logits = self.model(**self.given, use_cache=False).logits
            targets = torch.zeros(len(logits), dtype=torch.long, device="cpu")
            return summed_cross_entropy(logits, targets)

    model.get_output_embeddings().register_forward_pre_hook(select)
    return Loss()


def _weight_files(folder: Path) -> list[Path]:
    from adapter_hub.loading.identity import weight_files

    return weight_files(folder)


def _resident() -> int:
    """Bytes of this process now: the run's own has the same things imported and read."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return _RUNTIME_BYTES
