"""The weights of two adapters beside each other, module by module, from their files alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from adapter_hub.errors import BaseModelError
from adapter_hub.loading.distance import Sums, Update, tensor_sums, update_sums
from adapter_hub.loading.findings import listed
from adapter_hub.loading.fit import PREFIX
from adapter_hub.loading.heads import Shape
from adapter_hub.loading.targets import Targets
from adapter_hub.loading.weights import Weights

_FACTOR = re.compile(r"(.+)\.lora_(embedding_)?A(?:\.weight)?")
_LAYER = re.compile(r"(?:^|.*?\.)\d+(?=\.)")
_OWN_PRODUCTS = (
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "use_bdlora",
    "use_qalora",
    "velora_config",
)
"""Variants of LoRA in which B·A is not the update, or not the whole of it."""

Kind = Literal["delta", "tensor"]


@dataclass(frozen=True)
class _Pair:
    """The tensors of one module's update, and its ends: outputs and inputs."""

    a: str
    b: str
    scale: float
    rank: int
    ends: tuple[int, int]


class AdapterWeights:
    """The weights of an adapter: ``updates`` of modules where they are LoRA's, else ``tensors``.

    ``notes`` say what of them is not what the names suggest. Raises BaseModelError for files that
    make no sense.
    """

    def __init__(self, weights: Weights, config: Mapping[str, Any]) -> None:
        self._weights = weights
        self.notes: list[str] = []
        self.updates: dict[str, _Pair] = {}
        if str(config.get("peft_type", "")).upper() == "LORA":
            self._find_updates(config)
        used = {name for pair in self.updates.values() for name in (pair.a, pair.b)}
        self._names = {
            name.removeprefix(PREFIX): name for name in weights.shapes if name not in used
        }
        self.tensors: dict[str, Shape] = {
            short: weights.shapes[name] for short, name in self._names.items()
        }

    def update(self, module: str) -> Update | None:
        """A module's update; None where it has none. Raises BaseModelError."""
        pair = self.updates.get(module)
        if pair is None:
            return None
        a = self._weights.read(pair.a).reshape(pair.rank, -1)
        return Update(a, self._weights.read(pair.b).reshape(-1, pair.rank), pair.scale)

    def pieces(self, tensor: str) -> Iterable[Any]:
        """A tensor, piece by piece. Raises BaseModelError."""
        return self._weights.pieces(self._names[tensor])

    def _find_updates(self, config: Mapping[str, Any]) -> None:
        variants = [key for key in _OWN_PRODUCTS if config.get(key)]
        if variants:
            self.notes.append(f"with {listed(variants)} it is compared tensor by tensor")
            return
        if config.get("use_dora"):
            self.notes.append("use_dora: the deltas are without the magnitudes, which are tensors")
        try:
            targets = Targets(config, ())
            for name in self._weights.shapes:
                found = _FACTOR.fullmatch(name)
                pair = found and self._pair(name, found[1].removeprefix(PREFIX), targets)
                if found and pair:
                    self.updates[found[1].removeprefix(PREFIX)] = pair
        except (ValueError, OverflowError) as error:
            raise BaseModelError(
                f"the adapter_config.json beside {self._weights.path} cannot be used: {error}."
            ) from None

    def _pair(self, a: str, module: str, targets: Targets) -> _Pair | None:
        """The update that ``a`` is a factor of; None where its shapes are not such factors'.

        Of a convolution, too: A [r, inputs, …] and B [outputs, r, 1, …]. Of the experts of
        ``target_parameters``, A has the ranks of all experts, and is none.
        """
        head, _, tail = a.rpartition("A")
        b = f"{head}B{tail}"
        shapes = self._weights.shapes
        if b not in shapes or len(shapes[a]) < 2 or len(shapes[b]) != len(shapes[a]):
            return None
        scale, rank = targets.scale(module), targets.rank(module)
        (rank_a, *inputs), (outputs, rank_b, *ones) = shapes[a], shapes[b]
        if not rank == rank_a == rank_b or any(each != 1 for each in ones):
            return None
        count = 1
        for each in inputs:
            count *= each
        if not count or not outputs:
            return None
        return _Pair(a, b, scale, rank, (outputs, count))


def compare_weights(one: AdapterWeights, other: AdapterWeights) -> dict[str, Any]:
    """Norms, distances and cosines of two adapters' weights.

    ``modules`` are in both, those that differ most first; ``layers`` sum up the deltas of each (the
    tensors, where there are no deltas); ``total`` has both kinds. A module for which only one side
    has a delta counts in sums as zeros on the other: that is what it does there. A tensor that only
    one side has counts in none, nor does what has ``different_shapes``. Raises BaseModelError.
    """
    found = _Compared()
    for module in {**one.updates, **other.updates}:
        a, b = one.updates.get(module), other.updates.get(module)
        if a and b and a.ends != b.ends:
            found.mismatch(module, "delta", a.ends, b.ends)
            continue
        sums = update_sums(one.update(module), other.update(module))
        ranks = {"rank_a": a.rank if a else None, "rank_b": b.rank if b else None}
        found.add(module, "delta", sums, bool(a), bool(b), ranks)
    for name in {**one.tensors, **other.tensors}:
        shape_a, shape_b = one.tensors.get(name), other.tensors.get(name)
        if shape_a is not None and shape_b is not None and shape_a != shape_b:
            found.mismatch(name, "tensor", shape_a, shape_b)
            continue
        sides = [each for each in (one, other) if name in each.tensors]
        sums = tensor_sums(sides[0].pieces(name), sides[-1].pieces(name))
        found.add(name, "tensor", sums, shape_a is not None, shape_b is not None, {})
    notes = [f"A: {each}" for each in one.notes] + [f"B: {each}" for each in other.notes]
    return {**found.as_json(), "notes": notes}


class _Compared:
    def __init__(self) -> None:
        self._modules: list[dict[str, Any]] = []
        self._only: dict[str, list[dict[str, Any]]] = {"only_in_a": [], "only_in_b": []}
        self._shapes: list[dict[str, Any]] = []
        self._totals: dict[Kind, Sums] = {}
        self._layers: dict[Kind, dict[str, Sums]] = {"delta": {}, "tensor": {}}

    def add(
        self, name: str, kind: Kind, sums: Sums, in_a: bool, in_b: bool, more: dict[str, Any]
    ) -> None:
        if in_a and in_b:
            self._modules.append({"name": name, "kind": kind, **more, **sums.as_json()})
        else:
            there = "norm_a" if in_a else "norm_b"
            norm = sums.as_json()[there]
            side = self._only["only_in_a" if in_a else "only_in_b"]
            side.append({"name": name, "kind": kind, "norm": norm})
            if kind == "tensor":
                return
        self._totals[kind] = self._totals.get(kind, Sums()) + sums
        layer = _LAYER.match(name)
        if layer:
            layers = self._layers[kind]
            layers[layer[0]] = layers.get(layer[0], Sums()) + sums

    def mismatch(self, name: str, kind: Kind, a: Shape, b: Shape) -> None:
        self._shapes.append({"name": name, "kind": kind, "shape_a": list(a), "shape_b": list(b)})

    def as_json(self) -> dict[str, Any]:
        layers = self._layers["delta"] or self._layers["tensor"]
        return {
            "total": {
                kind: self._totals[kind].as_json() if kind in self._totals else None
                for kind in ("delta", "tensor")
            },
            "modules": sorted(self._modules, key=_most_changed("name")),
            "layers": sorted(
                ({"layer": layer, **sums.as_json()} for layer, sums in layers.items()),
                key=_most_changed("layer"),
            ),
            **self._only,
            "different_shapes": self._shapes,
        }


def _most_changed(name: str) -> Callable[[Mapping[str, Any]], tuple[bool, float, str]]:
    """What is not finite comes first of all."""

    def key(row: Mapping[str, Any]) -> tuple[bool, float, str]:
        distance = row["distance"]
        return distance is not None, -(distance or 0.0), str(row[name])

    return key
