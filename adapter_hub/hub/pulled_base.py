"""The base of a pulled adapter: one of the registry's, or what it is to be called there."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path

from adapter_hub.errors import IncompatibleError, UnknownNameError, UsageError
from adapter_hub.hub.download import Commit
from adapter_hub.hub.remotes import hub_errors, open_client
from adapter_hub.loading.folders import CONFIG, read_record
from adapter_hub.loading.identity import read_json
from adapter_hub.loading.recorded import base_of
from adapter_hub.loading.remotes import default_remote
from adapter_hub.model import Base, is_commit
from adapter_hub.registry.store import Registry


def find_pulled_base(registry: Registry, commit: Commit, folder: Path, allow_drift: bool) -> Base:
    """The base that the adapter sits on, as the registry calls it, or is to call it.

    Raises IncompatibleError when the registry pins another revision of it.
    """
    config, record = read_json(folder / CONFIG), read_record(folder)
    base = base_of(config, record, folder, registry)
    if base.name in registry.base_names():
        pinned = registry.base(base.name)
        drifted = base.revision and pinned.revision and base.revision != pinned.revision
        if drifted and not allow_drift:
            raise IncompatibleError(
                f"{commit.repo} was trained on {base.source} at {base.revision}, and the registry "
                f"pins {base.name!r} to {pinned.revision}.",
                hint="pull with --allow-base-drift, or pin the other one: "
                f"adapter-hub base add NAME {base.source} --revision {base.revision}",
            )
        return base
    if base.source.kind == "path":
        raise UsageError(
            f"{commit.repo} sits on {base.source}, a folder of somebody's machine.",
            hint=f"say which base of yours that is: adapter-hub pull {commit.repo} --base BASE",
        )
    return _new_base(registry, commit, base)


def _new_base(registry: Registry, commit: Commit, base: Base) -> Base:
    """A base that is not in the registry yet, pinned, under a name that is free here."""
    stem = re.sub(r"[^\w.-]", "-", base.source.location.rpartition("/")[2])
    taken = {each.casefold() for each in registry.base_names()}
    names = [stem, *(f"{stem}-{number}" for number in range(2, 1000))]
    name = next(each for each in names if each.casefold() not in taken)
    if base.source.kind != "hf":
        return Base(name, base.source)
    return _placed(commit, Base(name, base.source, base.revision))


def _placed(commit: Commit, base: Base) -> Base:
    """An ``hf:`` base, pinned, with the Hub that has it.

    That is the adapter's own, where the registry has a name for it, else the environment's.
    """
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    repo, revision = base.source.location, base.revision
    if commit.remote.name:
        with contextlib.suppress(RepositoryNotFoundError, RevisionNotFoundError):
            sha = str(commit.client.model_info(repo, revision=revision).sha)
            return dataclasses.replace(base, revision=sha, remote=commit.remote)
    if revision and is_commit(revision):
        return base
    hub = default_remote()
    try:
        with hub_errors(hub, f"base {repo}"):
            sha = str(open_client(hub).model_info(repo, revision=revision).sha)
    except UnknownNameError as error:
        error.hint = f"if it is a base of yours: adapter-hub pull {commit.repo} --base BASE"
        raise
    return base.at(sha)
