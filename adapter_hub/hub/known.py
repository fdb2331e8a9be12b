"""What a pull finds here already: the adapter of a repository, and the version of a commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adapter_hub.errors import UsageError
from adapter_hub.hub.files import CARD, CARD_IN_RECORD, RemoteFile
from adapter_hub.loading.folders import ADAPTER_FILES, CONFIG, RECORD, recorded
from adapter_hub.loading.identity import read_json
from adapter_hub.loading.remotes import HUGGING_FACE, hub_entry
from adapter_hub.model import Adapter, Remote, Version, check_name, is_commit
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import damage

# Written anew by a push: the base as others find it, and the card.
_REWRITTEN = (CONFIG, RECORD, CARD)


def known_name(registry: Registry, remote: Remote, repo: str) -> str:
    """The adapter that a repository is here, else the name it will have. Raises UsageError."""
    last = repo.rpartition("/")[2]
    names = {each.name for each in registry.adapters() if any(_of_repo(each, remote, repo))}
    if not names or last in names:
        return check_name(last, "an adapter")
    if len(names) > 1:
        raise UsageError(
            f"{repo} is several adapters here: {', '.join(sorted(names))}.",
            hint=f"say which: adapter-hub pull {repo} --as NAME",
        )
    return names.pop()


def version_of_commit(
    registry: Registry, remote: Remote, repo: str, revision: str | None, name: str | None
) -> tuple[str, Version] | None:
    """The version that is this commit, if it is here and whole, of ``name`` or of any adapter."""
    if not revision or not is_commit(revision):
        return None
    entry = hub_entry(remote, repo, revision)
    for adapter in registry.adapters():
        if name not in (None, adapter.name):
            continue
        for number, version in adapter.versions.items():
            folder = registry.version_folder(adapter.name, number)
            if entry.items() <= version.hub.items() and not damage(folder, version):
                return adapter.name, version
    return None


def version_of_files(
    registry: Registry,
    name: str,
    remote: Remote,
    repo: str,
    there: Mapping[str, RemoteFile],
    fetched: Path,
) -> Version | None:
    """The version of ``name`` from this repository that has a commit's very files.

    Another commit may hold them too, where only the card was edited. ``fetched`` has the
    commit's configuration and record.
    """
    if not registry.has_adapter(name):
        return None
    for version in _of_repo(registry.adapter(name), remote, repo):
        folder = registry.version_folder(name, version.number)
        if not damage(folder, version) and _same(folder, there, fetched):
            return version
    return None


def _of_repo(adapter: Adapter, remote: Remote, repo: str) -> Iterator[Version]:
    """Versions that were pushed there or pulled from there, the newest first."""
    for _, version in sorted(adapter.versions.items(), reverse=True):
        at = (version.hub.get("endpoint", HUGGING_FACE), version.hub.get("repo"))
        if at == (remote.endpoint, repo):
            yield version


def _same(folder: Path, there: Mapping[str, RemoteFile], fetched: Path) -> bool:
    kept = [each for each in ADAPTER_FILES if each not in _REWRITTEN]
    for name in kept:
        here = (folder / name).is_file()
        if here != (name in there) or (here and not there[name].holds(folder / name)):
            return False
    return all(_told(folder / each) == _told(fetched / each) for each in (CONFIG, RECORD))


def _told(path: Path) -> dict[str, Any]:
    """What a configuration or record tells, but for the base as it is named in it."""
    if not path.is_file():
        return {}
    content = read_json(path)
    for key in ("base_model_name_or_path", "revision", "base", CARD_IN_RECORD):
        content.pop(key, None)
    if "recipe" in content:
        content["recipe"] = {
            key: value for key, value in recorded(content, "recipe").items() if key != "base"
        }
    return content
