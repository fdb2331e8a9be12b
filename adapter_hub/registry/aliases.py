"""Aliases: names for versions that can be moved, and by whom only if nobody else was faster."""

from __future__ import annotations

from typing import Any, Literal

from adapter_hub.errors import ConflictError, UnknownNameError, UsageError
from adapter_hub.model import check_name
from adapter_hub.registry.store import Registry

Expected = int | None | Literal["any"]
"""The version that an alias must point to for a move to happen; None where there must be none."""


def move_alias(
    registry: Registry, name: str, alias: str, number: int, *, expect: Expected = "any"
) -> int | None:
    """Make ``NAME@ALIAS`` mean version ``number``; returns what it meant before, None for nothing.

    With ``expect`` it is moved only from there: compared and moved in one step, whoever else does
    the same. Raises UsageError for what cannot name an alias, UnknownNameError when there is no
    such version, ConflictError when it points elsewhere than expected; then nothing was changed.
    """
    check_alias(alias)
    registry.adapter(name).version(str(number))
    before: int | None = None

    def change(entry: dict[str, Any]) -> None:
        nonlocal before
        before = entry.get("aliases", {}).get(alias)
        _require(name, alias, before, expect)
        if str(number) not in entry.get("versions", {}):
            raise UnknownNameError(
                f"{name}@{number} was removed in the meantime; nothing was changed.",
                hint=f"adapter-hub show {name}",
            )
        entry.setdefault("aliases", {})[alias] = number

    registry.edit_adapter(name, change, lambda: [alias_event(name, alias, before, number)])
    return before


def drop_alias(registry: Registry, name: str, alias: str, *, expect: Expected = "any") -> int:
    """Remove ``NAME@ALIAS`` and leave the version; returns what it meant.

    Raises UnknownNameError when there is none, ConflictError as ``move_alias`` does.
    """
    registry.adapter(name)
    before = 0

    def change(entry: dict[str, Any]) -> None:
        nonlocal before
        aliases = entry.get("aliases", {})
        _require(name, alias, aliases.get(alias), expect)
        if alias not in aliases:
            from adapter_hub.options import suggestion

            raise UnknownNameError(
                f"adapter {name!r} has no alias {alias!r}{suggestion(alias, aliases)}.",
                hint=f"adapter-hub alias --list {name}",
            )
        before = aliases.pop(alias)
        if not aliases:
            del entry["aliases"]

    registry.edit_adapter(name, change, lambda: [alias_event(name, alias, before, None)])
    return before


def check_alias(alias: str) -> None:
    """Raises UsageError for what ``NAME@…`` would not mean as an alias."""
    check_name(alias, "an alias")
    if alias.isdigit():
        raise UsageError(
            f"{alias!r} cannot name an alias: NAME@{alias} means version {alias}.",
            hint=f"give it a letter: v{alias}",
        )


def alias_event(name: str, alias: str, before: int | None, after: int | None) -> dict[str, Any]:
    """What the journal tells of a move."""
    return {"event": "alias", "adapter": name, "alias": alias, "from": before, "to": after}


def _require(name: str, alias: str, now: int | None, expect: Expected) -> None:
    if expect == "any" or now == expect:
        return
    state = "not there" if now is None else f"version {now}"
    what = f"{state} already" if expect is None else f"{state}, not version {expect}"
    raise ConflictError(
        f"{name}@{alias} is {what}; nothing was changed.", hint=f"adapter-hub history {name}"
    )
