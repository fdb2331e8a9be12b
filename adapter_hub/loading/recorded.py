"""Which base an adapter sits on: its record says so, or else its PEFT config."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from adapter_hub.errors import BaseModelError, UsageError
from adapter_hub.loading.folders import CONFIG, recorded
from adapter_hub.model import Base, Source, is_commit, parse_source
from adapter_hub.registry.store import Registry


def base_of(
    config: dict[str, Any], record: dict[str, Any], folder: Path, registry: Registry | None
) -> Base:
    """The base of the adapter in ``folder``, as the registry calls it where it knows it.

    A Hub base has the revision that was recorded, whatever the registry pins by now. A name in
    a record proves nothing: another registry may give it to another base. Raises BaseModelError
    when neither record nor config names a base.
    """
    return _from_record(record, registry) or _from_config(config, folder, registry)


def at_recorded_commit(base: Base, config: dict[str, Any], record: dict[str, Any]) -> Base:
    """A Hub base at the commit that the record, or else the config, says of that very source."""
    table = recorded(record, "base")
    says = [
        (table.get("source"), table.get("revision")),
        (f"hf:{config.get('base_model_name_or_path')}", config.get("revision")),
    ]
    for source, revision in says:
        same = base.source.kind == "hf" and source == str(base.source)
        if same and isinstance(revision, str) and is_commit(revision):
            return base.at(revision)
    return base


def _registered(base: Base, registry: Registry | None) -> Base | None:
    """The registry's base of the same source, at the revision of ``base`` if that is a commit.

    Where several have the source, the one with that revision, else the one with that name.
    """
    same = [each for each in _bases(registry) if _same(each.source, base.source, root_of(registry))]
    same.sort(key=lambda each: (each.revision != base.revision, each.name != base.name))
    if not same:
        return None
    if base.source.kind == "hf" and base.revision and is_commit(base.revision):
        return same[0].at(base.revision)
    return same[0]


def _from_record(record: dict[str, Any], registry: Registry | None) -> Base | None:
    table = recorded(record, "base")
    named, source, revision = (table.get(key) for key in ("name", "source", "revision"))
    try:
        parsed = parse_source(source if isinstance(source, str) else "")
    except UsageError:
        return None
    name = named if isinstance(named, str) and named else str(parsed)
    base = Base(name, parsed, revision if isinstance(revision, str) else None)
    known = _registered(base, registry)
    if known is not None:
        return known
    if name in [each.name for each in _bases(registry)]:
        base = dataclasses.replace(base, name=str(parsed))  # here that name means another base
    if parsed.kind == "hf":
        return base
    if parsed.kind == "path" and (_place(parsed, root_of(registry)) / "config.json").is_file():
        return base
    return _with_identity(table, name, registry)


def _with_identity(table: dict[str, Any], name: str, registry: Registry | None) -> Base | None:
    """A local base that has moved: found by its pinned weights, else by its name.

    The name alone is enough only because the recorded identity is compared before loading.
    """
    identity = recorded(table, "identity")
    weights = identity.get("weights")
    if not weights:
        return None
    bases = _bases(registry)
    pinned = [each for each in bases if each.revision == weights]
    return next(iter(pinned + [each for each in bases if each.name == name]), None)


def _from_config(config: dict[str, Any], folder: Path, registry: Registry | None) -> Base:
    named, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(named, str) or not named:
        raise BaseModelError(
            f"{folder / CONFIG} does not name its base.", hint="name it: --base BASE"
        )
    source = _source_of(named, folder, registry)
    base = Base(named, source, revision if isinstance(revision, str) else None)
    return _registered(base, registry) or base


def _source_of(named: str, folder: Path, registry: Registry | None) -> Source:
    if named.startswith("plugin:"):
        return Source("plugin", named.removeprefix("plugin:"))
    for start in (root_of(registry), Path.cwd(), folder):
        if (start / named / "config.json").is_file():
            # Relative to the registry it is written as there; else it must be found from anywhere.
            return Source(
                "path", named if start == root_of(registry) else str((start / named).resolve())
            )
    return Source(
        "hf" if named.count("/") == 1 and not named.startswith((".", "/")) else "path", named
    )


def _same(one: Source, other: Source, root: Path) -> bool:
    if one.kind == other.kind == "path":
        return _place(one, root) == _place(other, root)
    return one == other


def _place(source: Source, root: Path) -> Path:
    return (root / Path(source.location).expanduser()).resolve()


def _bases(registry: Registry | None) -> list[Base]:
    return [registry.base(name) for name in registry.base_names()] if registry else []


def root_of(registry: Registry | None) -> Path:
    """The folder that a base's relative path starts from: the registry's, else the working one."""
    return registry.folder if registry else Path.cwd()
