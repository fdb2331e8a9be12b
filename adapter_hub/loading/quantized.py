"""A base's weights in four or eight bits, by bitsandbytes.

Four bits are NF4 with its constants quantised again, as in QLoRA (Dettmers et al. 2023,
arXiv:2305.14314), eight are LLM.int8() (Dettmers et al. 2022, arXiv:2208.07339). The output head
and whatever is no linear layer stay as they are.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import BaseModelError, UsageError
from adapter_hub.model import Quantize

if TYPE_CHECKING:
    import torch


def require_bitsandbytes(quantize: Quantize) -> None:
    """Raises UsageError where it is needed and not installed. Imports nothing."""
    if quantize != "none" and importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError(
            f"a base in {quantize.removesuffix('bit')} bits needs bitsandbytes, which is not installed.",
            hint="pip install bitsandbytes",
        )


def quantization_config(quantize: Quantize, dtype: torch.dtype, model_config: Any) -> Any:
    """What ``from_pretrained`` takes for ``quantize``; None for none.

    Raises BaseModelError for a base that has quantised weights already.
    """
    if quantize == "none":
        return None
    from transformers import BitsAndBytesConfig

    if getattr(model_config, "quantization_config", None) is not None:
        raise BaseModelError(
            "the base's weights are quantised already, and cannot be once more.",
            hint="train without --quantize",
        )
    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def keep_format(model: Any) -> None:
    """Have 4-bit layers on a CPU stay what they are.

    In evaluation mode bitsandbytes (0.50) packs them for faster multiplications, for good, rounds
    their constants to bfloat16 by it, and fails for rows shorter than a block: training would go on
    with another base after each look at the held-out rows.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
