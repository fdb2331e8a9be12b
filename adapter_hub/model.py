"""The records: Base, Recipe, Adapter, Version, Reference. Plain, typed, no input or output."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

from adapter_hub.errors import UnknownNameError, UsageError

NAME_RULE = (
    "letters, digits, '.', '_' and '-', at most 96 characters, "
    "starting and ending with a letter or digit"
)
# Windows opens these as devices in any folder and with any extension. Written for every dialect of
# patterns, since editors read it, too: no flags.
_DEVICE = (
    r"(?:[Cc][Oo][Nn]|[Pp][Rr][Nn]|[Aa][Uu][Xx]|[Nn][Uu][Ll]|[Cc][Oo][Mm][0-9]|[Ll][Pp][Tt][0-9])"
)
NAME_PATTERN = (
    rf"(?!{_DEVICE}(?:\..*)?$)(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,94}}[A-Za-z0-9])?"
)
COMMIT_PATTERN = r"[0-9a-f]{40}"
REPO_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = re.compile(NAME_PATTERN)
_COMMIT = re.compile(COMMIT_PATTERN)
_REPO = re.compile(REPO_PATTERN)

Schedule = Literal["cosine", "linear", "constant"]
DType = Literal["auto", "float32", "bfloat16", "float16"]
Quantize = Literal["none", "4bit", "8bit"]


def check_name(name: str, what: str) -> str:
    """Return ``name`` if it can name an adapter, base or alias and a folder. Raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name {what}: use {NAME_RULE}.")
    return name


def is_commit(revision: str) -> bool:
    """Whether ``revision`` is a full 40-digit git commit."""
    return bool(_COMMIT.fullmatch(revision))


@dataclass(frozen=True)
class Source:
    """Where a base comes from: ``hf:OWNER/REPO``, ``path:DIR`` or ``plugin:NAME``."""

    kind: Literal["hf", "path", "plugin"]
    location: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.location}"


def parse_source(text: str) -> Source:
    """Read a base's source. Raises UsageError."""
    kind, colon, location = text.partition(":")
    if not colon or not location or kind not in ("hf", "path", "plugin"):
        folder = text.startswith((".", "/", "~", "\\"))
        raise UsageError(
            f"{text!r} is not a source: write hf:OWNER/REPO, path:DIR or plugin:NAME.",
            hint=f"for a folder: path:{text}" if folder else None,
        )
    if kind == "hf" and not _REPO.fullmatch(location):
        raise UsageError(f"{text!r} does not name a repository: write hf:OWNER/REPO.")
    return Source(kind, location)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Remote:
    """A Hub: its address, and its name in the registry if it has one there."""

    endpoint: Annotated[str, "address of the Hub, with https:// or http://"]
    name: str | None = None


@dataclass(frozen=True)
class Base:
    """A base model, pinned. ``revision`` is a commit for ``hf:``, else a content fingerprint.

    ``remote`` is the Hub that an ``hf:`` base is on, where that is not the one of everybody.
    ``trust_remote_code``: the code that comes with it may run, at this very revision; ``code``
    is that code's digest where the revision is none of the code.
    """

    name: str
    source: Annotated[Source, "where it comes from: hf:OWNER/REPO, path:DIR or plugin:NAME"]
    revision: Annotated[
        str | None, "what pins it: the 40 hex digits of a commit for hf:, else a fingerprint"
    ] = None
    remote: Annotated[Remote | None, "the Hub that an hf: base is on: a name in [remotes]"] = None
    trust_remote_code: Annotated[bool, "whether the code that comes with it may run"] = False
    code: Annotated[str | None, "digest of that code, where the revision pins none"] = None

    def at(self, revision: str) -> Base:
        """This base at ``revision``: at another one its code is trusted no longer."""
        trusted = self.trust_remote_code and revision == self.revision
        return dataclasses.replace(self, revision=revision, trust_remote_code=trusted)


def _is_endless(value: Any) -> bool:
    """Whether ``value`` is TOML's ``inf`` or ``nan``."""
    return isinstance(value, float) and not math.isfinite(value)


@dataclass(frozen=True)
class Range:
    """The numbers that a setting takes; ``words`` say which."""

    words: str
    least: float | None = None
    above: float | None = None
    most: int | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )


_POSITIVE = Range("more than 0", above=0)
_NOT_NEGATIVE = Range("at least 0", least=0)
_COUNT = Range("at least 1", least=1)
RANGES: Mapping[str, Range] = {
    "epochs": _POSITIVE,
    "steps": _COUNT,
    "batch_size": _COUNT,
    "grad_accum": _COUNT,
    "learning_rate": _POSITIVE,
    "warmup": _NOT_NEGATIVE,
    "weight_decay": _NOT_NEGATIVE,
    "max_grad_norm": _NOT_NEGATIVE,
    "max_length": Range("at least 2", least=2),
    "seed": Range("from 0 to 2**63 - 1", least=0, most=2**63 - 1),
    "eval_fraction": Range("from 0 to below 1", least=0, below=1),
    "eval_every": _NOT_NEGATIVE,
    "early_stop": _NOT_NEGATIVE,
}
"""Of the training settings that are numbers, by name."""
_YOUNGER = ("eval_every", "early_stop", "quantize", "checkpoint_activations")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a recipe trains. The defaults are what a recipe gets that says nothing."""

    epochs: Annotated[float, "passes over the training rows"] = 1.0
    steps: Annotated[int | None, "optimizer steps; overrides epochs"] = None
    batch_size: Annotated[int, "rows in one forward pass"] = 8
    grad_accum: Annotated[int, "forward passes in one optimizer step"] = 1
    learning_rate: Annotated[float, "peak learning rate of AdamW"] = 5e-4
    schedule: Annotated[Schedule, "shape of the learning rate after the warm-up"] = "cosine"
    warmup: Annotated[float, "warm-up: a share of the steps below 1, else a number of steps"] = 0.05
    weight_decay: Annotated[float, "decoupled weight decay of AdamW"] = 0.0
    max_grad_norm: Annotated[float, "clip the gradient's norm to this; 0 turns it off"] = 1.0
    max_length: Annotated[int, "longest row in tokens; at most the base's context"] = 1024
    train_on: Annotated[Literal["completion", "all"], "which tokens carry loss"] = "completion"
    dtype: Annotated[DType, "type of the frozen base's weights"] = "auto"
    seed: Annotated[int, "seed of initialisation, order and dropout"] = 0
    eval_fraction: Annotated[float | None, "share of the rows held out"] = None
    on_bad_row: Annotated[Literal["fail", "skip"], "what to do with an unusable row"] = "fail"
    eval_every: Annotated[
        int | None, "steps from one held-out loss to the next; 0 for none before the end"
    ] = None
    early_stop: Annotated[
        int, "stop after so many held-out losses in a row without a better one; 0 for never"
    ] = 0
    quantize: Annotated[Quantize, "bits of the frozen base's weights, by bitsandbytes"] = "none"
    checkpoint_activations: Annotated[
        bool, "compute activations anew for the backward pass: less memory, more time"
    ] = False

    def __post_init__(self) -> None:
        """Raises UsageError for a value out of its range."""
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            self._require(each.name, not _is_endless(value), "a finite number")
        for name, numbers in RANGES.items():
            value = getattr(self, name)
            self._require(name, value is None or value in numbers, numbers.words)

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise UsageError(f"training setting {name} must be {rule}, not {getattr(self, name)}.")

    def told(self) -> dict[str, Any]:
        """Every setting, as records and digests have it.

        The younger ones only where they are not the default: recipes from before keep their digest.
        """
        given = self.given()
        return {
            name: value
            for name, value in vars(self).items()
            if name not in _YOUNGER or name in given
        }

    def given(self) -> dict[str, Any]:
        """The settings that differ from the defaults, as they stand in registry.toml."""
        return {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
            if getattr(self, each.name) != each.default
        }


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What ``train NAME`` does: base + method + options + data + settings."""

    base: Annotated[str | None, "the base that it is trained on: a name in [bases]"] = None
    method: Annotated[str, "PEFT method; `adapter-hub methods` lists them"] = "lora"
    options: Annotated[
        Mapping[str, Any], "options of the method; `adapter-hub methods METHOD` lists them"
    ] = field(default_factory=dict)
    data: Annotated[str | None, "training rows: a dataset's name, a file, or hf:OWNER/DATASET"] = (
        None
    )
    data_options: Annotated[
        Mapping[str, Any], "options of the dataset; `adapter-hub datasets DATASET` lists them"
    ] = field(default_factory=dict)
    eval_data: Annotated[str | None, "rows for the held-out loss, named like data"] = None
    column_map: Annotated[
        Mapping[str, str], "columns of the data under other names: theirs = ours"
    ] = field(default_factory=dict)
    training: Annotated[TrainingSettings, "how it is trained"] = field(
        default_factory=TrainingSettings
    )


@dataclass(frozen=True, kw_only=True)
class Version:
    """One immutable result of training, importing or pulling.

    ``files`` maps names inside the version's folder to ``sha256:…`` digests.
    """

    number: int
    created: Annotated[datetime, "when it was made; without a zone, in UTC"]
    files: Annotated[Mapping[str, str], "files in its folder, with their digests sha256:…"]
    recipe: Annotated[str | None, "digest of the recipe that it was trained by"] = None
    metrics: Annotated[Mapping[str, float], "measured on the held-out rows"] = field(
        default_factory=dict
    )
    hub: Annotated[Mapping[str, str], "where it lies on a Hub: repo, revision"] = field(
        default_factory=dict
    )


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A named thing in the registry: a recipe plus its versions."""

    name: str
    recipe: Recipe
    description: Annotated[str, "what it is for"] = ""
    tags: Annotated[tuple[str, ...], "words to find it by"] = ()
    aliases: Annotated[Mapping[str, int], "movable names for versions: prod = 3"] = field(
        default_factory=dict
    )
    versions: Annotated[Mapping[int, Version], "what it was trained, imported or pulled into"] = (
        field(default_factory=dict)
    )

    @property
    def newest(self) -> Version | None:
        return self.versions[max(self.versions)] if self.versions else None

    def version(self, selector: str | None) -> Version:
        """The version named by a number or an alias; the newest for None.

        Raises UnknownNameError.
        """
        if not self.versions:
            raise UnknownNameError(
                f"adapter {self.name!r} has no version yet.", hint=f"adapter-hub train {self.name}"
            )
        if selector is None:
            return self.versions[max(self.versions)]
        numbers = {str(number): number for number in self.versions}
        aliases = {alias: n for alias, n in self.aliases.items() if n in self.versions}
        number = numbers.get(selector, aliases.get(selector))
        if number is None:
            have = ", ".join([*map(str, sorted(self.versions)), *sorted(aliases)])
            raise UnknownNameError(
                f"adapter {self.name!r} has no version or alias {selector!r}; it has {have}.",
                hint=f"adapter-hub show {self.name}",
            )
        return self.versions[number]


@dataclass(frozen=True)
class Reference:
    """What a user names: an adapter's version, a Hub repository, a folder, or a bare base."""

    kind: Literal["name", "hf", "folder", "base"]
    target: str
    selector: str | None = None

    def __str__(self) -> str:
        prefix = {"hf": "hf:", "base": "base:"}.get(self.kind, "")
        return f"{prefix}{self.target}" + (f"@{self.selector}" if self.selector else "")


def parse_reference(text: str) -> Reference:
    """Read ``NAME[@VERSION_OR_ALIAS]``, ``hf:OWNER/REPO[@REV]``, ``./folder`` or ``base:NAME``.

    Raises UsageError.
    """
    if text.startswith(("./", "../", "/", "~", ".\\", "..\\")) or text in (".", ".."):
        return Reference("folder", text)
    kind, colon, rest = text.partition(":")
    if colon and kind not in ("hf", "base"):
        raise UsageError(
            f"{text!r} is not a reference: write NAME, NAME@VERSION, hf:OWNER/REPO or ./folder."
        )
    target, at, selector = (rest if colon else text).partition("@")
    if at and not selector:
        raise UsageError(f"{text!r} ends in '@' without a version or alias.")
    if kind == "hf" and colon:
        if not _REPO.fullmatch(target):
            raise UsageError(f"{text!r} does not name a repository: write hf:OWNER/REPO[@REV].")
        return Reference("hf", target, selector or None)
    if colon:
        if at:
            raise UsageError(f"{text!r}: a base has no versions; write base:{target}.")
        return Reference("base", check_name(target, "a base"))
    if "/" in target or "\\" in target:
        raise UsageError(
            f"{text!r} is not an adapter's name.",
            hint=f"write ./{text} for a folder or hf:{text} for a repository",
        )
    return Reference("name", check_name(target, "an adapter"), selector or None)
