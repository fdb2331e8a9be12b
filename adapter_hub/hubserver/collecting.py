"""What nothing names: content that was uploaded for a commit that never came, and files of a kill."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

from adapter_hub.hubserver.records import RepoType
from adapter_hub.hubserver.refusals import RepoNotFound
from adapter_hub.hubserver.repository import Repository
from adapter_hub.hubserver.store import DAY, Store


def collect(store: Store, age: float = DAY) -> int:
    """Delete what is older than ``age`` seconds and no commit names; how many files that were.

    A commit that is on its way needs its uploads for minutes; and should one be deleted under
    its hands, it is refused, not made without them. Safe beside other servers of the folder.
    """
    before, deleted = time.time() - age, 0
    for kind in get_args(RepoType):
        for repository, _ in store.states(kind):
            with contextlib.suppress(RepoNotFound, TimeoutError):
                deleted += _collect(repository, before)
    return deleted


def _collect(repository: Repository, before: float) -> int:
    """Raises RepoNotFound where it was deleted in this moment, TimeoutError where it is busy."""
    old = [*_old(repository.blobs.folder.glob("??/*"), before)]
    drafts = [*repository.folder.glob(".*"), *repository.folder.glob("commits/.*")]
    old_drafts = [*_old(drafts, before)]
    if not old_drafts and {blob.name for blob in old} <= _named(repository):
        return 0  # as nearly always, and without keeping anybody waiting
    with repository.edit():
        named = _named(repository)
        doomed = [*old_drafts, *(blob for blob in _old(old, before) if blob.name not in named)]
        for path in doomed:
            path.unlink(missing_ok=True)
    return len(doomed)


def _old(paths: Iterable[Path], before: float) -> Iterator[Path]:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_mtime < before:
                yield path


def _named(repository: Repository) -> set[str]:
    """The content of every commit, those that no branch holds any more among them."""
    return {
        file.sha256
        for path in repository.folder.glob("commits/[0-9a-f]*.json")
        for file in repository.commit(path.stem).tree.values()
    }
