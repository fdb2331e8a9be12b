"""``bundle apply``: what arrived is compared with its manifest, all of it, before any is named."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapter_hub.errors import (
    ConflictError,
    IncompatibleError,
    RegistryError,
    UsageError,
    VerificationError,
)
from adapter_hub.loading.archive import Read
from adapter_hub.loading.bases import folder_at_hand
from adapter_hub.loading.bundle import Say
from adapter_hub.loading.carried import carried_folder, carried_place
from adapter_hub.loading.folders import check_adapter_folder
from adapter_hub.loading.identity import base_identity, differences
from adapter_hub.loading.manifest import BundledBase, Entry, Manifest, read_bundle
from adapter_hub.loading.remotes import HUGGING_FACE
from adapter_hub.model import Adapter, Base, Remote, Version, check_name
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry import schema
from adapter_hub.registry.arrivals import place_versions, publish_arrivals
from adapter_hub.registry.atomic import sync_folder
from adapter_hub.registry.files import ignore_in_git
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import make_durable, staging_folder

_SPARE = 16 << 20
"""Bytes that must stay free on the disk: for the registry itself, and for what folders take."""


@dataclass
class Applied:
    """What ``bundle apply --json`` prints: versions by adapter, ``bases`` that are new here.

    The numbers of ``added`` and ``same`` are those here, each by the number in the bundle.
    """

    path: str
    dry_run: bool
    bytes: int = 0
    bases: list[str] = field(default_factory=list)
    adapters: dict[str, dict[str, Any]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class _Landing:
    """A base's place here: the entry to add, and where its files go; each None if it is here."""

    name: str
    entry: Base | None = None
    place: str | None = None


def apply_bundle(
    path: Path,
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    name: str | None = None,
    dry_run: bool = False,
    say: Say = lambda text: None,
) -> Applied:
    """Verify the bundle at ``path``, and name its bases and versions in the registry.

    Nothing is named unless every byte of it is what the manifest says. What is here already is
    not added again. Raises VerificationError for a damaged or hostile bundle, UsageError,
    RegistryError where the disk is too small, IncompatibleError for an adapter on a base that is
    neither here nor in the bundle, ConflictError.
    """
    registry, catalog = registry or Registry.open(), catalog or load_catalog()
    manifest, members = read_bundle(path)
    if name is not None:
        check_name(name, "an adapter")
        if len(manifest.adapters) != 1:
            raise UsageError(
                f"--as goes with one adapter, and {path} has {len(manifest.adapters)}."
            )
    names = {each: name or each for each in manifest.adapters}
    for each in names.values():
        registry.refuse_twin(each, "adapter")
    landings: dict[str, _Landing] = {}
    known = [registry.base(each) for each in registry.base_names()]
    for each, base in sorted(manifest.bases.items()):
        landings[each] = _land(registry, catalog, each, base, known)
        known += [entry for entry in [landings[each].entry] if entry]
    wanted = _wanted(registry, manifest, names, landings)
    result = Applied(str(path), dry_run, sum(wanted.values()))
    _check_room(registry, result.bytes)
    with contextlib.ExitStack() as stack:
        staging = None
        if wanted and not dry_run:
            first = next(iter(names.values()))
            staging = stack.enter_context(staging_folder(registry, first))
        _read_all(path, members, wanted, staging)
        if staging is not None:
            _check_staged(path, manifest, staging)
        for each, landing in landings.items():
            if not dry_run:
                _put_base(registry, landing, staging / "bases" / each if staging else None, say)
            if landing.entry is not None:
                result.bases.append(landing.name)
        for each, here in names.items():
            told = _put_adapter(registry, manifest, each, here, landings, staging, dry_run)
            result.adapters[here] = told
    return result


def _land(
    registry: Registry, catalog: Catalog, name: str, bundled: BundledBase, known: list[Base]
) -> _Landing:
    """``known`` are the bases that are here, or will be."""
    base = bundled.base
    if base.source.kind == "path":
        return _land_folder(registry, catalog, name, bundled, known)
    remote = _remote_here(registry, base)
    base = dataclasses.replace(base, remote=remote)
    place = None
    if bundled.files and carried_folder(base, registry.folder) is None:
        place = carried_place(base)
        if folder_at_hand(base, catalog, registry.folder) is not None:
            place = None
    same = [each for each in known if (each.source, each.remote) == (base.source, base.remote)]
    if same:
        return _Landing(same[0].name, None, place)
    return _Landing(name, dataclasses.replace(base, name=_free(name, known)), place)


def _land_folder(
    registry: Registry, catalog: Catalog, name: str, bundled: BundledBase, known: list[Base]
) -> _Landing:
    """A base that is a folder: known by its weights, wherever it lies here."""
    weights = bundled.identity.get("weights")
    if not weights:
        raise IncompatibleError(f"the bundle does not tell which weights base {name!r} has.")
    for each in sorted(known, key=lambda base: base.name != name):
        if each.revision == weights:
            return _Landing(each.name)
        if each.name.casefold() == name.casefold():
            folder = folder_at_hand(each, catalog, registry.folder)
            if folder is None or differences(dict(bundled.identity), base_identity(folder)):
                raise IncompatibleError(
                    f"base {each.name!r} here is another one than that of the bundle.",
                    hint="apply it in a registry of its own: adapter-hub init DIR",
                )
            return _Landing(each.name)
    if not bundled.files:
        raise IncompatibleError(
            f"the adapters sit on base {name!r}, a folder that is neither here nor in the bundle.",
            hint=f"adapter-hub base add {name} path:DIR, or make the bundle with --with-bases",
        )
    place = carried_place(bundled.base)
    if os.path.lexists(registry.folder / place) and _other(registry.folder / place, bundled):
        raise ConflictError(
            f"{registry.folder / place} is already there, and is not base {name!r} of the bundle.",
            hint="move it away, then apply again",
        )
    return _Landing(name, dataclasses.replace(bundled.base, revision=weights), place)


def _other(folder: Path, bundled: BundledBase) -> bool:
    """Whether a folder, which an apply that was stopped may have left, holds another base."""
    return not (folder / "config.json").is_file() or bool(
        differences(dict(bundled.identity), base_identity(folder))
    )


def _remote_here(registry: Registry, base: Base) -> Remote | None:
    """The Hub of a base as it is named here. A bundle does not decide whom this machine asks."""
    if base.remote is None or base.remote.endpoint == HUGGING_FACE:
        return None
    for name in registry.remote_names():
        if registry.remote(name).endpoint == base.remote.endpoint:
            return registry.remote(name)
    raise UsageError(
        f"base {base.name!r} is of the Hub at {base.remote.endpoint}, which the registry does not name.",
        hint=f'if you trust it, write: [remotes.NAME] with endpoint = "{base.remote.endpoint}"',
    )


def _free(name: str, known: list[Base]) -> str:
    taken = {each.name.casefold() for each in known}
    names = [name, *(f"{name[:90]}-{number}" for number in range(2, 1000))]
    return next(each for each in names if each.casefold() not in taken)


def _wanted(
    registry: Registry,
    manifest: Manifest,
    names: Mapping[str, str],
    landings: Mapping[str, _Landing],
) -> dict[str, int]:
    """Of the bundle's files those that are not here, with their sizes."""
    prefixes = [f"bases/{each}/" for each, landing in landings.items() if landing.place]
    for name, here in names.items():
        versions = {n: each.version for n, each in manifest.versions[name].items()}
        taken = registry.adapter(here).versions if registry.has_adapter(here) else {}
        arrived = place_versions({n: each.files for n, each in taken.items()}, versions)
        prefixes += [f"adapters/{name}/{number}/" for number in arrived.added]
    return {
        member: entry.size
        for member, entry in manifest.members()
        if member.startswith(tuple(prefixes))
    }


def _check_room(registry: Registry, size: int) -> None:
    free = shutil.disk_usage(registry.folder).free
    if size and size + _SPARE > free:
        raise RegistryError(
            f"{size:,} bytes are to be written, and {registry.folder} has {free:,} left; "
            "nothing was changed.",
            hint="make room on the disk, then apply again",
        )


def _read_all(
    path: Path,
    members: Iterator[tuple[str, Entry, Read]],
    wanted: Mapping[str, int],
    staging: Path | None,
) -> None:
    """Every byte of the bundle against the manifest; what is wanted into ``staging``."""
    for name, entry, read in members:
        digest = hashlib.sha256()
        target = staging / name if staging and name in wanted else Path(os.devnull)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                for chunk in read():
                    digest.update(chunk)
                    file.write(chunk)
        except OSError as error:
            raise RegistryError(
                f"{target} cannot be written: {error.strerror or error}; nothing was changed."
            ) from error
        if f"sha256:{digest.hexdigest()}" != entry.digest:
            raise VerificationError(
                f"{path} is damaged: {name} is not what its manifest says; nothing was changed.",
                hint="copy it again, or make it anew",
            )


def _check_staged(path: Path, manifest: Manifest, staging: Path) -> None:
    """What digests cannot tell: that the files are an adapter's, and a base's."""
    for name, versions in manifest.versions.items():
        for number in versions:
            folder = staging / "adapters" / name / str(number)
            if folder.is_dir():
                check_adapter_folder(folder)
    for name, bundled in manifest.bases.items():
        folder = staging / "bases" / name
        if folder.is_dir() and differences(dict(bundled.identity), base_identity(folder)):
            raise VerificationError(f"{path} is refused: base {name!r} is not what it says it is.")


def _put_base(registry: Registry, landing: _Landing, staged: Path | None, say: Say) -> None:
    """The base's files in their place, then its entry."""
    if landing.place is not None and staged is not None:
        final = registry.folder / landing.place
        if not os.path.lexists(final):
            try:
                final.parent.mkdir(parents=True, exist_ok=True)
                make_durable(staged)
                os.rename(staged, final)
                sync_folder(final.parent)
            except OSError as error:
                raise RegistryError(
                    f"{final} cannot be written: {error.strerror or error}."
                ) from error
            ignore_in_git(registry.folder, f"{landing.place}/")
        say(f"the files of base {landing.name} are in {final}")
    if landing.entry is not None:
        registry.put_base(landing.entry)
        say(f"added base {landing.name}: {landing.entry.source}")


def _put_adapter(
    registry: Registry,
    manifest: Manifest,
    name: str,
    here: str,
    landings: Mapping[str, _Landing],
    staging: Path | None,
    dry_run: bool,
) -> dict[str, Any]:
    adapter = manifest.adapters[name]
    versions: dict[int, Version] = {n: each.version for n, each in manifest.versions[name].items()}
    folders = {n: staging / "adapters" / name / str(n) for n in versions} if staging else {}
    taken = registry.adapter(here).versions if registry.has_adapter(here) else {}
    if dry_run:
        arrived = place_versions({n: each.files for n, each in taken.items()}, versions)
    else:
        there = {n: folder for n, folder in folders.items() if folder.is_dir()}
        table = _table(adapter, landings)
        arrived = publish_arrivals(registry, here, there, versions, table, adapter.aliases)
    return {
        "added": {str(came): number for came, number in arrived.added.items()},
        "same": {str(came): number for came, number in arrived.same.items()},
        "kept_aliases": arrived.kept_aliases,
    }


def _table(adapter: Adapter, landings: Mapping[str, _Landing]) -> dict[str, Any]:
    """The entry of an adapter that is new here, without its versions."""
    recipe, landing = adapter.recipe, landings.get(adapter.recipe.base or "")
    if landing is not None:
        recipe = dataclasses.replace(recipe, base=landing.name)
    table = {
        **schema.recipe_table(recipe),
        "description": adapter.description,
        "tags": list(adapter.tags),
    }
    return {key: value for key, value in table.items() if value}
