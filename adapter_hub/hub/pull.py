"""``pull OWNER/REPO[@REV]``: one commit, verified file by file, as a version of the registry."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from adapter_hub.errors import (
    AdapterHubError,
    BaseModelError,
    ConflictError,
    HubError,
    RegistryError,
    UsageError,
)
from adapter_hub.hub.check import fit_of_commit
from adapter_hub.hub.download import Commit, OnBytes, fetch_file, named_by
from adapter_hub.hub.files import RemoteFile
from adapter_hub.hub.heads import fetch_descriptions
from adapter_hub.hub.known import known_name, version_of_commit, version_of_files
from adapter_hub.hub.pulled_base import find_pulled_base
from adapter_hub.hub.remotes import find_remote, hub_errors, open_client
from adapter_hub.hub.repository import list_files
from adapter_hub.loading.findings import Fit
from adapter_hub.loading.folders import (
    ADAPTER_FILES,
    CONFIG,
    WEIGHTS,
    read_record,
    recorded,
)
from adapter_hub.loading.imports import Origin, import_adapter
from adapter_hub.loading.pickles import PICKLE, convert_pickle
from adapter_hub.loading.remotes import hub_entry
from adapter_hub.model import (
    Base,
    Recipe,
    Reference,
    Remote,
    Version,
    check_name,
    parse_reference,
)
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.occupied import occupied_folder
from adapter_hub.registry.schema import read_training
from adapter_hub.registry.store import Registry
from adapter_hub.registry.tables import SchemaError
from adapter_hub.registry.versions import record_hub, version_digest

Say = Callable[[str], None]
_UNTOLD = "everything: there is no header of its weights that could be read"


@dataclass(frozen=True, kw_only=True)
class PullOptions:
    """What a pull may be told besides from where.

    ``base`` is the registry's base that it sits on, whatever its files say. With
    ``convert_pickle`` a repository that has only pickled weights is taken too, as safetensors.
    """

    name: str | None = None
    base: str | None = None
    dry_run: bool = False
    allow_base_drift: bool = False
    convert_pickle: bool = False


@dataclass(frozen=True, kw_only=True)
class PullResult:
    """What ``pull --json`` prints. ``version`` is None for a dry run of something new.

    ``unchecked`` is what could not be told of whether it fits its base.
    """

    name: str
    version: int | None
    repo: str
    revision: str
    endpoint: str
    new: bool
    base: str | None = None
    bytes: int = 0
    files: Mapping[str, int] = field(default_factory=dict)
    digest: str | None = None
    path: str | None = None
    unchecked: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def pull(
    repository: str,
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    remote: str | None = None,
    options: PullOptions | None = None,
    say: Say = lambda text: None,
    on_bytes: OnBytes = lambda name, have, size: None,
) -> PullResult:
    """Fetch a commit of ``OWNER/REPO[@REV]`` and make it the next version of its adapter.

    A commit that is here already is not fetched again; a full commit id that is here is not even
    asked for. Raises UsageError, UnknownNameError, HubError, ConflictError when the adapter's
    name is taken, IncompatibleError when it does not belong to the base that is pinned here, or
    does not fit it: that is found before its weights travel.
    """
    registry, catalog = registry or Registry.open(), catalog or load_catalog()
    options = options or PullOptions()
    asked = parse_repository(repository)
    where = find_remote(registry, remote)
    if options.name is not None:
        check_name(options.name, "an adapter")
    if options.base is not None:
        registry.base(options.base)
    here = version_of_commit(registry, where, asked.target, asked.selector, options.name)
    if here is None:
        client = open_client(where)
        with hub_errors(where, str(asked).removeprefix("hf:")):
            found = client.model_info(asked.target, revision=asked.selector)
            here = version_of_commit(registry, where, found.id, found.sha, options.name)
    if here is not None:
        return _as_result(registry, *here, where)
    name = options.name or known_name(registry, where, asked.target)
    commit = Commit(client, where, asked.target, str(found.sha))
    _refuse_other(registry, name, commit)
    with landing(registry, commit) as folder, hub_errors(where, asked.target):
        there = list_files(client, commit.repo, commit.revision)
        files = _wanted(there, commit, options.convert_pickle)
        fetch_descriptions(commit, files, folder, on_bytes)
        same = version_of_files(registry, name, where, commit.repo, there, folder)
        if same is not None:
            same = dataclasses.replace(same, hub={**same.hub, "revision": commit.revision})
            if asked.selector is None and not options.dry_run:
                record_hub(registry, name, same.number, same.hub, event="pull")
            return _as_result(registry, name, same, where)
        return _take(registry, catalog, name, commit, files, folder, options, say, on_bytes)


def _take(
    registry: Registry,
    catalog: Catalog,
    name: str,
    commit: Commit,
    files: Mapping[str, RemoteFile],
    folder: Path,
    options: PullOptions,
    say: Say,
    on_bytes: OnBytes,
) -> PullResult:
    """The commit whose descriptions are in ``folder``: its base found, its weights fetched."""
    if options.base is not None:
        base = registry.base(options.base)
    else:
        base = find_pulled_base(registry, commit, folder, options.allow_base_drift)
        if (
            base.name in registry.base_names()
            and base.revision != registry.base(base.name).revision
        ):
            say(f"it is checked against, and runs on, {base.source} at {base.revision}")
    fit = _fit(registry, catalog, commit, files, folder, base)
    sizes = {each: file.size for each, file in files.items()}
    outcome = PullResult(
        name=name,
        version=None,
        repo=commit.repo,
        revision=commit.revision,
        endpoint=commit.remote.endpoint,
        new=True,
        base=base.name,
        bytes=sum(sizes.values()),
        files=sizes,
        unchecked=fit.unchecked if fit else (_UNTOLD,),
    )
    if options.dry_run:
        return outcome
    fetch_all(commit, files, folder, on_bytes)
    converted = convert_pickle(folder / PICKLE, folder / WEIGHTS) if PICKLE in files else {}
    if fit is None and (fit := _fit(registry, catalog, commit, files, folder, base)):
        outcome = dataclasses.replace(outcome, unchecked=fit.unchecked)
    return _register(registry, catalog, outcome, base, folder, converted, say)


def parse_repository(text: str) -> Reference:
    """``OWNER/REPO[@REV]``, with or without ``hf:``. Raises UsageError."""
    return parse_reference(text if text.startswith("hf:") else f"hf:{text}")


def _as_result(registry: Registry, name: str, version: Version, remote: Remote) -> PullResult:
    return PullResult(
        name=name,
        version=version.number,
        repo=version.hub["repo"],
        revision=version.hub["revision"],
        endpoint=remote.endpoint,
        new=False,
        base=registry.adapter(name).recipe.base,
        digest=version_digest(version.files),
        path=str(registry.version_folder(name, version.number)),
    )


def _refuse_other(registry: Registry, name: str, commit: Commit) -> None:
    """Raises ConflictError when ``name`` is an adapter that has nothing to do with the repository."""
    registry.refuse_twin(name, "adapter")
    if not registry.has_adapter(name):
        return
    versions = registry.adapter(name).versions.values()
    if all(each.hub.get("repo") != commit.repo for each in versions):
        raise ConflictError(
            f"there is already an adapter {name!r}, which {commit.repo} is not; nothing was changed.",
            hint=f"adapter-hub pull {commit.repo} --as NAME",
        )


def _wanted(
    files: Mapping[str, RemoteFile], commit: Commit, convert_pickle: bool
) -> dict[str, RemoteFile]:
    """The files of an adapter, from the top of the repository and by their known names only.

    Raises UsageError when there is none in safetensors, nor a pickle that is to be converted.
    """
    if CONFIG not in files:
        raise UsageError(
            f"{commit.repo} has no {CONFIG}, so it is not a PEFT adapter.",
            hint=f"if it is a base: adapter-hub base add NAME hf:{commit.repo}",
        )
    wanted = {name: files[name] for name in ADAPTER_FILES if name in files}
    if WEIGHTS in files:
        return wanted
    if PICKLE not in files:
        raise UsageError(f"{commit.repo} has no {WEIGHTS}.")
    if not convert_pickle:
        raise UsageError(
            f"{commit.repo} has only {PICKLE}, a pickle that can run code; "
            "adapter-hub takes safetensors only.",
            hint="ask its owner to save it again as safetensors, or pull with --convert-pickle",
        )
    return {**wanted, PICKLE: files[PICKLE]}


def _fit(
    registry: Registry,
    catalog: Catalog,
    commit: Commit,
    files: Mapping[str, RemoteFile],
    folder: Path,
    base: Base,
) -> Fit | None:
    """None where the weights have no header that tells it: pickled ones, or one damaged on the way.

    Such a header has no digest of its own, and what is wrong with it shows in the file's. Raises
    IncompatibleError when it does not fit its base.
    """
    if PICKLE in files and not (folder / WEIGHTS).is_file():
        return None
    try:
        return fit_of_commit(commit, files, folder, base, registry.folder, catalog)
    except BaseModelError:
        return None


@contextlib.contextmanager
def landing(registry: Registry, commit: Commit) -> Iterator[Path]:
    """Where the files of a commit gather, also over several calls where a Hub or a disk failed.

    Of what is taken or refused nothing stays. Raises RegistryError.
    """
    place = re.sub(r"[^\w.-]", "_", f"{commit.remote.endpoint} {commit.repo}")
    folder = registry.folder / "adapters" / ".pulls" / place / commit.revision

    def make() -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    with contextlib.ExitStack() as stack:
        try:
            occupied_folder(make, stack)
        except OSError as error:
            raise RegistryError(
                f"{folder} cannot be written: {error.strerror or error}."
            ) from error
        with _kept_to_go_on(folder), named_by(commit.repo, folder):
            yield folder


@contextlib.contextmanager
def _kept_to_go_on(folder: Path) -> Iterator[None]:
    """Only a Hub or a disk that failed, and Ctrl-C, leave the folder."""
    try:
        yield
    except (HubError, RegistryError, KeyboardInterrupt):
        raise  # to go on where it stopped
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        for empty in (folder, folder.parent, folder.parent.parent):
            with contextlib.suppress(OSError):
                os.rmdir(empty)


def fetch_all(
    commit: Commit, files: Mapping[str, RemoteFile], folder: Path, on_bytes: OnBytes
) -> None:
    """Bring files of a commit into ``folder``, each verified. Raises HubError, RegistryError."""
    try:
        for name, file in files.items():
            fetch_file(commit, name, file, folder, on_bytes)
    except OSError as error:
        if isinstance(error, ConnectionError) or error.errno is None:
            raise
        raise RegistryError(
            f"{folder} cannot be written: {error.strerror or error}; the registry is as it was.",
            hint="make room on the disk, then pull again: it goes on where it stopped",
        ) from error


def _register(
    registry: Registry,
    catalog: Catalog,
    outcome: PullResult,
    base: Base,
    folder: Path,
    converted: Mapping[str, str],
    say: Say,
) -> PullResult:
    """The verified files as a version; a base that is new here is added first."""
    added = base.name not in registry.base_names()
    if added:
        registry.put_base(base)
    record = read_record(folder)
    origin = Origin(
        hub=hub_entry(Remote(outcome.endpoint), outcome.repo, outcome.revision),
        recipe=_recipe(record, base),
        digest=record.get("recipe_digest"),
        converted=converted,
        move=True,
        event="pull",
    )
    try:
        made = import_adapter(registry, catalog, folder, outcome.name, base.name, origin)
    except BaseException:
        if added:
            registry.remove_base(base.name)
        raise
    if added:
        where = f" of {base.remote.name}" if base.remote else ""
        at = f" at {base.revision}" if base.revision else ""
        say(f"added base {base.name}: {base.source}{where}{at}")
    return PullResult(
        **{
            **asdict(outcome),
            "version": made["version"],
            "digest": made["digest"],
            "path": made["path"],
        }
    )


def _recipe(record: Mapping[str, Any], base: Base) -> Recipe | None:
    """The recipe that the record tells; None where it tells none that can be used here."""
    told = recorded(dict(record), "recipe")
    if not told:
        return None
    given = {key: value for key, value in recorded(told, "training").items() if value is not None}
    try:
        return Recipe(
            base=base.name,
            method=str(told.get("method", "lora")),
            options=json.loads(json.dumps(recorded(told, "options"))),
            data=_own_data(told.get("data")),
            data_options=json.loads(json.dumps(recorded(told, "data_options"))),
            eval_data=_own_data(told.get("eval_data")),
            column_map=recorded(told, "column_map"),
            training=read_training(given, ("adapter_hub.json", "recipe")),
        )
    except (AdapterHubError, SchemaError, TypeError):
        return None


def _own_data(data: Any) -> str | None:
    """Data that a record names: a path in it is of another machine, and cannot reach into this one."""
    if not isinstance(data, str) or data.startswith("hf:"):
        return data if isinstance(data, str) else None
    return re.split(r"[\\/]", data)[-1] or None
