"""A repository as it stands on a Hub."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapter_hub.hub.accounts import who_am_i
from adapter_hub.hub.download import Commit, fetch_file
from adapter_hub.hub.files import CARD, RemoteFile
from adapter_hub.model import Remote

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Repository:
    """A repository, and its newest commit with its files; no commit where there is none."""

    client: HfApi
    remote: Remote
    repo: str
    head: str | None
    files: Mapping[str, RemoteFile]


def full_name(remote: Remote, repo: str) -> str:
    """``OWNER/REPO``, with the user's own name where only the second part is given.

    Raises HubError.
    """
    return repo if "/" in repo else f"{who_am_i(remote)['name']}/{repo}"


def look(client: HfApi, remote: Remote, repo: str) -> Repository:
    """The repository; without a commit when there is none, or none that may be seen."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        found = client.model_info(repo, files_metadata=True)
    except RepositoryNotFoundError:
        return Repository(client, remote, repo, None, {})
    files = {
        each.rfilename: RemoteFile(
            each.size or 0, each.blob_id or "", each.lfs.sha256 if each.lfs else None
        )
        for each in found.siblings or []
    }
    return Repository(client, remote, repo, found.sha, files)


def list_files(client: HfApi, repo: str, revision: str) -> dict[str, RemoteFile]:
    """The files of a commit, by path."""
    from huggingface_hub.hf_api import RepoFile

    return {
        each.path: RemoteFile(each.size, each.blob_id, each.lfs.sha256 if each.lfs else None)
        for each in client.list_repo_tree(repo, revision=revision, recursive=True)
        if isinstance(each, RepoFile)
    }


def read_card(there: Repository) -> str | None:
    """The text of the newest commit's card; None where it has none."""
    if CARD not in there.files or there.head is None:
        return None
    commit = Commit(there.client, there.remote, there.repo, there.head)
    with tempfile.TemporaryDirectory(prefix="adapter-hub-") as folder:
        path = fetch_file(commit, CARD, there.files[CARD], Path(folder))
        return path.read_bytes().decode("utf-8", "replace")
