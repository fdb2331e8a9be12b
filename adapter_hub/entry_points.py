"""Which plugins are installed, found without importing one, and each imported in isolation."""

from __future__ import annotations

import contextlib
import email
import functools
import importlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from adapter_hub.errors import PluginError
from adapter_hub.hookspecs import COMMAND_GROUP, ENTRY_POINT_GROUP
from adapter_hub.isolation import one_line, talk_on_stderr, traced

ALLOW_VARIABLE = "ADAPTER_HUB_PLUGINS"
STRICT_VARIABLE = "ADAPTER_HUB_STRICT_PLUGINS"

_OURSELVES = "adapter-hub"
_PLAIN = re.compile(r"[\w.-]+\s*\(?>=\s*(?P<version>\d+(\.\d+)*)\)?")
_NEEDS_US = re.compile(r"adapter[-_.]+hub\s*[^\w\s.-]", re.IGNORECASE)
# https://packaging.python.org/en/latest/specifications/entry-points/#data-model
_REFERENCE = re.compile(r"(?P<module>[\w.]+)\s*(?::\s*(?P<attribute>[\w.]+))?\s*(?:\[.*\])?")

_About = tuple[str, str, tuple[str, ...]]
"""Name, version and requirements; empty where the METADATA is missing or damaged."""


@dataclass(frozen=True)
class Problem:
    """Why a plugin offers nothing, in one line."""

    plugin: str
    distribution: str
    reason: str
    version: str = ""


@dataclass(frozen=True)
class Entry:
    """An entry point of an installed distribution; ``requires`` are its ``Requires-Dist``."""

    name: str
    value: str
    distribution: str
    version: str
    requires: tuple[str, ...] = ()

    def load(self) -> Any:
        """The object it names. Raises PluginError when it is not for this adapter-hub.

        Whatever the import raises is passed on.
        """
        self._refuse_other_release()
        match = _REFERENCE.fullmatch(self.value.strip())
        if match is None:
            raise PluginError(f"its entry point {self.value!r} is not module or module:name")
        with (
            traced(f"import of {self.name} ({self.distribution} {self.version})"),
            talk_on_stderr(),
        ):
            found: Any = importlib.import_module(match["module"])
            for part in filter(None, (match["attribute"] or "").split(".")):
                found = getattr(found, part)
        return found

    def problem(self, error: BaseException) -> Problem:
        """``error`` as the reason why this plugin offers nothing."""
        return Problem(self.name, self.distribution, one_line(error), self.version)

    def _refuse_other_release(self) -> None:
        """An older or newer adapter-hub than it was written for would fail in odder ways."""
        ours = [each for each in self.requires if _NEEDS_US.match(each)]
        if not ours:
            return
        running = _running()
        if all(_is_met_plainly(each, running) for each in ours):
            return
        # It takes longer to import than most plugins.
        from packaging.requirements import InvalidRequirement, Requirement

        for each in ours:
            try:
                wanted = Requirement(each)
            except InvalidRequirement:
                continue
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
                continue
            if not wanted.specifier.contains(running, prereleases=True):
                raise PluginError(
                    f"it needs {_OURSELVES}{wanted.specifier}, and this is {_OURSELVES} {running}"
                )


def find_entries(group: str) -> tuple[list[Entry], list[Problem]]:
    """The entry points of a group by name, of those that ``ADAPTER_HUB_PLUGINS`` allows.

    A distribution whose own files are damaged is a problem of its own, and hides no other.
    """
    entries: list[Entry] = []
    problems: list[Problem] = []
    for distribution, (name, version, requires) in _distributions(group):
        try:
            points = distribution.entry_points.select(group=group)
        except Exception as error:  # what is raised depends on the Python
            where = name or str(distribution.locate_file(""))
            reason = f"its entry_points.txt cannot be read: {one_line(error)}"
            problems.append(Problem(where, where, reason, version))
            continue
        for each in points:
            # A half-removed installation may know no name.
            entries.append(Entry(each.name, each.value, name or each.value, version, requires))
    entries.sort(key=lambda each: (each.name, each.distribution))
    allowed = os.environ.get(ALLOW_VARIABLE)
    if allowed is None:
        return entries, problems
    names = {each.strip() for each in allowed.split(",")}
    return (
        [each for each in entries if {each.name, each.distribution} & names],
        [each for each in problems if {each.plugin, each.distribution} & names],
    )


@dataclass(frozen=True)
class Distribution:
    """An installed distribution that brings plugins or commands, of these names."""

    name: str
    version: str
    entries: tuple[str, ...]


def plugin_distributions() -> list[Distribution]:
    """All that are installed, whether they work and are allowed or not."""
    found: dict[str, Distribution] = {}
    for group in (ENTRY_POINT_GROUP, COMMAND_GROUP):
        for distribution, (name, version, _) in _distributions(group):
            entries = found[name].entries if name in found else ()
            with contextlib.suppress(Exception):  # as above
                points = distribution.entry_points.select(group=group)
                entries += tuple(each.name for each in points)
            if name:
                found[name] = Distribution(name, version, entries)
    return list(found.values())


def canonical(name: str) -> str:
    """A distribution's name as all its spellings are compared: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def strict() -> bool:
    """Whether a broken plugin ends the command."""
    return os.environ.get(STRICT_VARIABLE) == "1"


def _distributions(group: str) -> Iterator[tuple[metadata.Distribution, _About]]:
    """Those that name the group; of two copies of one, the one that Python would import.

    ``metadata.entry_points`` would do, but one damaged file anywhere ends it.
    """
    seen = set()
    for each in metadata.distributions():
        try:
            text = each.read_text("entry_points.txt") or ""
        except (OSError, UnicodeDecodeError):
            continue
        if f"[{group}]" in text:
            about = _about(each)
            name = canonical(about[0])
            if not name or name not in seen:
                yield each, about
            seen.add(name)


def _about(distribution: metadata.Distribution) -> _About:
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except (OSError, UnicodeDecodeError):
        return "", "", ()
    # The fields alone: `distribution.metadata` reads the long description too, at every access.
    told = email.message_from_string(text.partition("\n\n")[0])
    return told["Name"] or "", told["Version"] or "", tuple(told.get_all("Requires-Dist") or ())


@functools.cache
def _running() -> str:
    return metadata.version(_OURSELVES)


def _is_met_plainly(requirement: str, running: str) -> bool:
    """Whether it is ``adapter-hub>=X.Y`` alone and plain numbers meet it, as most are."""
    match = _PLAIN.fullmatch(requirement)
    if match is None or re.fullmatch(r"\d+(\.\d+)*", running) is None:
        return False
    wanted, ours = ([int(part) for part in each.split(".")] for each in (match["version"], running))
    return ours >= wanted
