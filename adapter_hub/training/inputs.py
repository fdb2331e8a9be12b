"""What a version's weights depend on, and what of it is something else by now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from adapter_hub.loading.folders import recorded


@dataclass(frozen=True)
class Input:
    """Something that the weights depend on: as it was recorded, and as it is now."""

    name: str
    recorded: Any
    now: Any


def compare_inputs(then: dict[str, Any], now: dict[str, Any]) -> tuple[list[Input], list[str]]:
    """The inputs in which two records differ, and the names of those that ``then`` does not tell."""
    was, are = dict(_inputs(then)), dict(_inputs(now))
    changed = []
    unknown = []
    for name in {**was, **are}:
        old, new = was.get(name), are.get(name)
        if old is None and new is not None:
            unknown.append(name)
        elif old != new:
            changed.append(Input(name, old, new))
    return changed, unknown


def _inputs(record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for part in ("data", "eval_data"):
        yield f"{part} fingerprint", recorded(record, part).get("fingerprint")
    for key, value in recorded(recorded(record, "base"), "identity").items():
        yield f"base {key}", value
    environment = recorded(record, "environment")
    yield from recorded(environment, "packages").items()
    yield from recorded(record, "plugins").items()
    yield from recorded(record, "hardware").items()
    for key in ("python", "platform", "machine"):
        yield key, environment.get(key)
    yield "dtype", record.get("dtype")
