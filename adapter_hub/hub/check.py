"""``check REF``: does an adapter fit a base? From headers, wherever the two are."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapter_hub.errors import AdapterHubError, IncompatibleError, UsageError
from adapter_hub.hub.download import Commit, named_by
from adapter_hub.hub.files import RemoteFile
from adapter_hub.hub.heads import fetch_adapter_head, fetch_descriptions, find_base_head
from adapter_hub.hub.remotes import find_remote, hub_errors, open_client
from adapter_hub.hub.repository import list_files
from adapter_hub.loading.bases import folder_at_hand
from adapter_hub.loading.early import find_folder
from adapter_hub.loading.findings import Fit
from adapter_hub.loading.fit import as_object, compare, described
from adapter_hub.loading.folders import CONFIG, WEIGHTS, read_record, recorded
from adapter_hub.loading.heads import AdapterHead, adapter_head
from adapter_hub.loading.identity import base_identity, differences
from adapter_hub.loading.recorded import base_of, root_of
from adapter_hub.loading.remotes import default_remote
from adapter_hub.model import Base, Reference, Remote
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.store import Registry


def check(
    reference: Reference,
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    base: str | None = None,
    remote: str | None = None,
) -> dict[str, Any]:
    """Whether ``reference`` fits its base, or the registry's base of the name ``base``.

    What ``check --json`` prints: reference, base, fits, misfits, unchecked. Nothing is loaded, and
    of weights on a Hub only the headers travel. Raises UsageError, UnknownNameError,
    BaseModelError, PluginError, HubError.
    """
    catalog = catalog or load_catalog()
    if base is not None:
        registry = registry or Registry.open()
    named = registry.base(base) if registry and base else None
    if reference.kind == "base":
        raise UsageError("check takes an adapter, not a base.", hint="adapter-hub list")
    if remote and reference.kind != "hf":
        raise UsageError(f"--remote goes with hf: references; {reference} is on no Hub.")
    if reference.kind == "hf":
        with tempfile.TemporaryDirectory(prefix="adapter-hub-") as folder:
            where = find_remote(registry, remote)
            head = _of_repository(reference, where, Path(folder))
            return _checked(reference, head, Path(folder), named, registry, catalog, where)
    found = find_folder(reference, registry)
    assert found is not None  # only bases and repositories have none
    head = adapter_head(found)
    return _checked(reference, head, found, named, registry, catalog, None)


def fit_of_commit(
    commit: Commit,
    files: Mapping[str, RemoteFile],
    folder: Path,
    base: Base,
    root: Path,
    catalog: Catalog,
) -> Fit:
    """Whether a commit's adapter fits ``base``, before its weights travel.

    ``folder`` has its descriptions, or all of it. What cannot be told because the base cannot be
    reached is ``unchecked``. Raises HubError; IncompatibleError, in one sentence, when it does not
    fit.
    """
    here = (folder / WEIGHTS).is_file()
    head = adapter_head(folder) if here else fetch_adapter_head(commit, files, folder)
    try:
        there = find_base_head(base, catalog, root, (commit.remote, default_remote()))
    except IncompatibleError:
        raise
    except AdapterHubError as error:
        return Fit((), (f"everything: {error.message.rstrip('.')}",))
    fit = compare(head, there)
    if fit.misfits:
        raise IncompatibleError(
            f"{commit.repo} does not fit base {base.name!r}: {described(fit)}.",
            hint=f"adapter-hub check hf:{commit.repo}@{commit.revision} --base BASE",
        )
    return fit


def _of_repository(reference: Reference, where: Remote, folder: Path) -> AdapterHead:
    """The head of a repository's adapter; its descriptions are then in ``folder``."""
    with hub_errors(where, reference.target):
        client = open_client(where)
        found = client.model_info(reference.target, revision=reference.selector)
        commit = Commit(client, where, reference.target, str(found.sha))
        files = list_files(client, commit.repo, commit.revision)
        for each in (CONFIG, WEIGHTS):
            if each not in files:
                raise UsageError(f"{reference} has no {each}, so there is nothing to check.")
        with named_by(commit.repo, folder):
            fetch_descriptions(commit, files, folder)
            return fetch_adapter_head(commit, files, folder)


def _checked(
    reference: Reference,
    head: AdapterHead,
    folder: Path,
    named: Base | None,
    registry: Registry | None,
    catalog: Catalog,
    where: Remote | None,
) -> dict[str, Any]:
    record = read_record(folder)
    base = named or base_of(dict(head.config), record, folder, registry)
    root = root_of(registry)
    remotes = [each for each in (where, default_remote()) if each]
    fit = compare(head, find_base_head(base, catalog, root, remotes))
    if named is None:
        fit = _with_identity(fit, record, base, catalog, root)
    return as_object(str(reference), base.name, fit)


def _with_identity(
    fit: Fit, record: dict[str, Any], base: Base, catalog: Catalog, root: Path
) -> Fit:
    """A base of the right shapes may still be another one than the adapter was trained on."""
    identity = recorded(recorded(record, "base"), "identity")
    folder = folder_at_hand(base, catalog, root) if identity else None
    changed = differences(identity, base_identity(folder)) if folder else []
    if not changed:
        return fit
    parts = " and the ".join(changed)
    return Fit((*fit.misfits, f"it was trained on another base: the {parts} differ"), fit.unchecked)
