"""``verify``: whether versions are what was recorded, file by file and record by record."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapter_hub.errors import UsageError
from adapter_hub.model import Reference, Version, parse_reference
from adapter_hub.registry.details import RECORD
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import damage

CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Verified:
    """A version, what was read of it, and one phrase for each thing that is not as recorded."""

    name: str
    version: int
    files: int
    bytes: int
    problems: list[str]


def verify(
    references: Iterable[str | Reference] = (),
    *,
    registry: Registry | None = None,
    every: bool = False,
) -> list[Verified]:
    """Read the files of versions and compare them with what was recorded, several at once.

    Of each reference the version that it names, or ``every`` version; without references all
    of all. Raises UsageError, UnknownNameError, RegistryError.
    """
    registry = registry or Registry.open()
    parsed = [parse_reference(each) if isinstance(each, str) else each for each in references]
    chosen = _chosen(registry, parsed, every)
    with ThreadPoolExecutor() as pool:
        # Hashing lets go of the interpreter's lock, so threads are as good as processes.
        return list(pool.map(lambda each: _verified(registry, *each), chosen))


def _chosen(
    registry: Registry, references: list[Reference], every: bool
) -> list[tuple[str, Version]]:
    if not references:
        adapters = list(registry.adapters())
        return [(each.name, one) for each in adapters for _, one in sorted(each.versions.items())]
    chosen: dict[tuple[str, int], Version] = {}
    for reference in references:
        if reference.kind != "name":
            raise UsageError(
                f"{reference} is not in the registry, so nothing was recorded of it.",
                hint="adapter-hub list",
            )
        adapter, version = registry.resolve(reference)
        whole = every and reference.selector is None
        for each in adapter.versions.values() if whole else [version]:
            chosen[adapter.name, each.number] = each
    return [(name, version) for (name, _), version in chosen.items()]


def _verified(registry: Registry, name: str, version: Version) -> Verified:
    folder = registry.version_folder(name, version.number)
    try:
        problems = damage(folder, version) or list(_contradictions(folder, version))
        paths = (folder / name for name in version.files)
        size = sum(path.stat().st_size for path in paths if path.is_file())
    except OSError as error:
        problems, size = [f"{error.filename} cannot be read: {error.strerror}"], 0
    return Verified(name, version.number, len(version.files), size, problems)


def _contradictions(folder: Path, version: Version) -> Iterator[str]:
    """Where adapter_config.json, the record and the registry's entry tell different things.

    Digests prove that files are as they were when they were recorded, and no more.
    """
    told: list[Mapping[str, Any]] = []
    for name in (CONFIG, RECORD):
        content = _read(folder / name) if name in version.files else {}
        if content is None:
            yield f"{name} is no JSON object"
        told.append(content or {})
    config, record = told
    digest = record.get("recipe_digest")
    if digest and version.recipe and digest != version.recipe:
        yield f"{RECORD} tells another recipe than registry.toml"
    for key, value in _table(record, "metrics").items():
        if not _agree(value, version.metrics.get(key)):
            yield f"{RECORD} tells {key} {value}, and registry.toml {version.metrics[key]}"
    kind = _table(record, "method").get("peft_type")
    if kind and config.get("peft_type") != kind:
        yield f"{CONFIG} tells the method {config.get('peft_type')}, and {RECORD} {kind}"
    base = _named_base(record)
    found = config.get("base_model_name_or_path"), config.get("revision")
    if base and found != base:
        yield f"{CONFIG} tells the base {_at(*found)}, and {RECORD} {_at(*base)}"


def _read(path: Path) -> Any:
    """A JSON object; None for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _table(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = record.get(key)
    return table if isinstance(table, dict) else {}


def _agree(value: Any, other: float | None) -> bool:
    """Also where there are not two numbers to compare: metrics can be added later."""
    numbers = isinstance(value, (int, float)) and other is not None
    return not numbers or math.isclose(value, other) or value != value  # type: ignore[arg-type]


def _named_base(record: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """How adapter_config.json has to name the record's base.

    None for an adapter that came from elsewhere: its base is what a person said it is.
    """
    source, revision = _table(record, "base").get("source"), _table(record, "base").get("revision")
    if record.get("imported") or not isinstance(source, str):
        return None
    kind, _, location = source.partition(":")
    return (
        (location, revision) if kind == "hf" else (source if kind == "plugin" else location, None)
    )


def _at(base: Any, revision: Any) -> str:
    return f"{base} at {revision}" if revision else str(base)
