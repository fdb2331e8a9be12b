"""What a merge is made of, checked: its parts, their weights, and the way they become one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from adapter_hub.errors import ConflictError, IncompatibleError, UsageError
from adapter_hub.loading.adapters import Opened
from adapter_hub.loading.early import find_folder
from adapter_hub.loading.folders import CONFIG, read_record
from adapter_hub.loading.heads import adapter_head
from adapter_hub.loading.identity import base_identity, read_json
from adapter_hub.loading.plain_lora import check_plain, pairs
from adapter_hub.loading.recorded import base_of
from adapter_hub.model import Reference, check_name, parse_reference
from adapter_hub.registry.store import Registry

How = Literal[
    "cat",
    "linear",
    "svd",
    "ties",
    "ties_svd",
    "dare_ties",
    "dare_linear",
    "dare_ties_svd",
    "dare_linear_svd",
    "magnitude_prune",
    "magnitude_prune_svd",
]
HOWS: tuple[How, ...] = get_args(How)
DENSITY = 0.5
"""The share of each update that ties, dare and magnitude_prune keep, unless they are told."""


@dataclass(frozen=True)
class Part:
    """One adapter of a merge, and how much of it goes in."""

    reference: Reference
    weight: float = 1.0


@dataclass(frozen=True)
class Settings:
    """How parts become one; what does not belong to ``how`` must be left at None."""

    how: How = "cat"
    rank: int | None = None
    density: float | None = None
    majority_sign: Literal["total", "frequency"] | None = None
    seed: int = 0


def parse_part(text: str) -> Part:
    """``REF`` or ``REF:WEIGHT``. Raises UsageError."""
    head, colon, tail = text.rpartition(":")
    if colon and head not in ("hf", "base"):
        try:
            weight = float(tail)
        except ValueError:
            raise UsageError(
                f"{text!r} ends in no weight: write REF:0.5.", hint="leave the colon out for 1"
            ) from None
        if not math.isfinite(weight) or not weight:
            raise UsageError(f"the weight of {head} must be a number other than 0, not {tail}.")
        return Part(parse_reference(head), weight)
    return Part(parse_reference(text))


def check_merge(name: str, parts: Sequence[Part], settings: Settings, registry: Registry) -> None:
    """All that can be told before anything heavy is imported.

    Raises UsageError, UnknownNameError, ConflictError, IncompatibleError.
    """
    check_name(name, "an adapter")
    if not registry.has_adapter(name):
        registry.refuse_twin(name, "adapter")
    _check_settings(settings)
    if len(parts) < 2:
        raise UsageError(
            "a merge takes two adapters or more.", hint=f"adapter-hub merge {name} REF REF:0.5"
        )
    told = [str(each.reference) for each in parts]
    for each in told:
        if told.count(each) > 1:
            raise UsageError(f"{each} is given twice.", hint=f"once, with the sum: {each}:2")
    bases: dict[tuple[Any, Any], str] = {}
    for part in parts:
        if part.reference.kind == "base":
            raise UsageError(f"{part.reference} is a base, and a merge takes adapters.")
        folder = find_folder(part.reference, registry)
        if folder is None:
            continue
        _check_plain(part.reference, folder)
        base = base_of(read_json(folder / CONFIG), read_record(folder), folder, registry)
        bases.setdefault((base.source, base.revision), f"{part.reference} on {base.name}")
    _refuse_two_bases(list(bases.values()))


def _check_settings(settings: Settings) -> None:
    how = settings.how
    if how not in HOWS:
        raise UsageError(f"there is no way {how!r} to merge: it is one of {', '.join(HOWS)}.")
    prunes = how.startswith(("ties", "dare", "magnitude"))
    for flag, value, fits in (
        ("--rank", settings.rank, how.endswith("svd")),
        ("--density", settings.density, prunes),
        ("--majority-sign", settings.majority_sign, "ties" in how),
    ):
        if value is not None and not fits:
            raise UsageError(f"--how {how} takes no {flag}.")
    if settings.rank is not None and settings.rank < 1:
        raise UsageError(f"--rank must be at least 1, not {settings.rank}.")
    if settings.density is not None and not 0 < settings.density <= 1:
        raise UsageError(f"--density must be above 0 and at most 1, not {settings.density:g}.")


def _check_plain(reference: Reference, folder: Path) -> None:
    hint = f"adapter-hub export {reference} DIR --format merged, for this one alone"
    check_plain(str(reference), adapter_head(folder), "a merge", hint)


def _refuse_two_bases(told: list[str]) -> None:
    if len(told) > 1:
        raise IncompatibleError(
            f"these sit on different bases: {', '.join(told)}.",
            hint="adapter-hub list --base BASE, for those of one",
        )


def check_parts(
    name: str, opened: Sequence[Opened], settings: Settings, registry: Registry
) -> None:
    """What the files tell, those from the Hub too. Raises IncompatibleError, ConflictError."""
    identities: dict[str, str] = {}
    for each in opened:
        assert each.folder is not None
        _check_plain(each.reference, each.folder)
        found = str(base_identity(each.base_folder).as_record())
        identities.setdefault(found, f"{each.reference} on {each.base.name}")
    _refuse_two_bases(list(identities.values()))
    if registry.has_adapter(name):
        theirs = registry.adapter(name).recipe.base
        if theirs is not None and theirs != opened[0].base.name:
            raise ConflictError(
                f"{name!r} is of base {theirs!r}, and these sit on {opened[0].base.name!r}.",
                hint="give the merged adapter a name of its own",
            )
    if settings.how != "cat" and not settings.how.endswith("svd"):
        _check_ranks(opened, settings.how)


def _check_ranks(opened: Sequence[Opened], how: str) -> None:
    ranks = {str(each.reference): _ranks(each) for each in opened}
    if len({rank for found in ranks.values() for rank in found}) > 1:
        told = ", ".join(f"{each} {'/'.join(map(str, sorted(r)))}" for each, r in ranks.items())
        raise IncompatibleError(
            f"--how {how} needs equal ranks, and these are of rank {told}.",
            hint="--how cat, which is exact, or --how svd",
        )


def _ranks(opened: Opened) -> set[int]:
    assert opened.folder is not None
    return {each.rank for each in pairs(adapter_head(opened.folder))}


def is_exact(settings: Settings, opened: Sequence[Opened]) -> bool:
    """Whether the result is the sum: ``cat`` holds all, ``svd`` does where its rank is enough."""
    if settings.how == "svd":
        highest = [max(_ranks(each)) for each in opened]
        return (settings.rank or max(highest)) >= sum(highest)
    return settings.how == "cat"


def density_of(settings: Settings) -> float | None:
    prunes = settings.how.startswith(("ties", "dare", "magnitude"))
    return (settings.density or DENSITY) if prunes else None
