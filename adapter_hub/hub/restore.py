"""A version's files as they were, from what a push made of them.

A push names the base as others find it, and puts a card in the place of README.md; an import or a
pull writes a record where none came. All that can be made again, and a digest tells if it is right.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapter_hub.errors import AdapterHubError
from adapter_hub.hub.files import CARD, CARD_IN_RECORD
from adapter_hub.loading.bases import folder_at_hand
from adapter_hub.loading.folders import CONFIG, RECORD, read_record, recorded
from adapter_hub.loading.identity import base_identity, read_json
from adapter_hub.loading.imports import imported_record, record_bytes
from adapter_hub.loading.recorded import at_recorded_commit
from adapter_hub.model import Base, Version
from adapter_hub.plugins import Catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digest


def restore_files(
    folder: Path, version: Version, registry: Registry, catalog: Catalog
) -> dict[str, Path | bytes]:
    """The files of ``version``, of which ``folder`` holds what its commit has of them.

    One that cannot be made again is left out.
    """
    config, record = read_json(folder / CONFIG), read_record(folder)
    files: dict[str, Path | bytes] = {}
    for name, digest in version.files.items():
        path = folder / name
        if path.is_file() and file_digest(path) == digest:
            files[name] = path
            continue
        for content in _candidates(name, config, record, registry, catalog):
            if f"sha256:{hashlib.sha256(content).hexdigest()}" == digest:
                files[name] = content
                break
    return files


def _candidates(
    name: str, config: dict[str, Any], record: dict[str, Any], registry: Registry, catalog: Catalog
) -> Iterator[bytes]:
    if name == CARD and isinstance(record.get(CARD_IN_RECORD), str):
        yield record[CARD_IN_RECORD].encode()
    if name not in (CONFIG, RECORD):
        return
    own = {key: value for key, value in record.items() if key != CARD_IN_RECORD}
    bases = [registry.base(each) for each in registry.base_names()]
    for base in [*bases, *(at_recorded_commit(each, config, record) for each in bases)]:
        if name == CONFIG:
            yield from _configs(config, base)
        else:
            yield from _records(config, own, base, registry, catalog)


def _configs(config: dict[str, Any], base: Base) -> Iterator[bytes]:
    hub = base.source.kind == "hf"
    named = str(base.source) if base.source.kind == "plugin" else base.source.location
    told = {
        **config,
        "base_model_name_or_path": named,
        "revision": base.revision if hub else None,
    }
    for ascii_only in (True, False):
        text = json.dumps(told, indent=2, sort_keys=True, ensure_ascii=ascii_only)
        yield (text + "\n").encode()


def _records(
    config: dict[str, Any],
    record: dict[str, Any],
    base: Base,
    registry: Registry,
    catalog: Catalog,
) -> Iterator[bytes]:
    # As training wrote it, before a push.
    told = {"source": str(base.source), "revision": base.revision}
    pushed = {**record, "base": {**recorded(record, "base"), **told}}
    if "recipe" in record:
        pushed["recipe"] = {**recorded(record, "recipe"), "base": told}
    yield record_bytes(record)
    yield record_bytes(pushed)
    # As an import or a pull wrote it, whether the base was at hand or not.
    identities: list[dict[str, Any]] = [{}, recorded(recorded(record, "base"), "identity")]
    try:
        located = folder_at_hand(base, catalog, registry.folder)
        identities += [base_identity(located).as_record()] if located else []
    except AdapterHubError:
        pass  # a base that is not here made no record here
    for each in identities:
        yield record_bytes(imported_record(config, record, base, each, catalog))
