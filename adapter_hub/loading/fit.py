"""Does an adapter fit a base? Told from the headers of both, without loading either.

What PEFT tells in a page of size mismatches, or warns of, or passes over in silence, is a sentence
here. Where the headers cannot tell, that is said: a misfit is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from adapter_hub.loading.findings import Findings, Fit, listed
from adapter_hub.loading.heads import AdapterHead, BaseHead
from adapter_hub.loading.lora_fit import compare_lora
from adapter_hub.loading.modules import Modules
from adapter_hub.loading.targets import Targets

PREFIX = "base_model.model."
"""What PEFT puts before the names of a base's modules."""

# Methods of PEFT 0.21 that keep a weight under the name of the module that it changes.
_BY_MODULE = """ADALORA ADAMSS BEFT BOFT C3A DEFT DELORA FOURIERFT FROD GLORA GRALORA HIRA HRA IA3 LILY
LN_TUNING LOHA LOKR MISS OFT OSF PEANUT POLY PSOFT PVERA RANDLORA ROAD SHIRA SUPERTUNING TINYLORA
TRAINABLE_TOKENS UNILORA VBLORA VERA WAVEFT"""
_PROMPTS = ("PROMPT_TUNING", "P_TUNING")


def compare(adapter: AdapterHead, base: BaseHead) -> Fit:
    """What of ``adapter`` does not fit ``base``, and what could not be told."""
    findings = Findings()
    task = adapter.config.get("task_type")
    if task not in (None, "CAUSAL_LM"):
        findings.unchecked(f"everything: it is for the task {task}, not a causal language model")
        return findings.fit()
    modules = Modules(base)
    try:
        _compare(adapter, modules, findings)
    except (ValueError, OverflowError, RecursionError, re.error) as error:
        # The last three are of patterns.
        findings.misfit(f"its adapter_config.json cannot be used: {error}")
    return findings.fit()


def _compare(adapter: AdapterHead, modules: Modules, findings: Findings) -> None:
    kind = str(adapter.config.get("peft_type", "")).upper()
    targets = Targets(adapter.config, modules.linear())
    _grow(adapter, modules, findings)
    if modules.quantised:
        findings.unchecked("shapes: the base is quantised")
    if kind == "LORA":
        compare_lora(adapter, modules, targets, findings, PREFIX)
    elif kind in _BY_MODULE.split():
        _compare_names(adapter.tensors, modules, targets, findings)
        findings.unchecked(f"the shapes of {kind}'s weights")
    elif kind in _PROMPTS:
        _compare_width(adapter, modules, findings)
    else:
        findings.unchecked(f"everything that the method {kind or '(none)'} does")


def _grow(adapter: AdapterHead, modules: Modules, findings: Findings) -> None:
    """PEFT gives the base the rows that the adapter's own tokenizer needs, if it brings one."""
    tokens = adapter.count_tokens()
    if tokens is None:
        findings.unchecked("vocabulary rows: its tokenizer has no tokenizer.json")
        modules.open_vocabulary = True
        return
    if modules.rows is None or tokens <= modules.rows:
        return
    added = tokens - modules.rows
    modules.grow(tokens)
    embedding = f"{modules.embedding}."
    if not any(embedding in name for name in adapter.tensors):
        findings.unchecked(
            f"whether the {added} tokens that its tokenizer adds are used: it has no rows for them"
        )


def _compare_names(
    tensors: Iterable[str], modules: Modules, targets: Targets, findings: Findings
) -> None:
    """Find weights of modules that are not there, where the rest of the name could be anything."""
    last_parts = {word.rpartition(".")[2] for word in targets.words}
    for name in tensors:
        if not name.startswith(PREFIX):
            continue
        parts = name.removeprefix(PREFIX).split(".")
        known = 0
        while known < len(parts) and ".".join(parts[: known + 1]) in modules.names:
            known += 1
        if known == len(parts):
            continue
        module = ".".join(parts[: known + 1])
        if modules.lacks_layer(module):
            findings.misfit(
                f"it has weights for {{}}, in layers that the base does not have{_layers(modules)}",
                module,
            )
        elif parts[known] in last_parts and modules.named_alike:
            findings.misfit("it has weights for {}, which the base does not have", module)
    if targets.told and modules.named_alike and not any(map(targets.has, modules.names)):
        findings.misfit(f"the base has none of its target_modules: {listed(targets.words)}")


def _layers(modules: Modules) -> str:
    return f" (it has {modules.layers})" if modules.layers else ""


def _compare_width(adapter: AdapterHead, modules: Modules, findings: Findings) -> None:
    """A learned prompt is as wide as the base's embedding."""
    shape = adapter.tensors.get("prompt_embeddings")
    width = modules.weight(modules.embedding)[-1:] if modules.embedding else None  # type: ignore[index]
    if not shape or not width:
        findings.unchecked("the width of its prompt")
    elif shape[-1:] != width:
        findings.misfit(f"its prompt is {shape[-1]} wide, and the base's embedding {width[0]}")


def described(fit: Fit) -> str:
    """The misfits as one sentence's end."""
    shown = "; ".join(fit.misfits[:5])
    return shown + (f"; and {len(fit.misfits) - 5} more" if len(fit.misfits) > 5 else "")


def as_object(reference: str, base: str, fit: Fit) -> dict[str, Any]:
    """What ``check --json`` prints."""
    return {
        "reference": reference,
        "base": base,
        "fits": not fit.misfits,
        "misfits": list(fit.misfits),
        "unchecked": list(fit.unchecked),
    }
