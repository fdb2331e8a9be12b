"""One repository in a folder: blobs, commits, and the refs that name commits.

    repository.json   what can change, the refs among it; replaced as a whole, under the lock
    commits/ID.json   never changed
    blobs/XX/SHA256   never changed

What a file names is durable before the file is: a crash leaves at most what nothing names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from adapter_hub.hubserver.blobs import Blobs
from adapter_hub.hubserver.names import COMMIT, SHORT_COMMIT, check_collisions, check_ref_name
from adapter_hub.hubserver.records import Commit, File, State, Tree, is_lfs, now
from adapter_hub.hubserver.refusals import (
    EntryNotFound,
    Exists,
    Forbidden,
    Refused,
    RepoNotFound,
    RevisionNotFound,
    Stale,
)
from adapter_hub.registry.atomic import replace_file

MAIN = "refs/heads/main"
BRANCHES = "refs/heads/"
TAGS = "refs/tags/"

Edit = Callable[[dict[str, File], str], None]
"""Changes a tree in place; the second argument is the commit that it is of."""


class Repository:
    """``lock`` is held, between processes too, while refs are read and replaced."""

    def __init__(
        self, folder: Path, temporary: Path, lock: Callable[[], AbstractContextManager[object]]
    ) -> None:
        self.folder = folder
        self.blobs = Blobs(folder / "blobs", temporary)
        self._lock = lock

    def state(self) -> State:
        """Raises RepoNotFound."""
        try:
            content = (self.folder / "repository.json").read_bytes()
        except FileNotFoundError:
            raise RepoNotFound from None
        return State.from_json(f"{self.folder.parent.name}/{self.folder.name}", content)

    @contextlib.contextmanager
    def edit(self) -> Iterator[State]:
        """The state, alone; what was changed in it is written at the end. Raises RepoNotFound."""
        with self._lock():
            state = self.state()
            before = state.to_json()
            yield state
            if state.to_json() != before:
                self.write(state)

    def write(self, state: State) -> None:
        replace_file(self.folder / "repository.json", state.to_json())

    # Commits -----------------------------------------------------------------------------

    def commit(self, id: str) -> Commit:
        """Raises RevisionNotFound, also for what is no id: it would be a path."""
        if not COMMIT.fullmatch(id):
            raise RevisionNotFound(id)
        try:
            return Commit.from_json(id, (self.folder / "commits" / f"{id}.json").read_bytes())
        except FileNotFoundError:
            raise RevisionNotFound(id) from None

    def history(self, id: str) -> Iterator[Commit]:
        """A commit and those before it, newest first."""
        following: str | None = id
        while following:
            commit = self.commit(following)
            yield commit
            following = commit.parent

    def resolve(self, revision: str, state: State | None = None) -> Commit:
        """The commit that a branch, tag, pull request or commit id names. Raises RevisionNotFound."""
        refs = (state or self.state()).refs
        for ref in (revision, BRANCHES + revision, TAGS + revision):
            if ref in refs:
                return self.commit(refs[ref])
        return self.commit(self._whole_id(revision))

    def _whole_id(self, start: str) -> str:
        """The one commit whose id begins so; at least 7 digits. Raises RevisionNotFound."""
        if COMMIT.fullmatch(start):
            return start
        if not SHORT_COMMIT.fullmatch(start):
            raise RevisionNotFound(start)
        found = [*(self.folder / "commits").glob(f"{start}*.json")]
        if len(found) != 1:
            raise RevisionNotFound(start)
        return found[0].stem

    def file(self, revision: str, path: str) -> tuple[Commit, File]:
        """Raises RevisionNotFound, EntryNotFound."""
        commit = self.resolve(revision)
        if path not in commit.tree:
            raise EntryNotFound(path, commit.id)
        return commit, commit.tree[path]

    def describe(self, path: str, sha256: str) -> File:
        """The entry of a tree for a blob that is here."""
        size = self.blobs.size(sha256)
        assert size is not None, sha256
        return File(sha256, size, self.blobs.git_id(sha256), is_lfs(path, size))

    def advance(
        self,
        state: State,
        ref: str,
        edit: Edit,
        *,
        title: str,
        message: str = "",
        author: str,
        parent: str | None = None,
    ) -> Commit:
        """Put a commit on ``ref``, inside ``edit``; its blobs are here already.

        ``parent`` is what the client took for the newest commit. A tree that is the newest
        commit's own makes no commit: a client that repeats a request gets the first answer.
        Raises RevisionNotFound, Stale, EntryNotFound, Refused.
        """
        if ref not in state.refs:
            raise RevisionNotFound(ref)
        head = self.commit(state.refs[ref])
        repeated = parent is not None and parent == head.parent
        if parent not in (None, head.id) and not repeated:
            raise Stale
        base = self.commit(parent) if repeated and parent else head
        try:
            tree = self._edited(base, edit)
        except EntryNotFound:
            if repeated:
                raise Stale from None
            raise
        if tree == head.tree:
            return head
        if repeated:
            raise Stale
        commit = Commit.make(head.id, title, message, author, now(), tree)
        self.put_commit(commit)
        state.refs[ref] = commit.id
        return commit

    def _edited(self, commit: Commit, edit: Edit) -> Tree:
        tree = dict(commit.tree)
        edit(tree, commit.id)
        if tree.keys() != commit.tree.keys():
            check_collisions(sorted(tree))
        for path, file in tree.items():
            # Under the lock: what nothing named until now may have been collected.
            if commit.tree.get(path) != file and self.blobs.size(file.sha256) is None:
                raise Refused(f"The content of {path} is not here any more; upload it again.")
        return tree

    def put_commit(self, commit: Commit) -> None:
        """Make a commit durable. Its blobs are: only ``describe`` makes entries, of what is here."""
        replace_file(self.folder / "commits" / f"{commit.id}.json", commit.to_json())

    # Branches and tags -------------------------------------------------------------------

    def create_ref(self, prefix: str, name: str, revision: str, message: str = "") -> None:
        """Raises Refused, Exists, RevisionNotFound."""
        ref = prefix + name
        with self.edit() as state:
            commit = self.resolve(revision, state)
            check_ref_name(name)
            if ref in state.refs:
                raise Exists(f"Reference {ref} already exists")
            state.refs[ref] = commit.id
            if message:
                state.tag_messages[ref] = message

    def delete_ref(self, prefix: str, name: str) -> None:
        """Raises RevisionNotFound, Forbidden."""
        ref = prefix + name
        if ref == MAIN:
            raise Forbidden(f"Cannot delete {MAIN}: it is the default branch")
        with self.edit() as state:
            if ref not in state.refs:
                raise RevisionNotFound(name)
            del state.refs[ref]
            state.tag_messages.pop(ref, None)


def named(refs: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The refs below a prefix, without it."""
    return {ref.removeprefix(prefix): id for ref, id in refs.items() if ref.startswith(prefix)}
