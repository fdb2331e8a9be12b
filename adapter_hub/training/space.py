"""What a sweep varies: settings and method options, each with the values to try."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapter_hub.errors import UsageError
from adapter_hub.model import TrainingSettings
from adapter_hub.options import check_options, options_of, parse_assignment
from adapter_hub.training.plan import Changes

OPTIONS = "options."
"""What stands before the name of a method's option; the others are training settings."""
Point = dict[str, Any]
"""One value of each that is varied."""


@dataclass(frozen=True)
class Span:
    """``low..high``, both included: all between may be drawn, evenly by ratio over a wide one."""

    low: float
    high: float

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def by_ratio(self) -> bool:
        return self.low > 0 and self.high / self.low >= 10


Values = tuple[Any, ...] | Span
Space = Mapping[str, Values]


def parse_values(name: str, text: str) -> Values:
    """``4,8,16``, each a TOML value or a bare word, or ``1e-5..1e-3``. Raises UsageError."""
    low, dots, high = text.partition("..")
    if dots:
        ends = [_value(name, each) for each in (low, high)]
        if all(type(each) in (int, float) and math.isfinite(each) for each in ends):
            if ends[0] >= ends[1]:
                raise UsageError(f"{name}: {text} goes from a number to one that is not greater.")
            return Span(*ends)
    values = tuple(_value(name, each) for each in _split(text))
    if len({repr(each) for each in values}) < len(values):
        raise UsageError(f"{name}: {text} has a value twice.")
    return values


def _value(name: str, text: str) -> Any:
    if not text.strip():
        raise UsageError(f"{name} has an empty value.", hint=f"write {name}=4,8,16")
    return parse_assignment(f"{name}={text.strip()}")[1]


def _split(text: str) -> Iterator[str]:
    """At the commas that are in no array, table or quoted string."""
    depth, quote, start = 0, "", 0
    for place, each in enumerate(text):
        if quote:
            quote = "" if each == quote else quote
        elif each in "\"'":
            quote = each
        elif each in "[{":
            depth += 1
        elif each in "]}":
            depth -= 1
        elif each == "," and depth <= 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def divide(values: Mapping[str, Values]) -> tuple[Point, dict[str, Values]]:
    """What has one value, and what is to be varied."""
    fixed = {k: v[0] for k, v in values.items() if isinstance(v, tuple) and len(v) == 1}
    return fixed, {k: v for k, v in values.items() if k not in fixed}


def changes_of(point: Mapping[str, Any]) -> Changes:
    """What a point changes in a recipe. Raises OptionError for a setting of a wrong type."""
    options = {k.removeprefix(OPTIONS): v for k, v in point.items() if k.startswith(OPTIONS)}
    settings = {k: v for k, v in point.items() if not k.startswith(OPTIONS)}
    checked = check_options(options_of(TrainingSettings), settings, owner="the training")
    return Changes(options=options, training=checked)


def grid(space: Space) -> list[Point]:
    """Every combination, the last name's values changing fastest. Raises UsageError for a span."""
    for name, values in space.items():
        if isinstance(values, Span):
            raise UsageError(
                f"{name} may be anything from {values.low:g} to {values.high:g}, and a grid needs values.",
                hint="let them be drawn: --optuna 20; or list them, as in 1e-4,3e-4",
            )
    lists = [values for values in space.values() if isinstance(values, tuple)]
    return [dict(zip(space, each, strict=True)) for each in itertools.product(*lists)]


def shown(point: Mapping[str, Any]) -> str:
    """``r=8, learning_rate=0.0003``."""
    return ", ".join(f"{_short(k)}={_text(v)}" for k, v in point.items())


def _short(name: str) -> str:
    return name.removeprefix(OPTIONS)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
