"""LoRA and nothing besides: what llama.cpp and vLLM compute, ``W x + scale * B A x`` (Hu et al. 2021,
arXiv:2106.09685, section 4.1), for linear layers only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapter_hub.errors import IncompatibleError
from adapter_hub.loading.findings import several
from adapter_hub.loading.fit import PREFIX
from adapter_hub.loading.heads import AdapterHead
from adapter_hub.loading.targets import Targets

_PART = re.compile(r"(.+)\.lora_(A|B)\.weight")
_SPECIAL = {
    "use_dora": "its method is DoRA",
    "lora_bias": "it has biases beside its matrices (lora_bias)",
    "modules_to_save": "it brings whole modules (modules_to_save)",
    "trainable_token_indices": "it brings rows of the embedding (trainable_token_indices)",
    "target_parameters": "it changes parameters that are no linear layers (target_parameters)",
    "use_qalora": "its method is QALoRA",
    "use_bdlora": "its method is BD-LoRA",
    "kasa_config": "its method is KaSA",
    "monteclora_config": "its method is MonteCLoRA",
    "arrow_config": "its method is Arrow",
    "velora_config": "its method is VeLoRA",
    "megatron_config": "it is of Megatron's layers",
}
"""Fields of peft 0.21's LoraConfig that mean more than plain LoRA, which readers pass over."""
_UNMERGEABLE = {
    "alora_invocation_tokens": "it acts only after its invocation tokens (aLoRA)",
    "layer_replication": "it repeats layers of the base (layer_replication)",
}
_HARMLESS_STARTS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
"""Values of init_lora_weights after which the base is as it was when PEFT loads the adapter.

The others (PiSSA, OLoRA, CorDA, LoftQ) have PEFT change the base too: ``pissa_init`` and its like
in peft/tuners/lora/layer.py.
"""


@dataclass(frozen=True)
class Pair:
    """One module's matrices, by name: A [rank, inputs] and B [outputs, rank], and their scale."""

    module: str
    a: str
    b: str
    rank: int
    outputs: int
    scale: float


def check_plain(reference: str, head: AdapterHead, reader: str, merged: str) -> None:
    """Raises IncompatibleError for an adapter that is not plain LoRA, which ``reader`` needs.

    ``merged`` is the command that exports it merged, for what can be merged.
    """
    why = unmergeable(head.config)
    if why:
        raise IncompatibleError(
            f"{reference} cannot be used by {reader}: {why}.", hint=f"adapter-hub run {reference}"
        )
    why = _not_plain(head.config) or _other_tensors(head)
    if why:
        raise IncompatibleError(
            f"{reference} cannot be used by {reader}, which knows plain LoRA only: {why}.",
            hint=merged,
        )


def unmergeable(config: Mapping[str, Any]) -> str | None:
    """What LoRA's configuration asks for that no other weights of the base can do, or None."""
    return next((text for key, text in _UNMERGEABLE.items() if config.get(key)), None)


def pairs(head: AdapterHead) -> list[Pair]:
    """The matrices of a plain adapter by module. Raises IncompatibleError for what makes no sense."""
    try:
        return list(_pairs(head))
    except (KeyError, ValueError, OverflowError, re.error) as error:
        raise IncompatibleError(f"the adapter's files cannot be used: {error}.") from None


def _pairs(head: AdapterHead) -> Iterator[Pair]:
    targets = Targets(head.config, ())
    for a in sorted(head.tensors):
        part = _PART.fullmatch(a)
        if part is None or part[2] != "A":
            continue
        b = f"{part[1]}.lora_B.weight"
        module = part[1].removeprefix(PREFIX)
        if b not in head.tensors:
            raise ValueError(f"{b} is missing")
        (rank, _), (outputs, columns) = head.tensors[a], head.tensors[b]
        if not rank == columns == targets.rank(module):
            raise ValueError(f"the ranks of {module} differ")
        yield Pair(module, a, b, rank, outputs, targets.scale(module))


def _not_plain(config: Mapping[str, Any]) -> str | None:
    kind = str(config.get("peft_type", "")).upper()
    if kind != "LORA":
        return f"its method is {kind or '(none)'}"
    for key, text in _SPECIAL.items():
        if config.get(key):
            return text
    if config.get("bias") not in (None, "none"):
        return f"it brings biases of the base (bias = {config['bias']!r})"
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower() not in _HARMLESS_STARTS:
        return f"it belongs to a base that PEFT changes first (init_lora_weights = {start!r})"
    return None


def _other_tensors(head: AdapterHead) -> str | None:
    names = [
        name
        for name, shape in head.tensors.items()
        if not (_PART.fullmatch(name) and name.startswith(PREFIX) and len(shape) == 2)
    ]
    if any(".lora_embedding_" in name for name in names):
        return "it adapts the embedding"
    return f"it has other weights: {several(names)}" if names else None
