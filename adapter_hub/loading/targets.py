"""Which modules an adapter's configuration means, by PEFT's own rules.

The rules are those of peft 0.21: ``check_target_module_exists`` and
``_maybe_include_all_linear_layers`` in peft/tuners/tuners_utils.py, ``get_pattern_key`` and
``_set_trainable`` in peft/utils/other.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

ALL_LINEAR = "all-linear"


class Targets:
    """The targets of a configuration. Raises ValueError for one that makes no sense."""

    def __init__(self, config: Mapping[str, Any], linear: Iterable[str]) -> None:
        self._wanted = _names_or_pattern(config, "target_modules")
        if isinstance(self._wanted, str) and self._wanted.lower() == ALL_LINEAR:
            self._wanted = list(linear)
        self._excluded = _names_or_pattern(config, "exclude_modules") or []
        self.saved_whole: list[str] = names(config, "modules_to_save")
        layers = config.get("layers_to_transform")
        self._layers = [layers] if isinstance(layers, int) else layers or []
        if not isinstance(self._layers, list):
            raise ValueError("layers_to_transform is neither a number nor a list of numbers")
        pattern = _names_or_pattern(config, "layers_pattern") or []
        self._patterns = [pattern] if isinstance(pattern, str) else pattern
        self._ranks = _pattern_table(config, "rank_pattern")
        self._rank = config.get("r", 8)
        self._alphas = _pattern_table(config, "alpha_pattern")
        self._alpha = config.get("lora_alpha", 8)
        self._rslora = bool(config.get("use_rslora"))
        self._all = [self._wanted] if isinstance(self._wanted, str) else self._wanted or []
        for each in (*self._pattern_strings(), *self._ranks, *self._alphas):
            _compiled(each)

    @property
    def told(self) -> bool:
        """Whether the configuration says what its targets are; else PEFT goes by the model's type."""
        return self._wanted is not None

    @property
    def words(self) -> list[str]:
        """What the configuration says, for messages and for names that are meant to be there."""
        return list(self._all)

    def has(self, module: str) -> bool:
        """Whether ``module`` is a target."""
        if self._matches(self._excluded, module):
            return False
        if any(re.match(rf"(^|.*\.){each}($|\..*)", module) for each in self.saved_whole):
            return False
        if not self._matches(self._wanted or [], module):
            return False
        by_itself = isinstance(self._wanted, str) or module in (self._wanted or [])
        return by_itself or not self._layers or self._layer(module) in self._layers

    def saves_whole(self, module: str) -> bool:
        """Whether ``module``, or one that it is in, is saved as a whole."""
        parts = module.split(".")
        above = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
        return any(name.endswith(tuple(self.saved_whole)) for name in above)

    def rank(self, module: str) -> Any:
        """The rank that the configuration gives to ``module``."""
        return _by_pattern(self._ranks, module, self._rank)

    def scale(self, module: str) -> float:
        """What LoRA multiplies ``module``'s B·A with: alpha / r, or alpha / √r with rslora.

        As in peft/tuners/lora/layer.py. Raises ValueError for a configuration without numbers.
        """
        rank, alpha = self.rank(module), _by_pattern(self._alphas, module, self._alpha)
        if type(rank) is not int or rank < 1:
            raise ValueError(f"its rank is {rank!r}, not a number from 1 on")
        if type(alpha) not in (int, float):
            raise ValueError(f"its lora_alpha is {alpha!r}, not a number")
        return float(alpha) / (math.sqrt(rank) if self._rslora else rank)

    def _layer(self, module: str) -> int | None:
        expressions = [rf"(?:^|.*?\.){each}\.(\d+)\." for each in self._patterns]
        for expression in expressions or [r".*?\.[^.]*\.(\d+)\."]:
            if found := re.match(expression, module):
                return int(found[1])
        return None

    @staticmethod
    def _matches(wanted: str | list[str], module: str) -> bool:
        if isinstance(wanted, str):
            return bool(re.fullmatch(wanted, module))
        return any(module == each or module.endswith(f".{each}") for each in wanted)

    def _pattern_strings(self) -> list[str]:
        return [each for each in (self._wanted, self._excluded) if isinstance(each, str)] + [
            *self._patterns,
            *self.saved_whole,
        ]


def _names_or_pattern(config: Mapping[str, Any], key: str) -> str | list[str] | None:
    value = config.get(key)
    return value if value is None or isinstance(value, str) else names(config, key)


def names(config: Mapping[str, Any], key: str) -> list[str]:
    """A list of names in a configuration, empty without. Raises ValueError."""
    value = config.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{key} is not a list of names")
    return value


def _by_pattern(table: Mapping[str, Any], module: str, default: Any) -> Any:
    for pattern, value in table.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def _pattern_table(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{key} is not a table")
    return value


def _compiled(pattern: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ValueError(f"{pattern!r} is not a pattern: {error}") from None
