"""A repository without HTTP: commits, refs, and what a crash leaves."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hubbox import complete

from adapter_hub.hubserver.records import Commit, File, State
from adapter_hub.hubserver.refusals import (
    EntryNotFound,
    Exists,
    Forbidden,
    Refused,
    RepoNotFound,
    RevisionNotFound,
    Stale,
)
from adapter_hub.hubserver.repository import BRANCHES, MAIN, TAGS, Repository
from adapter_hub.hubserver.store import Store


def put(
    repository: Repository, path: str, content: bytes, parent: str | None = None, ref: str = MAIN
) -> Commit:
    file = repository.describe(path, repository.blobs.add(content))
    with repository.edit() as state:
        return repository.advance(
            state,
            ref,
            lambda tree, _: tree.update({path: file}),
            title=f"add {path}",
            author="ann",
            parent=parent,
        )


def test_a_new_repository_has_a_first_commit(repository: Repository) -> None:
    commit = repository.resolve("main")
    assert list(commit.tree) == [".gitattributes"]
    assert commit.parent is None
    assert len(commit.id) == 40
    assert repository.resolve(commit.id) == commit


def test_ids_are_those_of_git(repository: Repository) -> None:
    put(repository, "hello.txt", b"hello\n")
    commit, small = repository.file("main", "hello.txt")
    assert small.blob_id == "ce013625030ba8dba906f756967f9e9ca394464a" == small.etag
    put(repository, "hello.bin", b"hello\n")
    _, large = repository.file("main", "hello.bin")
    assert large.lfs
    assert large.git == small.git
    assert large.etag == hashlib.sha256(b"hello\n").hexdigest()
    assert commit.parent


def test_a_commit_goes_on_the_newest_one_only(repository: Repository) -> None:
    first = repository.resolve("main").id
    second = put(repository, "a.txt", b"a", parent=first)
    assert second.parent == first
    with pytest.raises(Stale):
        put(repository, "b.txt", b"b", parent=first)
    assert put(repository, "b.txt", b"b").parent == second.id
    complete(repository)


def test_a_repeated_commit_is_the_first_one(repository: Repository) -> None:
    first = repository.resolve("main").id
    made = put(repository, "a.txt", b"a", parent=first)
    assert put(repository, "a.txt", b"a", parent=first) == made
    assert put(repository, "a.txt", b"a") == made
    with pytest.raises(Stale):
        put(repository, "a.txt", b"other", parent=first)


def test_a_refused_edit_changes_nothing(repository: Repository) -> None:
    put(repository, "a.txt", b"a")
    before = repository.state()
    for path in ("A.TXT", "a.txt/b"):
        with pytest.raises(Refused):
            put(repository, path, b"x")
    with pytest.raises(RevisionNotFound):
        put(repository, "b", b"x", ref="refs/heads/nope")
    assert repository.state() == before


def test_branches_and_tags(repository: Repository) -> None:
    first = repository.resolve("main").id
    repository.create_ref(BRANCHES, "exp/1", "main")
    repository.create_ref(TAGS, "v1", "main", "the first")
    moved = put(repository, "a.txt", b"a", ref="refs/heads/exp/1")
    assert repository.resolve("exp/1").id == moved.id
    assert repository.resolve("v1").id == repository.resolve("main").id == first
    with pytest.raises(Exists):
        repository.create_ref(TAGS, "v1", "main")
    with pytest.raises(RevisionNotFound):
        repository.create_ref(TAGS, "v2", "nope")
    repository.delete_ref(TAGS, "v1")
    with pytest.raises(RevisionNotFound):
        repository.resolve("v1")
    with pytest.raises(RevisionNotFound):
        repository.delete_ref(TAGS, "v1")
    with pytest.raises(Forbidden):
        repository.delete_ref(BRANCHES, "main")


def test_what_is_not_there_says_so(repository: Repository) -> None:
    with pytest.raises(EntryNotFound) as caught:
        repository.file("main", "nope")
    assert caught.value.headers == {"X-Repo-Commit": repository.resolve("main").id}
    for revision in ("nope", "0" * 40, "../../x", ""):
        with pytest.raises(RevisionNotFound):
            repository.resolve(revision)


def test_content_that_breaks_off_leaves_no_trace(repository: Repository) -> None:
    with pytest.raises(RuntimeError), repository.blobs.incoming() as incoming:  # noqa: PT012
        incoming.write(b"half")
        raise RuntimeError
    assert not list(repository.blobs.temporary.iterdir())
    assert repository.blobs.size(hashlib.sha256(b"half").hexdigest()) is None


def test_records_keep_what_they_are_given(repository: Repository) -> None:
    state = repository.state()
    assert State.from_json(state.id, state.to_json()) == state
    commit = Commit.make("a" * 40, "t", "ü", "ann", "d", {"p": File("b" * 64, 3, "c" * 40, True)})
    assert Commit.from_json(commit.id, commit.to_json()) == commit


# The store --------------------------------------------------------------------------------


def test_repositories_are_made_moved_and_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store.create("model", "ann/a", private=False, author="ann"), "x", b"x")
    store.create("dataset", "ann/a", private=True, author="ann")
    for id in ("ann/a", "ANN/A"):
        with pytest.raises(Exists):
            store.create("model", id, private=False, author="ann")
    store.move("model", "ann/a", "team/b")
    moved = store.repository("model", "team/b")
    assert moved.state().id == "team/b"
    assert moved.file("main", "x")
    with pytest.raises(RepoNotFound):
        store.repository("model", "ann/a").state()
    assert [state.id for _, state in store.states("model")] == ["team/b"]
    store.delete("model", "team/b")
    assert not list(store.states("model"))
    with pytest.raises(RepoNotFound):
        store.delete("model", "team/b")
    assert not list((tmp_path / "temporary").iterdir())
    assert [state.private for _, state in store.states("dataset")] == [True]


def test_what_was_left_long_ago_is_swept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old, new = tmp_path / "temporary" / "old", tmp_path / "temporary" / "new"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (0, time.time() - 100_000))
    Store(store.folder)
    assert not old.exists()
    assert new.exists()


# At the same time -------------------------------------------------------------------------


RACER = """
import sys
from pathlib import Path
from adapter_hub.hubserver.refusals import Stale
from adapter_hub.hubserver.repository import MAIN
from adapter_hub.hubserver.store import Store
folder, parent, number = sys.argv[1:]
repository = Store(Path(folder)).repository("model", "ann/sums")
file = repository.describe(number, repository.blobs.add(number.encode()))
input()  # until all are ready
try:
    with repository.edit() as state:
        edit = lambda tree, _: tree.update({number: file})
        repository.advance(state, MAIN, edit, title=number, author="ann", parent=parent)
    print("won")
except Stale:
    print("stale")
"""


def test_of_eight_processes_with_one_parent_one_wins(tmp_path: Path) -> None:
    repository = Store(tmp_path).create("model", "ann/sums", private=False, author="ann")
    parent = repository.resolve("main").id
    pipe = subprocess.PIPE
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), parent, str(number)],
            stdin=pipe,
            stdout=pipe,
            text=True,
        )
        for number in range(8)
    ]
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    ended = sorted(racer.communicate(timeout=60)[0].strip() for racer in racers)
    assert ended == ["stale"] * 7 + ["won"]
    assert len(list(repository.history(repository.resolve("main").id))) == 2
    complete(repository)


def test_threads_that_give_no_parent_all_get_their_commit(repository: Repository) -> None:
    threads = [
        threading.Thread(target=put, args=(repository, f"{number}.txt", b"%d" % number))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(repository.resolve("main").tree) == 9
    complete(repository)


WRITER = """
import sys
from pathlib import Path
from adapter_hub.hubserver.repository import MAIN
from adapter_hub.hubserver.store import Store
repository = Store(Path(sys.argv[1])).repository("model", "ann/sums")
number = 0
print("ready", flush=True)
while True:
    number += 1
    path = f"{sys.argv[2]}-{number}.bin"
    file = repository.describe(path, repository.blobs.add(b"%d" % number * 5000))
    with repository.edit() as state:
        repository.advance(state, MAIN, lambda tree, _: tree.update({path: file}), title="t", author="a")
"""


def killed_writers(folder: Path, times: int) -> Repository:
    repository = Store(folder).create("model", "ann/sums", private=False, author="ann")
    for number in range(times):
        command = [sys.executable, "-c", WRITER, str(folder), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout
            writer.stdout.readline()
            time.sleep(0.01 + 0.013 * (number % 11))
            writer.send_signal(signal.SIGKILL)
        complete(repository)
    return repository


def test_a_killed_writer_leaves_a_whole_repository(tmp_path: Path) -> None:
    repository = killed_writers(tmp_path, 4)
    put(repository, "after.txt", b"x")


@pytest.mark.slow
def test_many_killed_writers_leave_a_whole_repository(tmp_path: Path) -> None:
    repository = killed_writers(tmp_path, 25)
    assert len(repository.resolve("main").tree) > 25
