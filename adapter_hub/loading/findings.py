"""What does not fit, one sentence a kind, however many weights it is true of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fit:
    """Whether an adapter fits a base: what does not, and what could not be told, each a clause."""

    misfits: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


class Findings:
    """Collects what was found. In a text, ``{}`` stands for the modules that it is true of."""

    def __init__(self) -> None:
        self._misfits: dict[str, list[str]] = {}
        self._unchecked: dict[str, list[str]] = {}

    def misfit(self, text: str, *modules: str) -> None:
        self._misfits.setdefault(text, []).extend(modules)

    def unchecked(self, text: str, *modules: str) -> None:
        self._unchecked.setdefault(text, []).extend(modules)

    def fit(self) -> Fit:
        return Fit(_clauses(self._misfits), _clauses(self._unchecked))


def _clauses(found: dict[str, list[str]]) -> tuple[str, ...]:
    return tuple(text.replace("{}", several(modules), 1) for text, modules in found.items())


def several(modules: Iterable[str]) -> str:
    """ "module X", or "7 modules, such as X"."""
    names = list(dict.fromkeys(modules))
    if not names:
        return ""
    # A name from elsewhere must not reach a terminal as a command to it.
    first = names[0] if names[0].isprintable() else repr(names[0])
    return f"{first}" if len(names) == 1 else f"{len(names)} modules, such as {first}"


def listed(words: Iterable[str]) -> str:
    """Some words of a configuration, at most five of them."""
    names = [each if each.isprintable() else repr(each) for each in words]
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
