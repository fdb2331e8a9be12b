"""``gguf``: a LoRA adapter as llama.cpp loads it beside the base in its own format.

The layout is what llama.cpp's ``llama-adapter.cpp`` reads: ``general.type`` adapter, ``adapter.type``
lora, ``adapter.lora.alpha``, and for each matrix of the base ``NAME.lora_a`` [rank, inputs] and
``NAME.lora_b`` [outputs, rank], which count alpha / rank. Names are those of the library gguf. What
llama.cpp's conversion does to the rows of a base's matrix is done to those of B.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import IncompatibleError
from adapter_hub.exporting.export import Written
from adapter_hub.exporting.fitting import require_fit
from adapter_hub.exporting.naming import short_name
from adapter_hub.loading.adapters import Opened
from adapter_hub.loading.findings import several
from adapter_hub.loading.folders import WEIGHTS
from adapter_hub.loading.heads import AdapterHead, BaseHead, adapter_head, base_head
from adapter_hub.loading.plain_lora import Pair, pairs
from adapter_hub.loading.weights import Weights

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Matrix = npt.NDArray[np.float32]

# transformers' model type -> MODEL_ARCH of gguf, from the classes that llama.cpp's conversion
# registers for them; a test has llama.cpp load an adapter of each.
ARCHITECTURES = {
    "gemma": "GEMMA",
    "gemma2": "GEMMA2",
    "gemma3_text": "GEMMA3",
    "gpt2": "GPT2",
    "llama": "LLAMA",
    "mistral": "LLAMA",
    "phi3": "PHI3",
    "qwen2": "QWEN2",
    "qwen3": "QWEN3",
}
_INTERLEAVED = ("llama", "mistral")
"""Model types whose rotary pairs llama.cpp has side by side: the rows of q and k are moved."""
_LAYERS, _HEADS, _KEY_HEADS = (
    ("num_hidden_layers", "n_layer"),
    ("num_attention_heads", "n_head"),
    ("num_key_value_heads",),
)


@dataclass(frozen=True)
class Target:
    """A module's matrices, the tensor of the base that they are for, and how B's rows move."""

    pair: Pair
    tensor: str
    heads: int | None


def write_gguf(opened: Opened, staging: Path, folder: Path, say: Callable[[str], None]) -> Written:
    """``NAME.gguf`` in ``staging``. Raises IncompatibleError, BaseModelError, OSError."""
    path = staging / f"{short_name(opened.reference)}.gguf"
    count = write_adapter(opened, path)
    say(f"{path.name}: {count} matrices of the base, for llama.cpp and what is made of it")
    return Written(commands=[f"llama-cli -m BASE.gguf --lora {folder / path.name}"])


def write_adapter(opened: Opened, path: Path) -> int:
    """Write the adapter to ``path``; returns how many matrices of the base it changes.

    Raises IncompatibleError, BaseModelError, OSError.
    """
    import gguf
    import numpy as np

    assert opened.folder is not None
    adapter, base = adapter_head(opened.folder), base_head(opened.base_folder)
    require_fit(opened, adapter, base)
    kind = str(base.config.get("model_type"))
    targets = find_targets(opened, adapter, base)
    alpha, factors = common_alpha([each.pair for each in targets])
    architecture = getattr(gguf.MODEL_ARCH, ARCHITECTURES[kind])
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(short_name(opened.reference))
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    weights = Weights(opened.folder / WEIGHTS)
    for target, factor in zip(targets, factors, strict=True):
        a, b = weights.read(target.pair.a), weights.read(target.pair.b) * factor
        rows = b if target.heads is None else interleave(b, target.heads)
        writer.add_tensor(f"{target.tensor}.lora_a", np.ascontiguousarray(a, np.float32))
        writer.add_tensor(f"{target.tensor}.lora_b", np.ascontiguousarray(rows, np.float32))
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    return len(targets)


def find_targets(opened: Opened, adapter: AdapterHead, base: BaseHead) -> list[Target]:
    """Where each of the adapter's matrices belongs. Raises IncompatibleError."""
    import gguf

    kind = str(base.config.get("model_type"))
    if kind not in ARCHITECTURES:
        raise _refusal(
            opened,
            f"bases of type {kind} are none of those whose layout in GGUF is known here: "
            f"{', '.join(ARCHITECTURES)}",
        )
    layers = int(_setting(base, _LAYERS))
    architecture = getattr(gguf.MODEL_ARCH, ARCHITECTURES[kind])
    names = gguf.get_tensor_name_map(architecture, layers)
    targets, unknown = [], []
    for pair in pairs(adapter):
        name = names.get_name(pair.module)
        if pair.module == "lm_head" and "lm_head.weight" not in base.tensors:
            raise _refusal(opened, "it adapts the output head, which is the base's embedding")
        if name is None:
            unknown.append(pair.module)
            continue
        targets.append(Target(pair, f"{name}.weight", _heads(kind, pair, base)))
    if unknown:
        raise _refusal(opened, f"GGUF has no name for {several(unknown)}")
    return targets


def interleave(rows: Any, heads: int) -> Any:
    """Rows [outputs, …] of q or k as llama.cpp wants them: the halves of each head take turns.

    transformers turns the first half of a head's dimensions with the second, llama.cpp for these
    types each even one with the next (``LlamaModel.permute`` in its conversion).
    """
    width = rows.shape[0] // heads
    halves = rows.reshape(heads, 2, width // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def common_alpha(found: Sequence[Pair]) -> tuple[float, list[float]]:
    """One alpha for all, as GGUF has it, and what each B is multiplied by.

    llama.cpp counts alpha / rank, where an alpha of 0 is none. With equal scales times ranks (one
    rank and one alpha, rsLoRA too) every factor is 1, and the matrices stay bit for bit.
    """
    products = [pair.scale * pair.rank for pair in found]
    alpha = products[0] if products and products[0] else 1.0
    return alpha, [1.0 if each == alpha else each / alpha for each in products]


def _heads(kind: str, pair: Pair, base: BaseHead) -> int | None:
    """Of how many heads B's rows are, where they have to be moved."""
    if kind not in _INTERLEAVED or not pair.module.endswith((".q_proj", ".k_proj")):
        return None
    keys = _HEADS if pair.module.endswith(".q_proj") else (*_KEY_HEADS, *_HEADS)
    return int(_setting(base, keys))


def _setting(base: BaseHead, keys: Sequence[str]) -> Any:
    for key in keys:
        if type(base.config.get(key)) is int:
            return base.config[key]
    raise IncompatibleError(f"the base's config.json does not say {keys[0]}.")


def _refusal(opened: Opened, why: str) -> IncompatibleError:
    return IncompatibleError(
        f"{opened.reference} cannot be written as GGUF: {why}.",
        hint=f"adapter-hub export {opened.reference} DIR --format merged",
    )
