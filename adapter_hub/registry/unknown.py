"""Keys of ``registry.toml`` that nothing reads: misspelt, or somebody else's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from adapter_hub.options import suggestion
from adapter_hub.registry.tables import ADAPTER_KEYS, VERSION_KEYS

TOP_KEYS = ("schema", "bases", "remotes", "adapters")
BASE_KEYS = ("source", "revision", "remote", "trust_remote_code", "code")
REMOTE_KEYS = ("endpoint",)

Found = list[tuple[tuple[str, ...], str]]


def unknown_keys(document: Mapping[str, Any], adapters: Collection[str] = ()) -> Found:
    """The path of each, and what is wrong in one line; of these ``adapters`` alone, or of all."""
    found = _unknown((), document, TOP_KEYS)
    for name, base in document.get("bases", {}).items():
        found += _unknown(("bases", name), base, BASE_KEYS)
    for name, remote in document.get("remotes", {}).items():
        if isinstance(remote, Mapping):
            found += _unknown(("remotes", name), remote, REMOTE_KEYS)
    tables = document.get("adapters", {})
    chosen = [(name, tables[name]) for name in adapters if name in tables]
    for name, adapter in chosen if adapters else tables.items():
        found += _unknown(("adapters", name), adapter, ADAPTER_KEYS)
        versions = adapter.get("versions", {})
        for number, version in versions.items() if isinstance(versions, Mapping) else ():
            if isinstance(version, Mapping):
                path = ("adapters", name, "versions", number)
                found += _unknown(path, version, VERSION_KEYS)
    return found


def _unknown(path: tuple[str, ...], table: Mapping[str, Any], known: Iterable[str]) -> Found:
    where = f" of {'.'.join(path)}" if path else ""
    return [
        ((*path, key), f"key {key!r}{where} is not known{suggestion(key, known)}")
        for key in table
        if key not in known
    ]
