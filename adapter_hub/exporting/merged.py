"""``merged``: the base with the adapter in its weights, a plain folder of transformers.

Merged is in float32; then the weights get the number type that most of the base's have. The folder
is loaded again and must say what the adapter on its base says, but for two things: the noise of
float32, and what rounding the merged weights to that type changes, which is measured on the same
model in memory before it is written. So a merge that is wrong, and a file that is, are both seen.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import BaseModelError, IncompatibleError
from adapter_hub.exporting.export import Written
from adapter_hub.loading.adapters import Opened, load
from adapter_hub.loading.dtype import choose_device
from adapter_hub.loading.folders import TOKENIZER_FILES, recorded
from adapter_hub.loading.heads import TOKENIZER_CONFIG
from adapter_hub.loading.hub import first_line
from adapter_hub.loading.identity import read_json, safetensors_header, weight_files
from adapter_hub.loading.logits import largest_difference, logits, noise_of, probes
from adapter_hub.loading.plain_lora import unmergeable
from adapter_hub.loading.private import without_paths

if TYPE_CHECKING:
    import torch

# Of peft 0.21. What others fail at is told when they do.
_UNMERGEABLE = """ADAPTION_PROMPT BEFT CARTRIDGE CPT LILY MULTITASK_PROMPT_TUNING PREFIX_TUNING
PROMPT_TUNING P_TUNING POLY SHADOW XLORA"""
_DTYPES = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}


def check_mergeable(reference: str, config: Mapping[str, Any]) -> None:
    """Raises IncompatibleError for a method that changes more than the base's weights."""
    kind = str(config.get("peft_type", "")).upper()
    why = unmergeable(config)
    if kind in _UNMERGEABLE.split():
        why = f"{kind} does not work by changing the base's weights"
    if why:
        raise IncompatibleError(
            f"{reference} cannot be merged: {why}.", hint=f"adapter-hub run {reference}"
        )


def write_merged(opened: Opened, folder: Path, say: Callable[[str], None]) -> Written:
    """Merge, save, load again and compare. Raises IncompatibleError, BaseModelError, OSError."""
    import torch

    _check_base(opened)
    stored = _stored_dtype(opened.base_folder)
    bits = recorded(recorded(opened.record, "recipe"), "training").get("quantize")
    if bits not in (None, "none"):
        say(f"it was trained over the base in {bits}; it is merged into the full weights")
    model, _ = load(opened, torch.float32)
    sequences = probes(model, opened.config)
    wanted = logits(model, sequences)
    _own_head(model)
    merged = _merge(opened, model)
    del model
    exact = logits(merged, sequences)
    _round(merged, stored)
    _save(opened, merged, folder)
    _round(merged, torch.float32)
    rounding = largest_difference(exact, logits(merged, sequences))
    del merged
    difference = largest_difference(wanted, logits(_reload(opened, folder), sequences))
    tolerance = noise_of(wanted) + rounding
    if not difference <= tolerance:
        raise IncompatibleError(
            f"{opened.reference} merged says something else than on its base: the largest difference "
            f"of their logits is {difference:.2g}, and {tolerance:.2g} may be; nothing was written.",
            hint=f"use it unmerged: adapter-hub run {opened.reference}",
        )
    name = str(stored).removeprefix("torch.")
    say(
        f"merged in float32, stored in {name} as the base is; loaded again, its logits differ by "
        f"{difference:.2g} at most ({tolerance:.2g} may be: {rounding:.2g} of it is rounding to {name})"
    )
    return Written(difference, tolerance)


def _check_base(opened: Opened) -> None:
    base = f"base {opened.base.name!r}"
    if opened.base.trust_remote_code:
        raise IncompatibleError(
            f"{opened.reference} cannot be merged: {base} is loaded by code of its own.",
            hint=f"adapter-hub run {opened.reference}",
        )
    if read_json(opened.base_folder / "config.json").get("quantization_config"):
        raise IncompatibleError(
            f"{opened.reference} cannot be merged: the weights of {base} are quantised.",
            hint="merge it on the same base with full weights",
        )


def _stored_dtype(folder: Path) -> torch.dtype:
    """The number type of most of the base's weights, as its files have them."""
    import torch

    sizes: dict[str, int] = {}
    for path in weight_files(folder):
        for entry in safetensors_header(path)[0].values():
            start, end = entry["data_offsets"]
            sizes[entry["dtype"]] = sizes.get(entry["dtype"], 0) + end - start
    kind = max(sizes, key=lambda each: sizes[each])
    if kind not in _DTYPES:
        raise IncompatibleError(
            f"the base in {folder} has weights of type {kind}, which nothing is merged into.",
            hint="use the base with full weights",
        )
    dtype: torch.dtype = getattr(torch, _DTYPES[kind])
    return dtype


def _own_head(model: Any) -> None:
    """Give the head a table of its own where it shares the embedding's: one of both may change."""
    import torch

    base = model.get_base_model()
    head, table = base.get_output_embeddings(), base.get_input_embeddings()
    holder = getattr(head, "base_layer", head)
    if holder is not None and getattr(holder, "weight", None) is _weight(table):
        holder.weight = torch.nn.Parameter(holder.weight.detach().clone(), requires_grad=False)


def _weight(module: Any) -> Any:
    return getattr(getattr(module, "base_layer", module), "weight", None)


def _merge(opened: Opened, model: Any) -> Any:
    """The base's own model class with merged weights. Raises IncompatibleError."""
    import torch

    tied = bool(getattr(model.get_base_model().config, "tie_word_embeddings", False))
    try:
        with warnings.catch_warnings():
            # PEFT's words on tables that are, or were, shared; which of them differ is asked below.
            warnings.filterwarnings("ignore", message="Input and output embeddings")
            warnings.filterwarnings("ignore", message="Model with `tie_word_embeddings")
            merged = model.merge_and_unload(safe_merge=True)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise IncompatibleError(
            f"{opened.reference} cannot be merged: {first_line(error)}",
            hint=f"adapter-hub run {opened.reference}",
        ) from error
    head, table = merged.get_output_embeddings(), merged.get_input_embeddings()
    if tied and head is not None:
        same = head.weight.shape == table.weight.shape and torch.equal(head.weight, table.weight)
        if same:
            head.weight = table.weight
        merged.config.tie_word_embeddings = same
    return merged


def _round(model: Any, dtype: torch.dtype) -> None:
    """Weights to ``dtype``. Buffers stay: the rotary frequencies among them are never stored."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def _save(opened: Opened, model: Any, folder: Path) -> None:
    # Paths of this machine, and what PEFT leaves behind.
    model.config._name_or_path = ""
    model.save_pretrained(folder)
    generation = opened.base_folder / "generation_config.json"
    if generation.is_file():
        (folder / generation.name).write_bytes(generation.read_bytes())
    assert opened.folder is not None
    own = (opened.folder / TOKENIZER_CONFIG).is_file()
    source = opened.folder if own else opened.base_folder
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            (folder / name).write_bytes((source / name).read_bytes())
    if (folder / TOKENIZER_CONFIG).is_file():
        kept = without_paths(read_json(folder / TOKENIZER_CONFIG))
        if kept is not None:
            (folder / TOKENIZER_CONFIG).write_bytes(kept)
    config = read_json(folder / "config.json")
    if config.pop("_name_or_path", None) is not None:
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        (folder / "config.json").write_text(text, encoding="utf-8")


def _reload(opened: Opened, folder: Path) -> Any:
    """What anybody gets from the folder with transformers alone, in float32."""
    import torch

    from adapter_hub.loading.bases import load_model

    try:
        return load_model(folder, torch.float32).to(choose_device()).eval()
    except BaseModelError as error:
        raise IncompatibleError(
            f"{opened.reference} merged cannot be loaded again: {error.message}",
            hint=f"use it unmerged: adapter-hub run {opened.reference}",
        ) from error
