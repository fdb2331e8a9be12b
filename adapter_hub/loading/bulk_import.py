"""``import FOLDER…``: every adapter below some folders, each on its own; one that fails stops none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapter_hub.errors import AdapterHubError, UsageError
from adapter_hub.loading.discovery import Found, PassedOver, adapter_name, find_adapters
from adapter_hub.loading.folders import RECORD, WEIGHTS, check_adapter_folder, read_record
from adapter_hub.loading.imports import Origin, base_and_identity, import_pickle, own_files
from adapter_hub.loading.remotes import HUGGING_FACE, cache_folder, default_remote, hub_entry
from adapter_hub.model import Remote
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digest, version_digest


@dataclass(frozen=True)
class Outcome:
    """What became of one folder: ``imported``, ``same`` (here already) or ``failed``.

    ``version`` is None for what a dry run would import.
    """

    folder: str
    state: str
    name: str | None = None
    version: int | None = None
    base: str | None = None
    digest: str | None = None
    error: str | None = None
    hint: str | None = None


@dataclass
class Imported:
    """What ``import --json`` prints of several folders."""

    outcomes: list[Outcome] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)

    def of(self, state: str) -> list[Outcome]:
        return [each for each in self.outcomes if each.state == state]


def import_folders(
    folders: Iterable[Path],
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    name: str | None = None,
    base: str | None = None,
    checkpoints: bool = False,
    convert_pickle: bool = False,
    dry_run: bool = False,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> Imported:
    """Import what ``find_adapters`` finds; content that is in the registry already is not again.

    With ``name`` all must be states of one adapter. Raises UsageError when there is none, or more
    than one adapter for ``name``, and UnknownNameError for ``base``.
    """
    registry, catalog = registry or Registry.open(), catalog or load_catalog()
    folders = list(folders)
    if base is not None:
        registry.base(base)
    skip = registry.folder / "adapters"
    found, passed = find_adapters(folders, checkpoints=checkpoints, skip=skip)
    if not found:
        where = ", ".join(map(str, folders))
        raise UsageError(f"there is no PEFT adapter in {where} or below.")
    groups = {each.group for each in found}
    if name is not None and len(groups) > 1:
        raise UsageError(
            f"--as {name} goes with one adapter, and there are {len(groups)}: "
            f"{', '.join(str(each.folder) for each in found[:3])}{', …' if len(found) > 3 else ''}.",
            hint="leave it out: the names of the folders are taken",
        )
    work = _Work(registry, catalog, name, base, convert_pickle, dry_run)
    result = Imported(passed_over=passed)
    for each in found:
        outcome = work.take(each)
        result.outcomes.append(outcome)
        on_outcome(outcome)
    return result


class _Work:
    """What is in the registry by content and by repository, and which group is which adapter."""

    def __init__(
        self,
        registry: Registry,
        catalog: Catalog,
        name: str | None,
        base: str | None,
        convert_pickle: bool,
        dry_run: bool,
    ) -> None:
        self._registry, self._catalog, self._base = registry, catalog, base
        self._convert, self._dry_run, self._name = convert_pickle, dry_run, name
        self._names: dict[Path, str] = {}
        self._taken = {each.casefold() for each in registry.adapter_names()}
        self._here: dict[str, tuple[str, int | None]] = {}
        self._repos: dict[tuple[str, str], str] = {}
        for adapter in registry.adapters():
            for number, version in adapter.versions.items():
                if registry.version_folder(adapter.name, number).is_dir():
                    self._here[_content(version.files)] = adapter.name, number
                repo = version.hub.get("repo")
                if repo:
                    endpoint = version.hub.get("endpoint", HUGGING_FACE)
                    self._repos.setdefault((endpoint, repo), adapter.name)

    def take(self, found: Found) -> Outcome:
        folder = str(found.folder)
        try:
            files = own_files(found.folder)
            digest = _content({name: file_digest(path) for name, path in files.items()})
            if WEIGHTS in files and digest in self._here:
                name, number = self._here[digest]
                return Outcome(folder, "same", name, number)
            name = self._name_of(found)
            done = self._examine(found) if self._dry_run else self._import(found, name)
        except AdapterHubError as error:
            return Outcome(folder, "failed", error=error.message, hint=error.hint)
        except OSError as error:
            return Outcome(folder, "failed", error=f"it cannot be read: {error.strerror or error}.")
        self._names[found.group] = name
        self._taken.add(name.casefold())
        self._here[digest] = name, done.get("version")
        return Outcome(
            folder, "imported", name, done.get("version"), done["base"], done.get("digest")
        )

    def _name_of(self, found: Found) -> str:
        if self._name is not None:
            return self._name
        known = self._names.get(found.group)
        if known is None and found.repo:
            known = self._repos.get((self._remote(found).endpoint, found.repo))
        return known or adapter_name(found, lambda name: name.casefold() not in self._taken)

    def _remote(self, found: Found) -> Remote:
        """The Hub that a cached snapshot came from: each Hub that the registry names has a cache."""
        real = found.folder.resolve()
        for name in self._registry.remote_names():
            remote = self._registry.remote(name)
            cache = cache_folder(remote)
            if cache and real.is_relative_to(cache.resolve()):
                return remote
        return default_remote()

    def _examine(self, found: Found) -> dict[str, Any]:
        """What would keep the folder from being imported, raised; else its base."""
        folder = found.folder
        if self._convert and not (folder / WEIGHTS).is_file():
            return {"base": self._base}  # what a pickle holds shows when it is converted
        config = check_adapter_folder(folder)
        registry, record = self._registry, read_record(folder)
        base, _ = base_and_identity(config, record, folder, registry, self._catalog, self._base)
        return {"base": base.name}

    def _import(self, found: Found, name: str) -> dict[str, Any]:
        hub = {}
        if found.repo and found.revision:
            hub = hub_entry(self._remote(found), found.repo, found.revision)
        arguments = (self._registry, self._catalog, found.folder, name, self._base)
        return import_pickle(*arguments, Origin(hub=hub), convert=self._convert)


def _content(files: Any) -> str:
    """One digest of what an adapter is; the record tells only how it came to be, and is rewritten."""
    return version_digest({name: digest for name, digest in files.items() if name != RECORD})
