"""Take over an adapter folder that something else saved."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from adapter_hub.errors import IncompatibleError, RegistryError, UnknownNameError, UsageError
from adapter_hub.loading.bases import folder_at_hand
from adapter_hub.loading.folders import (
    ADAPTER_FILES,
    CONFIG,
    RECORD,
    RECORD_FORMAT,
    WEIGHTS,
    check_adapter_folder,
    read_record,
    recorded,
)
from adapter_hub.loading.identity import base_identity, differences
from adapter_hub.loading.pickles import PICKLE, convert_pickle
from adapter_hub.loading.recorded import at_recorded_commit, base_of
from adapter_hub.model import Base, Recipe, Version, check_name, is_commit
from adapter_hub.plugins import Catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import (
    file_digests,
    publish_version,
    staging_folder,
    version_digest,
)


@dataclass(frozen=True)
class Origin:
    """What is known of an adapter beside its files; ``move`` gives the files away for good.

    ``weights`` lie elsewhere than the other files, if given; ``converted`` tells from what.
    ``event`` is what the journal calls it.
    """

    hub: Mapping[str, str] = field(default_factory=dict)
    weights: Path | None = None
    converted: Mapping[str, str] = field(default_factory=dict)
    recipe: Recipe | None = None
    digest: str | None = None
    move: bool = False
    event: str = "import"


def import_pickle(
    registry: Registry,
    catalog: Catalog,
    folder: Path,
    name: str,
    base_name: str | None,
    origin: Origin | None = None,
    *,
    convert: bool = True,
) -> dict[str, Any]:
    """``import_adapter`` of a folder whose weights may be pickled: they are converted on the way.

    Raises UsageError too for a pickle that holds anything but tensors.
    """
    if not convert or (folder / WEIGHTS).is_file() or not (folder / PICKLE).is_file():
        return import_adapter(registry, catalog, folder, name, base_name, origin)
    _refuse_outside(folder, {PICKLE: (folder / PICKLE).resolve()})
    with tempfile.TemporaryDirectory(prefix="adapter-hub-") as place:
        weights = Path(place) / WEIGHTS
        converted = convert_pickle(folder / PICKLE, weights)
        origin = replace(origin or Origin(), weights=weights, converted=converted)
        return import_adapter(registry, catalog, folder, name, base_name, origin)


def import_adapter(
    registry: Registry,
    catalog: Catalog,
    folder: Path,
    name: str,
    base_name: str | None,
    origin: Origin | None = None,
) -> dict[str, Any]:
    """Copy the adapter in ``folder`` into a new version of ``name``, its base written down.

    Raises UsageError when it is no PEFT adapter in safetensors or links to files elsewhere,
    UnknownNameError when its base is not in the registry, IncompatibleError when it says it was
    trained on another base.
    """
    check_name(name, "an adapter")
    origin = origin or Origin()
    files = own_files(folder)
    config = check_adapter_folder(folder, origin.weights)
    if origin.weights is not None:
        files[WEIGHTS] = origin.weights
    record = read_record(folder)
    base, identity = base_and_identity(config, record, folder, registry, catalog, base_name)
    record = imported_record(config, record, base, identity, catalog)
    if origin.converted:
        record = {**record, "converted": dict(origin.converted)}
    with staging_folder(registry, name) as staging:
        try:
            for file, source in files.items():
                _take(source, staging / file, origin.move)
            if record != read_record(staging):
                (staging / RECORD).unlink(missing_ok=True)  # it may be a link to the file it was
                (staging / RECORD).write_bytes(record_bytes(record))
        except OSError as error:
            raise RegistryError(f"{folder} cannot be copied: {error.strerror or error}.") from error
        metrics = {
            key: float(value)
            for key, value in recorded(record, "metrics").items()
            if isinstance(value, (int, float)) and math.isfinite(value)
        }
        version = Version(
            number=0,
            created=datetime.now(timezone.utc).replace(microsecond=0),
            files=file_digests(staging),
            metrics=metrics,
            recipe=origin.digest,
            hub=origin.hub,
        )
        recipe = None
        if not registry.has_adapter(name):
            recipe = origin.recipe or Recipe(base=base.name, method=_method(config, catalog))
        number = publish_version(registry, name, staging, version, recipe, event=origin.event)
    return {
        "name": name,
        "version": number,
        "base": base.name,
        "files": dict(version.files),
        "digest": version_digest(version.files),
        "path": str(registry.version_folder(name, number)),
    }


def imported_record(
    config: dict[str, Any],
    record: dict[str, Any],
    base: Base,
    identity: dict[str, Any],
    catalog: Catalog,
) -> dict[str, Any]:
    """The record that an import leaves, given the one that came, or none."""
    return _with_base(record, base, identity, _method_record(record, config, catalog))


def record_bytes(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()


def _take(source: Path, target: Path, move: bool) -> None:
    if move:
        try:
            os.link(source, target)
            return
        except OSError:  # a file system without links
            pass
    shutil.copyfile(source, target)


def own_files(folder: Path) -> dict[str, Path]:
    """What is kept of ``folder``, by name, links followed. Raises UsageError."""
    files = {name: (folder / name).resolve() for name in ADAPTER_FILES if (folder / name).is_file()}
    _refuse_outside(folder, files)
    return files


def _refuse_outside(folder: Path, files: Mapping[str, Path]) -> None:
    """Raises UsageError for a link that leads out of the folder.

    A folder from elsewhere must not bring other files of this machine into the registry.
    """
    within = [folder.resolve()]
    for each in (within[0], *within[0].parents):
        if is_commit(each.name) and each.parent.name == "snapshots":
            # A folder of the Hugging Face cache: its files lie in the same repository's blobs.
            within.append(each.parent.parent / "blobs")
            break
    for name, real in files.items():
        if not any(real.is_relative_to(each) for each in within):
            raise UsageError(
                f"{folder / name} is a link to a file outside the folder.",
                hint="put the file itself there",
            )


def base_and_identity(
    config: dict[str, Any],
    record: dict[str, Any],
    folder: Path,
    registry: Registry,
    catalog: Catalog,
    name: str | None,
) -> tuple[Base, dict[str, Any]]:
    """The base that the adapter in ``folder`` sits on, or is said to (``name``), and its identity.

    Raises UnknownNameError when it is not in the registry, BaseModelError when none is named,
    IncompatibleError when the files at hand are not those that it was trained on.
    """
    base = _base(config, record, folder, registry, name)
    return base, _identity(record, base, folder, registry, catalog)


def _base(
    config: dict[str, Any],
    record: dict[str, Any],
    folder: Path,
    registry: Registry,
    name: str | None,
) -> Base:
    if name is not None:
        # The commit that it was trained at stays, when the base has been pinned anew since.
        return at_recorded_commit(registry.base(name), config, record)
    base = base_of(config, record, folder, registry)
    if base.name not in registry.base_names():
        raise UnknownNameError(
            f"{folder / CONFIG} names the base {base.name!r}, which is not in the registry.",
            hint=f"name the base it sits on: --base BASE, or: adapter-hub base add NAME {base.source}",
        )
    return base


def _identity(
    record: dict[str, Any], base: Base, folder: Path, registry: Registry, catalog: Catalog
) -> dict[str, Any]:
    """The identity of the base's files if they are here, else the one that was recorded.

    Raises IncompatibleError when the files at hand are not those of the record.
    """
    told = recorded(recorded(record, "base"), "identity")
    located = folder_at_hand(base, catalog, registry.folder)
    if located is None:
        return told
    found = base_identity(located)
    changed = differences(told, found)
    if changed:
        raise IncompatibleError(
            f"{folder} was trained on another base than {base.name!r}: the {' and the '.join(changed)} differ.",
            hint="adapter-hub base list",
        )
    return {**found.as_record(), **told}


def _with_base(
    record: dict[str, Any], base: Base, identity: dict[str, Any], method: dict[str, Any]
) -> dict[str, Any]:
    """The record with what the adapter sits on; as it came when it says that already."""
    told = recorded(record, "base")
    if (told.get("source"), told.get("revision")) == (str(base.source), base.revision) and (
        told.get("identity") or not identity
    ):
        return record
    table = {
        "name": base.name,
        "source": str(base.source),
        "revision": base.revision,
        "identity": identity,
    }
    return {"format": RECORD_FORMAT, **record, "imported": True, "base": table, "method": method}


def _method_record(
    record: dict[str, Any], config: dict[str, Any], catalog: Catalog
) -> dict[str, Any]:
    """The method as the record has it, where it is the one of the config, else as known here."""
    kind = str(config.get("peft_type", ""))
    told = recorded(record, "method")
    if told.get("name") and told.get("peft_type") == kind:
        return told
    offer = catalog.find_method_of(kind)
    known = {"distribution": offer.distribution, "version": offer.version} if offer else {}
    return {"name": _method(config, catalog), "peft_type": kind, **known}


def _method(config: dict[str, Any], catalog: Catalog) -> str:
    kind = str(config.get("peft_type", ""))
    offer = catalog.find_method_of(kind)
    return offer.name if offer else kind.lower() or "lora"
