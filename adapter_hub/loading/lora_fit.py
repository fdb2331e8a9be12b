"""LoRA's weights against the modules of a base: names, ranks, shapes, and what is missing.

Names and shapes are those of peft 0.21: ``lora_A.weight`` [rank, inputs], ``lora_B.weight``
[outputs, rank], for embeddings ``lora_embedding_A`` [rank, rows] and ``lora_embedding_B``
[width, rank], and DoRA's ``lora_magnitude_vector`` [outputs] (peft/tuners/lora/layer.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapter_hub.loading.findings import Findings, listed
from adapter_hub.loading.heads import AdapterHead, Shape
from adapter_hub.loading.modules import Modules
from adapter_hub.loading.targets import Targets, names

Parts = dict[str, Shape]
_PART = re.compile(r"(.+?)\.(lora_[A-Za-z]\w*(?:\.\w+)*)")
_TOKEN_ROWS = "token_adapter.trainable_tokens_delta"
_OTHER_SHAPES = ("use_qalora", "use_bdlora")
"""Variants whose matrices have shapes of their own."""
_OWN_PARTS = ("monteclora_config", "arrow_config", "velora_config")
"""Variants with more weights than are known here."""


def compare_lora(
    adapter: AdapterHead, modules: Modules, targets: Targets, findings: Findings, prefix: str
) -> None:
    """Add to ``findings`` what of a LoRA adapter does not fit. Raises ValueError."""
    _Comparison(adapter.config, modules, targets, findings).run(adapter.tensors, prefix)


class _Comparison:
    def __init__(
        self, config: Mapping[str, Any], modules: Modules, targets: Targets, findings: Findings
    ) -> None:
        self._config = config
        self._modules = modules
        self._targets = targets
        self._found = findings
        self._variants = [key for key in (*_OTHER_SHAPES, *_OWN_PARTS) if config.get(key)]
        self._experts = [each.rpartition(".")[0] for each in names(config, "target_parameters")]

    def run(self, tensors: Mapping[str, Shape], prefix: str) -> None:
        if self._config.get("layer_replication"):
            self._found.unchecked("everything: its configuration repeats layers of the base")
            return
        pairs: dict[str, Parts] = {}
        whole: Parts = {}
        for name, shape in tensors.items():
            inner = name.removeprefix(prefix)
            part = _PART.fullmatch(inner)
            if inner == name:
                self._found.misfit("it has a weight that PEFT does not name so: {}", name)
            elif part:
                pairs.setdefault(part[1], {})[part[2]] = shape
            else:
                whole[inner.replace(".base_layer.", ".")] = shape
        for module, parts in pairs.items():
            self._compare_module(module, parts)
        self._compare_whole(whole)
        self._compare_token_rows(whole)
        self._find_missing(set(pairs), whole)
        if self._variants:
            self._found.unchecked(f"what {listed(self._variants)} adds")

    # One module's matrices ---------------------------------------------------------------

    def _compare_module(self, module: str, parts: Parts) -> None:
        if self._is_of_experts(module):
            self._found.unchecked("the weights of target_parameters")
        elif module not in self._modules.leaves:
            self._absent(module)
        elif self._targets.told and not self._targets.has(module) and not self._is_tied(module):
            self._found.misfit(
                "it has weights for {}, which its target_modules do not mean", module
            )
        else:
            self._compare_parts(module, parts, self._expected(module, parts))

    def _absent(self, module: str) -> None:
        layers = self._modules.layers
        if self._modules.lacks_layer(module):
            have = f" (it has {layers})" if layers else ""
            text = f"it has weights for {{}}, in layers that the base does not have{have}"
            self._found.misfit(text, module)
        elif self._modules.named_alike:
            self._found.misfit("it has weights for {}, which the base does not have", module)
        else:
            text = "{}, not named in the base's files, whose names transformers may change"
            self._found.unchecked(text, module)

    def _expected(self, module: str, parts: Parts) -> dict[str, Shape | None]:
        """Its weights by name with their shapes; no shape where it cannot be told."""
        rank, weight = self._rank(module), self._modules.weight(module)
        expected: dict[str, Shape | None]
        if "lora_embedding_A" in parts or self._modules.is_embedding(module):
            rows, width = weight if weight and len(weight) == 2 else (None, None)
            expected = {
                "lora_embedding_A": _shape(rank, rows),
                "lora_embedding_B": _shape(width, rank),
            }
            magnitude = _shape(width)
        else:
            inputs, outputs = self._modules.features(module) or (None, None)
            expected = {
                "lora_A.weight": _shape(rank, inputs),
                "lora_B.weight": _shape(outputs, rank),
            }
            magnitude = _shape(outputs)
            if self._config.get("lora_bias"):
                expected["lora_B.bias"] = _shape(outputs)
        if self._config.get("use_dora"):
            expected["lora_magnitude_vector"] = magnitude
        if self._config.get("kasa_config"):
            expected["lora_diag"] = _shape(rank)
        if any(self._config.get(key) for key in _OTHER_SHAPES):
            return dict.fromkeys(expected)
        return expected

    def _rank(self, module: str) -> int:
        rank = self._targets.rank(module)
        if type(rank) is not int:
            raise ValueError(f"its rank is {rank!r}, not a number")
        return rank

    def _compare_parts(
        self, module: str, parts: Parts, expected: Mapping[str, Shape | None]
    ) -> None:
        if not any(self._config.get(key) for key in _OWN_PARTS):
            for part in sorted(parts.keys() - expected.keys()):
                text = f"it has {part} for {{}}, which its configuration does not call for"
                self._found.misfit(text, module)
        for part in sorted(expected.keys() - parts.keys()):
            self._found.misfit(f"it lacks {part} for {{}}", module)
        for part, shape in expected.items():
            if shape is not None and part in parts and parts[part] != shape:
                self._found.misfit(_difference(part, parts[part], shape), module)

    # Weights that are saved as they are --------------------------------------------------

    def _compare_whole(self, whole: Parts) -> None:
        """Embeddings, biases and modules_to_save: the base's own parameters, trained."""
        for name, shape in whole.items():
            module = name.rpartition(".")[0]
            if name.endswith(f".{_TOKEN_ROWS}"):
                continue
            there = self._modules.parameters.get(name)
            if there is None:
                self._absent_parameter(name, module)
            elif shape == there or self._modules.weight(module) is None:
                continue
            elif module in (self._modules.embedding, self._modules.head) and (
                shape[1:] == there[1:]
            ):
                self._other_rows(shape[0], there[0], module)
            else:
                text = (
                    f"its own {_tail(name)} is {list(shape)} and the base's {list(there)}, of {{}}"
                )
                self._found.misfit(text, module)

    def _absent_parameter(self, name: str, module: str) -> None:
        if module not in self._modules.names:
            self._absent(module)
        elif self._modules.named_alike and not self._targets.saves_whole(module):
            text = f"it has {_tail(name)} of {{}}, which the base does not have"
            self._found.misfit(text, module)

    def _other_rows(self, rows: int, there: int, module: str) -> None:
        why = "" if rows < there else ", and it brings no tokenizer with so many tokens"
        text = f"it has {rows} vocabulary rows and the base has {there}{why}, in {{}}"
        self._found.misfit(text, module)

    def _compare_token_rows(self, whole: Parts) -> None:
        """``trainable_token_indices``: which rows, and that each has its weights."""
        told = self._config.get("trainable_token_indices")
        if not told:
            return
        table = told if isinstance(told, dict) else {self._modules.embedding or "": told}
        for word, indices in table.items():
            if not isinstance(indices, list) or not all(type(each) is int for each in indices):
                raise ValueError("trainable_token_indices is not a list of numbers")
            rows = self._modules.rows
            if rows is not None and indices and max(indices) >= rows:
                text = f"it trains token {max(indices)}, and the base has {rows} vocabulary rows"
                self._found.misfit(text)
            for name, shape in whole.items():
                module = name.removesuffix(f".{_TOKEN_ROWS}")
                if module == name or not module.endswith(word):
                    continue
                weight = self._modules.weight(module)
                expected = (len(indices), weight[1]) if weight else shape
                if shape != expected:
                    text = f"its token rows are {list(shape)} and not {list(expected)}, in {{}}"
                    self._found.misfit(text, module)

    # What ought to be there --------------------------------------------------------------

    def _find_missing(self, pairs: set[str], whole: Parts) -> None:
        targets, modules = self._targets, self._modules
        if targets.told and not self._experts:
            if not any(map(targets.has, modules.leaves)):
                if modules.named_alike and targets.words:
                    words = listed(targets.words)
                    self._found.misfit(f"the base has none of its target_modules: {words}")
            elif modules.named_alike:
                self._lacking(module for module in modules.leaves - pairs if targets.has(module))
        if modules.named_alike:
            for word in targets.saved_whole:
                meant = sorted(name for name in modules.names if name.endswith(word))
                for name in meant:
                    if not any(each.startswith(f"{name}.") for each in whole):
                        self._found.misfit(
                            "it has no weights for {}, which its modules_to_save mean", name
                        )

    def _lacking(self, missing: Any) -> None:
        for module in sorted(missing):
            if not self._is_tied(module):
                self._found.misfit(
                    "it has no weights for {}, which its target_modules mean", module
                )

    def _is_tied(self, module: str) -> bool:
        """Whether PEFT may keep its weights in step with those of the embedding."""
        both = (self._modules.embedding, self._modules.head)
        return bool(self._config.get("ensure_weight_tying")) and module in both

    def _is_of_experts(self, module: str) -> bool:
        inner = module
        while inner.endswith(".base_layer"):
            inner = inner.removesuffix(".base_layer")
        return any(inner == each or inner.endswith(f".{each}") for each in self._experts)


def _shape(*sizes: int | None) -> Shape | None:
    known = [size for size in sizes if size is not None]
    return tuple(known) if len(known) == len(sizes) else None


def _difference(part: str, shape: Shape, expected: Shape) -> str:
    """How a matrix differs from what the base and the configuration ask for."""
    ranks = {"lora_A.weight": 0, "lora_embedding_A": 0, "lora_B.weight": 1, "lora_embedding_B": 1}
    place = ranks.get(part)
    if place is None or len(shape) != 2:
        return f"{part} is {list(shape)} and ought to be {list(expected)}, for {{}}"
    if shape[place] != expected[place]:
        return (
            f"its configuration says rank {expected[place]} and its weights have rank "
            f"{shape[place]}, for {{}}"
        )
    what = {
        "lora_A.weight": "inputs",
        "lora_B.weight": "outputs",
        "lora_embedding_A": "vocabulary rows",
        "lora_embedding_B": "dimensions",
    }[part]
    return f"it has {shape[1 - place]} {what} and the base {expected[1 - place]}, for {{}}"


def _tail(name: str) -> str:
    return name.rpartition(".")[2]
