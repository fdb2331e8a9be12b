"""``vllm``: the adapter as vLLM loads it, and the line that serves it.

vLLM takes PEFT's format (vllm/lora/peft_helper.py of 0.32), and before 0.32 passed over the ranks
and alphas that ``rank_pattern`` and ``alpha_pattern`` give to single modules. So they are written
out: matrices of lower ranks get rows and columns of zeros, and their scales go into B.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapter_hub.errors import IncompatibleError
from adapter_hub.exporting.export import Written
from adapter_hub.exporting.fitting import require_fit
from adapter_hub.exporting.naming import short_name
from adapter_hub.loading.adapters import Opened, load
from adapter_hub.loading.folders import CONFIG, WEIGHTS
from adapter_hub.loading.heads import adapter_head, base_head
from adapter_hub.loading.logits import largest_difference, logits, noise_of, probes
from adapter_hub.loading.plain_lora import Pair, pairs
from adapter_hub.loading.private import is_path
from adapter_hub.loading.weights import Weights

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What ``--max-lora-rank`` can be: MaxLoRARanks in vllm/config/lora.py."""
_WITHOUT_LORA = "bloom falcon gpt2 gptj mamba mamba2 orion stablelm"
"""Model types whose classes in vLLM 0.32 are no SupportsLoRA."""
_ENDS = ("lm_head", "embed_tokens")


def write_vllm(opened: Opened, staging: Path, folder: Path, say: Callable[[str], None]) -> Written:
    """The adapter's two files. Raises IncompatibleError, BaseModelError, OSError."""
    assert opened.folder is not None
    head = adapter_head(opened.folder)
    found = pairs(head)
    _check(opened, found)
    config = dict(opened.config)
    if is_path(config.get("base_model_name_or_path")):
        config["base_model_name_or_path"] = None
    difference = tolerance = None
    patterned = any(config.get(key) for key in ("rank_pattern", "alpha_pattern"))
    if patterned:
        config = _convert(opened.folder, staging, config, found)
    else:
        (staging / WEIGHTS).write_bytes((opened.folder / WEIGHTS).read_bytes())
    (staging / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if patterned:
        difference, tolerance = _compare(opened, staging, config)
        say(f"ranks and alphas made equal; the logits differ by {difference:.2g} at most")
    name, rank = short_name(opened.reference), max(pair.rank for pair in found)
    allowed = next(each for each in RANKS if each >= rank)
    module = f"{name}={folder}"
    command = ["vllm", "serve", *_served_base(opened), "--enable-lora", "--lora-modules", module]
    command += ["--max-lora-rank", str(allowed)]
    return Written(difference, tolerance, [shlex.join(command)], module, allowed)


def _check(opened: Opened, found: list[Pair]) -> None:
    """Raises IncompatibleError for what vLLM would refuse, or pass over."""
    assert opened.folder is not None
    base = base_head(opened.base_folder)
    kind = str(base.config.get("model_type"))
    rank = max((pair.rank for pair in found), default=0)
    why = None
    if kind in _WITHOUT_LORA.split():
        why = f"vLLM takes no LoRA for bases of type {kind}"
    elif not found:
        why = "it has no weights"
    elif rank > RANKS[-1]:
        why = f"its rank is {rank}, and vLLM takes {RANKS[-1]} at most"
    elif any(pair.module.endswith(_ENDS) for pair in found):
        why = "it adapts the output head, which vLLM adapts for few models only"
    if why:
        raise IncompatibleError(
            f"{opened.reference} cannot be used by vLLM: {why}.",
            hint=f"adapter-hub export {opened.reference} DIR --format merged",
        )
    require_fit(opened, adapter_head(opened.folder), base)


def _convert(
    source: Path, target: Path, config: dict[str, Any], found: list[Pair]
) -> dict[str, Any]:
    """Write the matrices with one rank and a scale of 1; returns the configuration that says so."""
    import numpy as np
    from safetensors.numpy import save_file

    rank = max(pair.rank for pair in found)
    weights, tensors = Weights(source / WEIGHTS), {}
    for pair in found:
        more = rank - pair.rank
        a = np.pad(weights.read(pair.a), ((0, more), (0, 0)))
        b = np.pad(weights.read(pair.b) * pair.scale, ((0, 0), (0, more)))
        tensors[pair.a] = np.ascontiguousarray(a, np.float32)
        tensors[pair.b] = np.ascontiguousarray(b, np.float32)
    save_file(tensors, target / WEIGHTS, {"format": "pt"})
    return {
        **config,
        "r": rank,
        "lora_alpha": rank,
        "use_rslora": False,
        "rank_pattern": {},
        "alpha_pattern": {},
    }


def _compare(opened: Opened, folder: Path, config: dict[str, Any]) -> tuple[float, float]:
    """The largest difference of the logits, and what may be. Raises IncompatibleError."""
    import torch

    model, _ = load(opened, torch.float32)
    sequences = probes(model, opened.config)
    wanted = logits(model, sequences)
    del model
    model, _ = load(dataclasses.replace(opened, folder=folder, config=config), torch.float32)
    difference = largest_difference(wanted, logits(model, sequences))
    tolerance = noise_of(wanted)
    if not difference <= tolerance:
        raise IncompatibleError(
            f"{opened.reference} with equal ranks says something else: the largest difference of "
            f"the logits is {difference:.2g}, and {tolerance:.2g} may be; nothing was written.",
            hint=f"adapter-hub export {opened.reference} DIR --format merged",
        )
    return difference, tolerance


def _served_base(opened: Opened) -> list[str]:
    """What ``vllm serve`` is told of the base: a repository at its commit, else the local folder."""
    base = opened.base
    if base.source.kind != "hf" or base.remote is not None:
        return [str(opened.base_folder)]
    revision = ["--revision", base.revision] if base.revision else []
    return [base.source.location, *revision]
