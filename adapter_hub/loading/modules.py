"""The modules of a base, as its headers tell them and as the loaded model will name them."""

from __future__ import annotations

import re

from adapter_hub.loading.heads import BaseHead, Shape, Shapes

# Model types whose files name every module as transformers does, below the given first part, which
# files of the model without its head leave out. Of others (fused experts, renamed towers) a name
# that is not in the files proves nothing. A test compares this with transformers.
_BELOW_MODEL = """apertus arcee cohere cohere2 cwm ernie4_5 exaone4 gemma gemma2 gemma3_text glm glm4
granite helium hunyuan_v1_dense internlm3 llama ministral ministral3 mistral nemotron olmo olmo2 olmo3
opt persimmon phi phi3 qwen2 qwen3 seed_oss smollm3 stablelm starcoder2 xglm"""
_BELOW_TRANSFORMER = "bloom codegen falcon gpt2 gpt-sw3 gpt_bigcode gpt_neo gptj mpt"
NAMED_ALIKE = {
    **dict.fromkeys(_BELOW_MODEL.split(), "model"),
    **dict.fromkeys(_BELOW_TRANSFORMER.split(), "transformer"),
}
_HEAD = "lm_head"
_CONV1D = ("gpt2", "gpt-sw3", "openai-gpt", "imagegpt", "decision_transformer")
"""Model types whose projections are transformers' Conv1D: weights of [inputs, outputs]."""
_TOKENS = ("embed_tokens", "wte", "embed_in", "word_embeddings")
_EMBEDDINGS = (*_TOKENS, "wpe", "embed_positions", "position_embeddings")
_NUMBER = re.compile(r"\.(\d+)(?=\.|$)")


class Modules:
    """The modules of the base that ``head`` describes, under the names of the loaded model.

    ``parameters`` are the shapes of all its parameters by full name. ``named_alike`` says whether
    a name that is not among them is not in the model either. With an ``open_vocabulary`` nobody
    knows how many rows the embedding and the head will have.
    """

    def __init__(self, head: BaseHead) -> None:
        self._config = head.config
        self._type = str(head.config.get("model_type", ""))
        self.open_vocabulary = False
        self.quantised = bool(head.config.get("quantization_config"))
        self.named_alike = self._type in NAMED_ALIKE and not head.config.get("auto_map")
        self.parameters: Shapes = self._renamed(head.tensors)
        self.embedding = self._find_embedding()
        self.head = _HEAD
        if self.embedding and f"{self.head}.weight" not in self.parameters:
            # Tied to the embedding, or else the base could not be loaded.
            rows = self.parameters[f"{self.embedding}.weight"]
            self.parameters[f"{self.head}.weight"] = rows
        self.leaves = {name.rpartition(".")[0] for name in self.parameters}
        self.names = _with_parents(self.leaves)

    def grow(self, tokens: int) -> None:
        """Give the vocabulary more rows, as PEFT does for an adapter with a longer tokenizer."""
        for module in (self.embedding, self.head):
            for part in ("weight", "bias"):
                name = f"{module}.{part}"
                if name in self.parameters:
                    self.parameters[name] = (tokens, *self.parameters[name][1:])

    @property
    def rows(self) -> int | None:
        """The rows of the vocabulary; None where the files do not tell."""
        return self.parameters[f"{self.embedding}.weight"][0] if self.embedding else None

    @property
    def layers(self) -> int | None:
        """How many layers the configuration says it has."""
        for key in ("num_hidden_layers", "n_layer", "num_layers", "n_layers"):
            value = self._config.get(key)
            if type(value) is int:
                return value
        return None

    def weight(self, module: str) -> Shape | None:
        """The shape of its weight; None for one without, or where it cannot be told."""
        if self.quantised or (self.open_vocabulary and module in (self.embedding, self.head)):
            return None
        return self.parameters.get(f"{module}.weight")

    def features(self, module: str) -> tuple[int, int] | None:
        """(inputs, outputs) of a linear module; None where it is none, or cannot be told."""
        shape = self.weight(module)
        if shape is None or len(shape) != 2:
            return None
        transposed = self._type in _CONV1D and module != self.head
        return shape if transposed else (shape[1], shape[0])

    def is_embedding(self, module: str) -> bool:
        return module.rpartition(".")[2] in _EMBEDDINGS

    def linear(self) -> list[str]:
        """Every module that PEFT means by "all-linear": not the embeddings, and not the head."""
        return [
            module
            for module in sorted(self.leaves)
            if len(self.parameters.get(f"{module}.weight", ())) == 2
            and not self.is_embedding(module)
            and module != self.head
        ]

    def lacks_layer(self, module: str) -> bool:
        """Whether ``module`` is of a layer that the base does not have."""
        for number in _NUMBER.finditer(module):
            parent = module[: number.start()]
            if parent in self.names and f"{parent}.{number[1]}" not in self.names:
                return self.named_alike or int(number[1]) >= (self.layers or int(number[1]) + 1)
        return False

    def _renamed(self, tensors: Shapes) -> Shapes:
        first = NAMED_ALIKE.get(self._type)
        if first is None or any(name.startswith(f"{first}.") for name in tensors):
            return dict(tensors)
        return {
            name if name.startswith(f"{_HEAD}.") else f"{first}.{name}": shape
            for name, shape in tensors.items()
        }

    def _find_embedding(self) -> str | None:
        for name, shape in self.parameters.items():
            module, _, part = name.rpartition(".")
            if part == "weight" and module.rpartition(".")[2] in _TOKENS and len(shape) == 2:
                return module
        return None


def _with_parents(leaves: set[str]) -> set[str]:
    names: set[str] = set()
    for leaf in leaves:
        while leaf and leaf not in names:
            names.add(leaf)
            leaf = leaf.rpartition(".")[0]
    return names
