"""What peft's source does not tell of its methods: what is good to know, what goes without saying.

A method that is not named here, such as one of a newer peft, is offered all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SUMMARIES: Mapping[str, str] = {
    "adalora": "LoRA that moves its ranks to where they matter while it trains",
    "adamss": "updates in adaptively chosen subspaces of each weight; needs scikit-learn",
    "adaption_prompt": "LLaMA-Adapter: learned prompts with gates in the upper layers",
    "beft": "trains the biases of the attention's values alone",
    "boft": "orthogonal updates as butterflies of small rotations",
    "c3a": "circular convolutions: full-rank updates from few parameters",
    "cartridge": "a learned cache of keys and values in front of the prompt",
    "cpt": "context-aware prompt tuning, from tokens given as context",
    "deft": "decomposed updates that also remove directions from a weight",
    "delora": "LoRA with the length of the update bounded and learned apart",
    "fourierft": "a few learned coefficients of each update's Fourier transform",
    "frod": "full-rank updates by rotations that the layers share",
    "glora": "LoRA with learned scales and shifts of weights, biases and inputs",
    "gralora": "LoRA in blocks: finer updates for the same number of parameters",
    "hira": "Hadamard products of the weight with low-rank factors: high-rank updates",
    "hra": "chains of Householder reflections: orthogonal and low-rank",
    "ia3": "learned scales of keys, values and feed-forward activations",
    "lily": "low-rank factors that the layers share and mix",
    "ln_tuning": "trains the layer norms alone",
    "loha": "Hadamard products of two low-rank updates",
    "lokr": "Kronecker products of small factors",
    "miss": "updates shared over shards of a weight; fast, little memory",
    "multitask_prompt_tuning": "one learned prompt for several tasks",
    "oft": "orthogonal updates, in blocks",
    "osf": "trains the weights in directions that the base hardly uses",
    "p_tuning": "virtual tokens in front of the prompt, from a small encoder",
    "peanut": "small networks on the weights make the updates",
    "poly": "LoRA skills that each task mixes in its own way",
    "prefix_tuning": "learned keys and values in front of every layer",
    "prompt_tuning": "learned virtual tokens in front of the prompt",
    "psoft": "orthogonal updates in the principal subspace of each weight",
    "pvera": "VeRA with learned random variations",
    "randlora": "full-rank updates from learned sums of random matrices",
    "road": "learned rotations of the outputs, two by two",
    "shadow": "a small network beside the base that reads and corrects its states",
    "shira": "trains a few single weights of each layer",
    "supertuning": "very few parameters on the attention's inner states",
    "tinylora": "a handful of parameters through random projections",
    "trainable_tokens": "trains the embeddings of single tokens",
    "unilora": "one vector, shared out over all layers",
    "vblora": "updates put together from a bank of shared vectors",
    "vera": "learned scales of random matrices that all layers share",
    "waveft": "a few learned coefficients of each update's wavelet transform",
    "xlora": "mixes LoRA adapters that are trained already",
}
"""One line for ``adapter-hub methods``."""

CANNOT: Mapping[str, str] = {
    "multitask_prompt_tuning": "its prompts go by the number of a task, which rows of text do not have",
    "poly": "it chooses among its skills by the number of a task, which rows of text do not have",
    "xlora": "it mixes adapters that are trained already, and trains no other",
}
"""Methods that no rows of text can train, and why."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "adaption_prompt": ("adapter_len", "adapter_layers"),
    "trainable_tokens": ("token_indices",),
}
"""Options that peft gives no default that works."""

_VIRTUAL_TOKENS = ("cartridge", "p_tuning", "prefix_tuning", "prompt_tuning")
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    name: {"num_virtual_tokens": 20} for name in _VIRTUAL_TOKENS
}
"""Defaults of ours where peft has none that works."""

HIDDEN = frozenset(
    {
        # Read off the base by get_peft_model.
        *("token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers"),
        # For models built by Megatron, which cannot be a base here.
        *("megatron_config", "megatron_core"),
        # Passes over data before training, which these methods would need.
        *("arrow_config", "corda_config", "eva_config", "loftq_config", "lora_ga_config"),
        # Only in memory; peft never saves it.
        "runtime_config",
        # The run's own length.
        "total_step",
    }
)
"""Fields that no recipe sets."""

HOOKS: Mapping[str, str] = {
    "adalora": "adapter_hub_peft.allocation:AdaLoraHooks",
    "adamss": "adapter_hub_peft.allocation:AdamssHooks",
}
"""Methods that take part in the training loop."""
