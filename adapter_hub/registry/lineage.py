"""``lineage``: what a version was made from, and what was made from it, by the versions' records.

A record names its parents so, whether its version was trained on from another, varies one in a
sweep, was merged of several or copied::

    {"parents": [{"kind": "continued", "reference": "sums@1", "digest": "sha256:…"}]}

``kind`` is continued, varied, merged or copied, ``digest`` the parent's ``version_digest``: names change
and numbers may come again, digests do neither. That a version was pulled or imported is told by
its entry beside its record.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from adapter_hub.errors import UsageError
from adapter_hub.model import Reference, Version, parse_reference
from adapter_hub.registry.details import RECORD
from adapter_hub.registry.store import Registry
from adapter_hub.registry.tables import in_utc
from adapter_hub.registry.versions import version_digest

Key = tuple[str, int]
Origin = dict[str, Any]

_MARK = b'"parents"'
"""What is in every record that has parents: most have none, and need not be parsed for that."""


def lineage(reference: str | Reference, *, registry: Registry | None = None) -> dict[str, Any]:
    """The object of ``lineage --json``.

    ``versions`` are the version that is meant and all that it came from, nearest first; ``derived``
    are those that came from one of ``derived_from``: from that version or, for a name alone, from
    any of that adapter. Each is ``{"reference", "name", "version", "digest", "created", "from"}``, and its ``from`` are
    ``{"kind", "reference", "digest", "here"}``, where ``here`` says whether that version is in the
    registry. ``kind`` is continued, varied, merged or copied as the record says, pulled or imported. What
    was pushed after an import from a folder looks pulled: a version's entry tells only where it
    lies.

    A version is listed once, whatever circles records describe; a record that cannot be read tells
    nothing. Raises UsageError, UnknownNameError, RegistryError.
    """
    reference = parse_reference(reference) if isinstance(reference, str) else reference
    if reference.kind != "name":
        raise UsageError(
            f"lineage takes an adapter of the registry, not {reference}.", hint="adapter-hub list"
        )
    registry = registry or Registry.open()
    adapter, version = registry.resolve(reference)
    family = _Family(registry)
    root = (adapter.name, version.number)
    above = family.above(root)
    numbers = [version.number] if reference.selector else sorted(adapter.versions)
    roots = [(adapter.name, number) for number in numbers]
    below = family.below(roots, known=above)
    return {
        "reference": _reference(root),
        "versions": [family.told(each) for each in above],
        "derived_from": [_reference(each) for each in roots],
        "derived": [family.told(each) for each in below],
    }


class _Family:
    """All versions of a registry, and what their records say of each other."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._versions: dict[Key, Version] = {}
        self._by_digest: dict[str, list[Key]] = {}
        self._origins: dict[Key, list[tuple[Origin, Key | None]]] = {}
        for name in registry.adapter_names():
            for number, version in sorted(registry.versions(name).items()):
                self._versions[name, number] = version
                digest = version_digest(version.files)
                self._by_digest.setdefault(digest, []).append((name, number))

    def above(self, root: Key) -> list[Key]:
        """``root`` and everything that it came from, nearest first."""
        return self._walk([root], lambda key: [up for _, up in self._from(key) if up])

    def below(self, roots: Iterable[Key], known: Iterable[Key]) -> list[Key]:
        """What came from ``roots``, nearest first, without what is ``known``."""
        first, known = dict.fromkeys(roots), set(known)
        found = self._walk(
            first, lambda key: [each for each in self._children.get(key, []) if each not in known]
        )
        return [
            key
            for key in found
            if key not in known
            and (key not in first or any(up in first for _, up in self._from(key)))
        ]

    def told(self, key: Key) -> dict[str, Any]:
        version = self._versions[key]
        return {
            "reference": _reference(key),
            "name": key[0],
            "version": key[1],
            "digest": version_digest(version.files),
            "created": version.created,
            "from": [origin for origin, _ in self._from(key)],
        }

    @staticmethod
    def _walk(roots: Iterable[Key], near: Any) -> list[Key]:
        seen = dict.fromkeys(roots)
        waiting = deque(seen)
        while waiting:
            for key in near(waiting.popleft()):
                if key not in seen:
                    seen[key] = None
                    waiting.append(key)
        return list(seen)

    @cached_property
    def _children(self) -> dict[Key, list[Key]]:
        children: dict[Key, list[Key]] = {}
        for key in self._versions:
            if _MARK in self._content(key):
                for parent in dict.fromkeys(up for _, up in self._from(key) if up):
                    children.setdefault(parent, []).append(key)
        return children

    def _from(self, key: Key) -> list[tuple[Origin, Key | None]]:
        """Where a version came from, each with the version of this registry that it is, if any."""
        if key not in self._origins:
            record = _parsed(self._content(key))
            told = record.get("parents")
            listed = told if isinstance(told, list) else []
            parents = [each for each in listed if isinstance(each, dict)]
            self._origins[key] = [self._parent(each) for each in parents]
            if not any(each.get("kind") == "copied" for each in parents):
                elsewhere = _from_elsewhere(record, self._versions[key])
                self._origins[key] += [(elsewhere, None)] if elsewhere else []
        return self._origins[key]

    def _parent(self, told: Mapping[str, Any]) -> tuple[Origin, Key | None]:
        kind, named, digest = (_text(told.get(each)) for each in ("kind", "reference", "digest"))
        found = self._find(named, digest)
        return {
            "kind": kind or "derived",
            "reference": _reference(found) if found else named,
            "digest": digest,
            "here": found is not None,
        }, found

    def _find(self, named: str | None, digest: str | None) -> Key | None:
        """By digest; where several have it, the one of that name. By name alone without one."""
        key = _numbered(named)
        if digest is None:
            return key if key in self._versions else None
        same = self._by_digest.get(digest, [])
        return key if key in same else next(iter(same), None)

    def _content(self, key: Key) -> bytes:
        try:
            return (self._registry.version_folder(*key) / RECORD).read_bytes()
        except (OSError, ValueError):
            return b""


def _from_elsewhere(record: Mapping[str, Any], version: Version) -> Origin | None:
    """Pulled or imported: a version that was made here has the time of its record."""
    if not record or (not record.get("imported") and _is_of(record, version)):
        return None
    repo, revision = version.hub.get("repo"), version.hub.get("revision")
    reference = f"hf:{repo}" + (f"@{revision}" if revision else "") if repo else None
    return {
        "kind": "pulled" if repo else "imported",
        "reference": reference,
        "digest": None,
        "here": False,
    }


def _is_of(record: Mapping[str, Any], version: Version) -> bool:
    try:
        created = datetime.fromisoformat(str(record.get("created")).replace("Z", "+00:00"))
    except ValueError:
        return False
    return in_utc(created).replace(microsecond=0) == version.created.replace(microsecond=0)


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        record = json.loads(content or b"{}")
    except (ValueError, RecursionError):  # verify says what is wrong with it
        return {}
    return record if isinstance(record, dict) else {}


def _numbered(reference: str | None) -> Key | None:
    """``NAME@3`` as a key. Where an alias points to by now says nothing of then."""
    try:
        parsed = parse_reference(reference or "")
        return parsed.target, int(parsed.selector or "")
    except (UsageError, ValueError):
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _reference(key: Key) -> str:
    return f"{key[0]}@{key[1]}"
