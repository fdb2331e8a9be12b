"""``push --status``: how the versions here stand to the commits on a Hub. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal

from adapter_hub.errors import AdapterHubError, UnknownNameError
from adapter_hub.hub.files import CARD, RemoteFile
from adapter_hub.hub.remotes import find_remote, hub_errors, open_client
from adapter_hub.hub.repository import Repository, list_files, look
from adapter_hub.loading.remotes import HUGGING_FACE
from adapter_hub.model import Adapter, Remote
from adapter_hub.registry.store import Registry

# What the Hub itself, or a person on its pages, changes.
_NOT_OURS = (CARD, ".gitattributes")

State = Literal["same", "ahead", "behind", "diverged", "never pushed", "gone", "unknown"]
Place = tuple[str, str]
"""Endpoint and repository."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One adapter against its repository.

    ``ahead`` is how many versions are newer than the one on the Hub; ``behind`` and ``diverged``
    mean commits there that are not here, ``unknown`` a Hub that could not be asked.
    """

    name: str
    version: int | None
    state: State
    ahead: int | None = None
    repo: str | None = None
    endpoint: str | None = None
    head: str | None = None
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def standings(
    registry: Registry, name: str | None = None, remote: str | None = None
) -> list[Standing]:
    """Every adapter that was pushed or pulled, or the one named, with one request a repository.

    A second is made where a repository's newest commit is not known here. With ``remote`` only
    what lies on that Hub counts. Raises UnknownNameError, RegistryError.
    """
    only = find_remote(registry, remote) if remote else None
    adapters = [registry.adapter(name)] if name else list(registry.adapters())
    places = {each.name: _place(each, only) for each in adapters}
    chosen = [each for each in adapters if name or places[each.name]]
    asked = list(dict.fromkeys(place for place in places.values() if place))
    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(asked, pool.map(lambda place: _look(only, *place), asked), strict=True))
        return list(pool.map(lambda each: _standing(each, places[each.name], answers), chosen))


def known_commits(adapter: Adapter, endpoint: str, repo: str) -> dict[str, int]:
    """The commits of a repository that versions here are, with the newest version of each."""
    return {
        version.hub["revision"]: number
        for number, version in sorted(adapter.versions.items())
        if version.hub.get("revision")
        and (version.hub.get("endpoint", HUGGING_FACE), version.hub.get("repo")) == (endpoint, repo)
    }


def unknown_files(target: Repository, known: Mapping[str, int]) -> bool:
    """Whether the newest commit has files that no version here was pushed or pulled as.

    An edited card alone is nobody's version. Raises UnknownNameError where the commit that is
    known is not there any more.
    """
    theirs = _files(target)
    if target.head is None or not theirs or target.head in known:
        return False
    if not known:
        return True
    with hub_errors(target.remote, target.repo):
        was: Mapping[str, RemoteFile] = list_files(target.client, target.repo, list(known)[-1])
    return {name: was.get(name) for name in theirs} != theirs


def _files(target: Repository) -> dict[str, RemoteFile]:
    return {name: file for name, file in target.files.items() if name not in _NOT_OURS}


def _place(adapter: Adapter, only: Remote | None) -> Place | None:
    """Where its newest version that is on a Hub lies."""
    for _, version in sorted(adapter.versions.items(), reverse=True):
        endpoint = version.hub.get("endpoint", HUGGING_FACE)
        if version.hub.get("repo") and (only is None or only.endpoint == endpoint):
            return endpoint, version.hub["repo"]
    return None


def _look(only: Remote | None, endpoint: str, repo: str) -> Repository | AdapterHubError:
    remote = only or Remote(endpoint)
    try:
        with hub_errors(remote, repo):
            return look(open_client(remote), remote, repo)
    except AdapterHubError as error:
        return error


def _standing(
    adapter: Adapter, place: Place | None, answers: Mapping[Place, Repository | AdapterHubError]
) -> Standing:
    newest = max(adapter.versions, default=None)
    if place is None:
        return Standing(name=adapter.name, version=newest, state="never pushed")
    there, head = answers[place], None
    ahead: int | None = None
    if isinstance(there, AdapterHubError):
        state, why = _unknown(there)
    elif there.head is None:
        state, why = "gone", "there is no such repository, or none that you may see"
    else:
        head = there.head
        try:
            state, ahead, why = _compare(adapter, there, known_commits(adapter, *place))
        except AdapterHubError as error:
            state, why = _unknown(error)
    return Standing(
        name=adapter.name,
        version=newest,
        state=state,
        ahead=ahead,
        repo=place[1],
        endpoint=place[0],
        head=head,
        why=why,
    )


def _unknown(error: AdapterHubError) -> tuple[State, str]:
    return "unknown", error.message


def _compare(
    adapter: Adapter, there: Repository, known: Mapping[str, int]
) -> tuple[State, int, str]:
    """State, versions ahead, and why."""
    if not _files(there):
        return "ahead", len(adapter.versions), "it is empty"
    # A version that was pushed again lies on the Hub although a newer one did before.
    at = known.get(there.head or "", max(known.values()))
    ahead = sum(number > at for number in adapter.versions)
    try:
        foreign = unknown_files(there, known)
    except UnknownNameError:
        return "diverged", ahead, f"version {at} is not in its history any more"
    if foreign:
        why = f"its newest commit {str(there.head)[:12]} is not here"
        return ("diverged" if ahead else "behind"), ahead, why
    return ("ahead" if ahead else "same"), ahead, f"version {at} is there"
