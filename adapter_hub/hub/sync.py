"""``sync``: the versions and bases that ``registry.lock`` names, on this machine too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from adapter_hub.errors import (
    AdapterHubError,
    ConflictError,
    RegistryError,
    UnknownNameError,
    VerificationError,
)
from adapter_hub.hub.download import Commit, OnBytes
from adapter_hub.hub.pull import fetch_all, landing
from adapter_hub.hub.remotes import hub_errors, named_remote, open_client
from adapter_hub.hub.repository import list_files
from adapter_hub.hub.restore import restore_files
from adapter_hub.loading.bases import base_folder, folder_at_hand
from adapter_hub.loading.folders import CONFIG, RECORD, read_record
from adapter_hub.loading.identity import read_json
from adapter_hub.loading.recorded import base_of
from adapter_hub.loading.remotes import HUGGING_FACE
from adapter_hub.model import Base, Version
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.atomic import sync_folder
from adapter_hub.registry.lockfile import (
    LOCK_NAME,
    differences,
    read_lock,
    resolve_registry,
    write_lock,
)
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import damage, make_durable, staging_folder

Say = Callable[[str], None]
State = Literal["here", "fetched", "failed"]


@dataclass(frozen=True)
class Synced:
    """One base, or one version (``NAME@N``), and what became of it."""

    name: str
    state: State
    why: str = ""
    hint: str | None = None


@dataclass
class SyncResult:
    """What ``sync --json`` prints. ``locked`` says whether the lock was written anew."""

    locked: bool = False
    bases: list[Synced] = field(default_factory=list)
    versions: list[Synced] = field(default_factory=list)

    @property
    def failed(self) -> list[Synced]:
        return [each for each in (*self.bases, *self.versions) if each.state == "failed"]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def sync(
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    frozen: bool = False,
    say: Say = lambda text: None,
    on_bytes: OnBytes = lambda name, have, size: None,
) -> SyncResult:
    """Fetch what the lock names and is not here; nothing is asked of any Hub for what is.

    A lock that is out of date is written anew, or with ``frozen`` refused. Each base and version
    is taken for itself: of those that cannot be had the result tells. Raises ConflictError,
    RegistryError.
    """
    registry, catalog = registry or Registry.open(), catalog or load_catalog()
    now = resolve_registry(registry)
    locked = read_lock(registry)
    found = differences(locked, now)
    result = SyncResult()
    if found and frozen:
        raise ConflictError(
            f"{LOCK_NAME} and {registry.path.name} disagree: {'; '.join(found[:5])}.",
            hint="adapter-hub lock, where the registry was changed; nothing was fetched",
        )
    if found:
        result.locked = write_lock(registry, now)
    done: set[tuple[Any, ...]] = set()
    for name in registry.base_names():
        result.bases += _sync_base(registry, catalog, registry.base(name), done, say)
    for name, table in now["adapters"].items():
        adapter = registry.adapter(name)
        for number in table["versions"]:
            version = adapter.versions[int(number)]
            one = _sync_version(registry, catalog, name, version, say, on_bytes)
            result.versions.append(one)
            if one.state != "failed":
                base = _recorded_base(registry, name, version)
                if base is not None:  # its commit may be another than the registry pins now
                    result.bases += _sync_base(registry, catalog, base, done, say)
    return result


def _recorded_base(registry: Registry, name: str, version: Version) -> Base | None:
    folder = registry.version_folder(name, version.number)
    try:
        return base_of(read_json(folder / CONFIG), read_record(folder), folder, registry)
    except AdapterHubError:
        return None


def _sync_base(
    registry: Registry, catalog: Catalog, base: Base, done: set[tuple[Any, ...]], say: Say
) -> Iterator[Synced]:
    key = (base.source, base.revision, base.remote)
    if key in done:
        return
    done.add(key)
    try:
        if folder_at_hand(base, catalog, registry.folder) is not None:
            yield Synced(base.name, "here")
            return
        say(f"fetching base {base.name}: {base.source} at {base.revision}")
        base_folder(base, catalog, registry.folder)
        yield Synced(base.name, "fetched")
    except AdapterHubError as error:
        copy = (
            "copy the folder here, or where it is: adapter-hub bundle create FILE REF --with-bases"
        )
        hint = copy if base.source.kind == "path" else error.hint
        yield Synced(base.name, "failed", error.message, hint)


def _sync_version(
    registry: Registry,
    catalog: Catalog,
    name: str,
    version: Version,
    say: Say,
    on_bytes: OnBytes,
) -> Synced:
    what = f"{name}@{version.number}"
    folder = registry.version_folder(name, version.number)
    try:
        if os.path.lexists(folder):
            problems = damage(folder, version)
            if not problems:
                return Synced(what, "here")
            raise VerificationError(
                f"{folder} is not what was recorded: {'; '.join(problems)}.",
                hint=f"move it away, then: adapter-hub sync (rm -r {folder})",
            )
        if not version.hub.get("repo"):
            raise UnknownNameError(
                f"{what} is on no Hub, and its files are not here.",
                hint=f"where it is: adapter-hub push {what} OWNER/REPO && adapter-hub lock; "
                f"or adapter-hub bundle create FILE {what}",
            )
        say(f"fetching {what}: {version.hub['repo']} at {version.hub['revision']}")
        _fetch_version(registry, catalog, name, version, on_bytes)
    except AdapterHubError as error:
        return Synced(what, "failed", error.message, error.hint)
    return Synced(what, "fetched")


def _fetch_version(
    registry: Registry, catalog: Catalog, name: str, version: Version, on_bytes: OnBytes
) -> None:
    """Bring a version's files from its commit to their place, if they are what was recorded."""
    hub: Mapping[str, str] = version.hub
    remote = named_remote(registry, hub.get("endpoint", HUGGING_FACE))
    client = open_client(remote)
    commit = Commit(client, remote, hub["repo"], hub["revision"])
    with landing(registry, commit) as folder, hub_errors(remote, commit.repo):
        there = list_files(client, commit.repo, commit.revision)
        wanted = {each: there[each] for each in (*version.files, CONFIG, RECORD) if each in there}
        fetch_all(commit, wanted, folder, on_bytes)
        files = restore_files(folder, version, registry, catalog)
        missing = [each for each in version.files if each not in files]
        if missing:
            raise VerificationError(
                f"{commit.repo} at {commit.revision} does not hold {name}@{version.number}: "
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not what was recorded.",
                hint=f"where it is whole, push it again: adapter-hub push {name}@{version.number}",
            )
        with staging_folder(registry, name) as staging:
            _fill(staging, files)
            make_durable(staging)
            problems = damage(staging, version)
            if problems:
                raise VerificationError(f"{name}@{version.number}: {'; '.join(problems)}.")
            final = registry.version_folder(name, version.number)
            try:
                os.rename(staging, final)
            except OSError as error:
                raise RegistryError(
                    f"{final} cannot be written: {error.strerror or error}."
                ) from error
            sync_folder(final.parent)


def _fill(folder: Path, files: Mapping[str, Path | bytes]) -> None:
    try:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                (folder / name).write_bytes(content)
            else:
                shutil.copyfile(content, folder / name)
    except OSError as error:
        raise RegistryError(f"{folder} cannot be written: {error.strerror or error}.") from error
