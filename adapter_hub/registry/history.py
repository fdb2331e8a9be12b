"""``history``: what happened to one adapter, from the journal and from what the registry holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from adapter_hub.errors import RegistryError
from adapter_hub.model import Adapter
from adapter_hub.registry.files import JOURNAL_NAME
from adapter_hub.registry.journal import read_journal
from adapter_hub.registry.store import Registry

_MAKING = ("train", "import", "pull", "copy", "merge")
"""The events that leave a new version."""


def history(name: str, *, registry: Registry | None = None) -> dict[str, Any]:
    """The object of ``history --json``: ``{"name", "here", "events", "disagreements"}``.

    ``events`` are in order of time, those of the names that the adapter had before among them.
    Each has ``when``, ``event``, ``adapter`` and what belongs to it (see ``registry.journal``).
    What the journal does not tell is told by the registry: ``version`` for a version's making, at
    its ``created``; ``hub`` for where it lies, whose ``when`` is None. ``disagreements`` are
    aliases that point elsewhere than the journal says: ``{"alias", "journal", "registry"}``, None
    where there is none. ``here`` is whether the registry still has the adapter.

    Raises UnknownNameError when neither has it, RegistryError.
    """
    registry = registry or Registry.open()
    here = registry.has_adapter(name)
    try:
        told = _events_of(registry, name, here)
    except OSError as error:
        raise RegistryError(
            f"{registry.folder / JOURNAL_NAME} cannot be read: {error.strerror or error}."
        ) from error
    if not here and not told:
        registry.adapter(name)  # says what is there
    dated = [(each["when"], each) for each in told]
    disagreements: list[dict[str, Any]] = []
    if here:
        adapter = registry.adapter(name)
        standing = _Standing(told)
        dated += standing.untold(adapter)
        dated.sort(key=lambda pair: pair[0])
        disagreements = standing.disagreements(adapter) if told else []
    return {
        "name": name,
        "here": here,
        "events": [event for _, event in dated],
        "disagreements": disagreements,
    }


def _events_of(registry: Registry, name: str, here: bool) -> list[dict[str, Any]]:
    """The journal's events of an adapter, oldest first, also under the names that it had before."""
    renames = list(read_journal(registry.folder, "rename"))
    names, waiting = {name}, [name]
    while waiting:
        now = waiting.pop()
        before = {str(each.get("from")) for each in renames if each["adapter"] == now}
        waiting += before - names
        names |= before
    found = list(read_journal(registry.folder, *names))
    found.sort(key=lambda each: each["when"])  # among equals, the file's order stays
    kept: list[dict[str, Any]] = []
    for each in reversed(found):
        if each["adapter"] == name:
            kept.append(each)
            if each["event"] == "rename":
                name = str(each.get("from"))
        elif each["event"] == "rename" and each.get("from") == name:
            if here or kept:
                break  # what came before belongs to the adapter that is called otherwise now
            kept.append(each)
    return kept[::-1]


class _Standing:
    """What the journal's events of an adapter come to."""

    def __init__(self, told: Iterable[dict[str, Any]]) -> None:
        self._aliases: dict[str, Any] = {}
        self._made: dict[Any, datetime] = {}
        """When each version was made."""
        self._commits: set[tuple[Any, Any]] = set()
        """The commits that versions were pushed to or came from."""
        for each in told:
            event, number = each["event"], _hashable(each.get("version"))
            if event == "alias" and isinstance(each.get("alias"), str):
                self._aliases[each["alias"]] = each.get("to")
            elif event == "remove" and number is None:
                self._aliases.clear()
                self._made.clear()
                self._commits.clear()
            elif event == "remove":
                self._made.pop(number, None)
            elif event in _MAKING:
                self._made.setdefault(number, each["when"])
            self._commits.add((number, _hashable(each.get("revision"))))

    def untold(self, adapter: Adapter) -> Iterator[tuple[datetime, dict[str, Any]]]:
        """What the registry alone tells, each with the time that it is listed at."""
        for number, version in sorted(adapter.versions.items()):
            common = {"adapter": adapter.name, "version": number}
            if number not in self._made:
                yield version.created, {"when": version.created, "event": "version", **common}
            if version.hub.get("repo"):
                place = {key: version.hub.get(key) for key in ("repo", "revision")}
                if (number, place["revision"]) not in self._commits:
                    listed = self._made.get(number, version.created)
                    yield listed, {"when": None, "event": "hub", **common, **place}

    def disagreements(self, adapter: Adapter) -> list[dict[str, Any]]:
        journal, now = self._aliases, adapter.aliases
        return [
            {"alias": alias, "journal": journal.get(alias), "registry": now.get(alias)}
            for alias in sorted({*journal, *now})
            if journal.get(alias) != now.get(alias)
        ]


def _hashable(value: Any) -> Any:
    """A journal may hold anything where a number or a string belongs."""
    return value if isinstance(value, (int, str)) else None
