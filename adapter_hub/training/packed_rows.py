"""Batches without pads, in which what several rows begin with is computed once.

What a causal model makes of a token follows from it and the tokens before it. So rows that begin
alike (with a system prompt, with the columns of one table) have the same hidden states there, and
a batch can lie in one sequence: row after row, each without the beginning that it shares with the
one before (Krell et al. 2021, arXiv:2107.02027; of pairs Wang, Hegde 2024, arXiv:2410.20305).
Only attention sees whole rows, which are spread out for it and collected again.

Nothing changes but the order of sums.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from adapter_hub.training.short_attention import NAME

if TYPE_CHECKING:
    from adapter_hub.training.batches import Batch

ARCHITECTURES = frozenset(
    {
        "apertus", "arcee", "cohere", "ernie4_5", "gemma", "glm", "glm4", "gpt_neox", "granite",
        "llama", "mistral", "olmo", "olmo2", "phi", "phi3", "qwen2", "qwen3", "smollm3",
        "starcoder2",
    }
)  # fmt: skip
"""Values of ``model_type`` whose layers mix tokens in attention alone, and call it with all that the
model was called with."""
MULTIPLE = 8
"""The sequence is as many tokens long: on an EPYC, oneDNN takes 8 % longer for 669 than for 672."""


@dataclass(frozen=True)
class Shared:
    """How many tokens ``row`` begins with as ``before`` does, and how many it has."""

    row: int
    before: int
    tokens: int
    length: int


@dataclass(frozen=True)
class PackedRows:
    """B rows of up to S tokens as one sequence of N, the last few of which may be pads.

    ``input_ids``, ``position_ids``: int64 (1, N). ``where``: int64 (B, S), the place in the sequence
    of each row's tokens, 0 for pads. ``own``: int64 (N,), for each of the ``tokens`` of the sequence
    the place ``row · S + column`` in the row that brought it, 0 for pads. ``rows`` are in the order
    of the sequence.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    where: torch.Tensor
    own: torch.Tensor
    tokens: int
    rows: tuple[Shared, ...]
    _made: dict[Any, torch.Tensor] = field(default_factory=dict, repr=False)

    def as_input(self) -> dict[str, Any]:
        """What a model is called with. A mask of four dimensions is handed on as it is."""
        return {
            "input_ids": self.input_ids,
            "position_ids": self.position_ids,
            "attention_mask": torch.zeros(1, 1, 1, 1, device="cpu"),
            "packed": self,
        }

    def spread(self, x: torch.Tensor, all_used: bool = True) -> torch.Tensor:
        """(1, H, N, D), of each token of the sequence, to (B, H, S, D), of each token of the rows.

        Unless ``all_used``, what is made of a token that rows share is collected of one of them.
        """
        result: torch.Tensor = _Spread.apply(x, self, all_used)  # type: ignore[no-untyped-call]
        return result

    def collect(self, x: torch.Tensor) -> torch.Tensor:
        """(B, H, S, D) to (1, N, H, D): of a token that rows share, what the first of them has."""
        result: torch.Tensor = _Collect.apply(x, self)  # type: ignore[no-untyped-call]
        return result

    def causal_bias(self) -> torch.Tensor:
        """What to add to the scores of every row, whose pads come last: float32 (1, 1, S, S)."""
        if "bias" not in self._made:
            size = self.where.shape[1]
            lowest = torch.finfo(torch.float32).min
            self._made["bias"] = torch.full((1, 1, size, size), lowest, device="cpu").triu_(1)
        return self._made["bias"]

    def from_sequence(self, heads: int) -> torch.Tensor:
        """For each of (B, H, S) the index in (N, H): int64 (B · H · S,)."""
        if ("from", heads) not in self._made:
            head = torch.arange(heads, device=self.where.device).view(1, -1, 1)
            self._made["from", heads] = (self.where[:, None] * heads + head).flatten()
        return self._made["from", heads]

    def from_rows(self, heads: int) -> torch.Tensor:
        """For each of (N, H) the index in (B, H, S): int64 (N · H,)."""
        if ("rows", heads) not in self._made:
            size = self.where.shape[1]
            row, column = (self.own // size)[:, None], (self.own % size)[:, None]
            head = torch.arange(heads, device=self.own.device)
            self._made["rows", heads] = ((row * heads + head) * size + column).flatten()
        return self._made["rows", heads]


def pack(batch: Batch) -> PackedRows:
    """The rows of a batch on the CPU in one sequence, sorted by their tokens."""
    ids = batch.input_ids.numpy()
    lengths = batch.attention_mask.sum(1).tolist()
    where = np.zeros(ids.shape, np.int64)
    pieces, own, rows, count, before = [], [], [], 0, None
    for row in sorted(range(len(ids)), key=lambda row: ids[row, : lengths[row]].tolist()):
        length = lengths[row]
        shared = 0
        if before is not None:
            both = min(length, lengths[before])
            differ = np.flatnonzero(ids[row, :both] != ids[before, :both])
            shared = int(differ[0]) if len(differ) else both
            where[row, :shared] = where[before, :shared]
        where[row, shared:length] = np.arange(count, count + length - shared)
        count += length - shared
        pieces.append(np.arange(shared, length))
        own.append(row * ids.shape[1] + pieces[-1])
        rows.append(Shared(row, row if before is None else before, shared, length))
        before = row
    pads = np.zeros(-count % MULTIPLE, np.int64)
    places = np.concatenate([*own, pads])
    return PackedRows(
        input_ids=torch.from_numpy(ids.reshape(-1)[places])[None],
        position_ids=torch.from_numpy(np.concatenate([*pieces, pads]))[None],
        where=torch.from_numpy(where),
        own=torch.from_numpy(places),
        tokens=count,
        rows=tuple(rows),
    )


def of_size(rows: int, length: int, tokens: int) -> PackedRows:
    """What a model is called with for so many rows in a sequence of so many tokens, of no content."""
    sequence = torch.zeros(1, tokens, dtype=torch.int64, device="cpu")
    where = torch.zeros(rows, length, dtype=torch.int64, device="cpu")
    return PackedRows(sequence, sequence, where, sequence[0], tokens, ())


def can_pack(model: Any, fused_layers: int) -> bool:
    """Whether the model, short attention attached, treats a token alone wherever it does not attend.

    ``fused_layers`` of its layers are known to be plain LoRA: all that are adapted must be.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    base, config = model.get_base_model(), model.get_base_model().config
    adapted = sum(isinstance(each, BaseTunerLayer) for each in model.modules())
    return (
        config.model_type in ARCHITECTURES
        # Code of a base's own may go by the same name, and do something else.
        and type(base).__module__.startswith("transformers.models.")
        and config._attn_implementation == NAME
        and 0 < fused_layers == adapted
        and not getattr(config, "sliding_window", None)
        and set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
        and not any(map(_drops, model.modules()))
    )


def _drops(module: torch.nn.Module) -> bool:
    """Whether it draws: tokens that rows share would have one draw for all."""
    share = module.p if isinstance(module, torch.nn.Dropout) else 0.0
    return bool(share or getattr(module, "attention_dropout", 0.0))


def _gathered(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The vectors of D numbers at ``index`` of a contiguous (…, D)."""
    return x.reshape(-1, x.shape[-1]).index_select(0, index)


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, packed: PackedRows, all_used: bool) -> torch.Tensor:
        ctx.packed, ctx.all_used, heads = packed, all_used, x.shape[1]
        spread = _gathered(x.transpose(1, 2), packed.from_sequence(heads))
        rows, size = packed.where.shape
        return spread.view(rows, heads, size, -1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        packed, heads = ctx.packed, gradient.shape[1]
        if ctx.all_used:
            gradient = gradient.clone()
            # What a row passes on to the one before may go on from there to the one before that.
            for each in reversed(packed.rows):
                if each.tokens:
                    shared = gradient[each.row, :, : each.tokens]
                    gradient[each.before, :, : each.tokens] += shared
        to_x = _gathered(gradient, packed.from_rows(heads)).view(1, -1, heads, gradient.shape[-1])
        to_x[:, packed.tokens :] = 0
        return to_x.transpose(1, 2), None, None


class _Collect(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, packed: PackedRows) -> torch.Tensor:
        ctx.packed, heads = packed, x.shape[1]
        return _gathered(x, packed.from_rows(heads)).view(1, -1, heads, x.shape[-1])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        packed, heads = ctx.packed, gradient.shape[2]
        rows, size = packed.where.shape
        to_x = _gathered(gradient, packed.from_sequence(heads)).view(rows, heads, size, -1)
        for each in packed.rows:
            to_x[each.row, :, : each.tokens] = 0  # another row's were taken
            to_x[each.row, :, each.length :] = 0
        return to_x, None
