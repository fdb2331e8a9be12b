"""What no commit names goes, after a day; what one names or may name soon stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hubbox import HubBox

from adapter_hub.hubserver.collecting import collect
from adapter_hub.hubserver.refusals import Refused
from adapter_hub.hubserver.repository import MAIN, Repository
from adapter_hub.hubserver.store import DAY, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "box")


@pytest.fixture
def repository(store: Store) -> Repository:
    return store.create("model", "ann/sums", private=False, author="ann")


def put(repository: Repository, path: str, sha256: str) -> str:
    file = repository.describe(path, sha256)
    with repository.edit() as state:
        return repository.advance(
            state, MAIN, lambda tree, _: tree.update({path: file}), title=path, author="ann"
        ).id


def make_old(repository: Repository, sha256: str = "") -> None:
    """Everything there, or one blob, was written the day before yesterday."""
    then = time.time() - 2 * DAY
    paths = [repository.blobs.path(sha256)] if sha256 else [*repository.folder.rglob("*")]
    for path in paths:
        os.utime(path, (then, then))


def test_only_what_is_old_and_named_by_nothing_goes(store: Store, repository: Repository) -> None:
    kept = repository.blobs.add(b"kept")
    put(repository, "a.txt", kept)
    # A commit that no branch holds any more is still one that can be read.
    before = repository.state().refs[MAIN]
    put(repository, "a.txt", repository.blobs.add(b"changed"))
    with repository.edit() as state:
        state.refs[MAIN] = before
    left = repository.blobs.add(b"left behind")
    (repository.folder / ".repository.json.x7").write_text("a kill while it was written")
    (repository.folder / "commits" / ".abc.json.x7").write_text("the same")
    make_old(repository)
    young = repository.blobs.add(b"on its way")
    assert collect(store) == 3
    assert repository.blobs.size(left) is None
    assert repository.blobs.size(young) == 10
    assert len([*repository.blobs.folder.rglob("??/*")]) == 4
    assert not [*repository.folder.rglob(".*")]
    assert repository.resolve("main").tree["a.txt"].sha256 == kept
    assert collect(store) == 0


def test_content_that_comes_again_is_young(store: Store, repository: Repository) -> None:
    left = repository.blobs.add(b"left behind")
    make_old(repository, left)
    repository.blobs.add(b"left behind")
    assert collect(store) == 0
    make_old(repository, left)
    repository.blobs.renew(left)
    assert collect(store) == 0


def test_a_commit_without_its_content_is_refused(store: Store, repository: Repository) -> None:
    head = repository.resolve("main").id
    left = repository.blobs.add(b"left behind")
    file = repository.describe("a.txt", left)
    make_old(repository, left)
    assert collect(store) == 1
    with repository.edit() as state, pytest.raises(Refused, match="not here any more"):
        repository.advance(
            state, MAIN, lambda tree, _: tree.update({"a.txt": file}), title="a", author="ann"
        )
    assert repository.resolve("main").id == head


def test_a_server_collects_when_it_starts(store: Store, repository: Repository) -> None:
    left = repository.blobs.add(b"left behind")
    make_old(repository, left)
    with HubBox(store.folder):
        deadline = time.monotonic() + 30
        while repository.blobs.size(left) is not None and time.monotonic() < deadline:
            time.sleep(0.05)
    assert repository.blobs.size(left) is None
