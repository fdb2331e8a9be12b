"""The repositories of one folder.

models/OWNER/NAME/, datasets/OWNER/NAME/   repositories
locks/                                     one lock for each, outside what may be renamed
moved/                                     by the old name of a repository, its new one
temporary/                                 content on its way in, and repositories on their way out
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import get_args

from adapter_hub.hubserver.names import check_repo_part, folded
from adapter_hub.hubserver.records import BINARY, Commit, File, RepoType, State, now
from adapter_hub.hubserver.refusals import Exists, Refused, RepoNotFound
from adapter_hub.hubserver.repository import MAIN, Repository
from adapter_hub.registry.atomic import replace_file, sync_folder

LOCK_SECONDS = 60.0
DAY = 86400.0

ATTRIBUTES = "".join(
    f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in sorted(BINARY)
).encode()
"""The first commit's .gitattributes, as on the Hub: which files are described as LFS."""


class Store:
    """Opens the folder, and makes it when it is new. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for each in ("locks", "moved", "temporary", *(f"{kind}s" for kind in get_args(RepoType))):
            (folder / each).mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError), (folder / ".gitignore").open("x") as file:
            file.write("*\n")  # it holds a token, and what others may not see
        self._temporary = folder / "temporary"
        self._sweep()

    def _sweep(self) -> None:
        """Remove what a killed server left, but nothing that another one may be writing now."""
        for path in self._temporary.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime < DAY:
                    continue
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _folder(self, kind: RepoType, id: str) -> Path:
        owner, _, name = id.partition("/")
        return self.folder / f"{kind}s" / check_repo_part(owner) / check_repo_part(name)

    def _lock(self, kind: RepoType, id: str) -> Callable[[], AbstractContextManager[object]]:
        from filelock import FileLock

        # Names that differ in case alone cannot exist side by side: they share their lock.
        path = self.folder / "locks" / f"{kind}--{id.replace('/', '--')}.lock".lower()
        return lambda: FileLock(path, timeout=LOCK_SECONDS)

    def repository(self, kind: RepoType, id: str) -> Repository:
        """Raises Refused for a name that cannot be; whether it is there, its state tells."""
        return Repository(self._folder(kind, id), self._temporary, self._lock(kind, id))

    def create(self, kind: RepoType, id: str, *, private: bool, author: str) -> Repository:
        """A repository with its first commit. Raises Refused, Exists."""
        repository = self.repository(kind, id)
        with self._lock(kind, id)():
            self._refuse_twin(kind, id)
            unfinished = self._temporary / secrets.token_hex(16)
            draft = Repository(unfinished, self._temporary, self._lock(kind, id))
            for folder in (unfinished, unfinished / "commits", unfinished / "blobs"):
                folder.mkdir()
            file = draft.describe(".gitattributes", draft.blobs.add(ATTRIBUTES))
            tree: dict[str, File] = {".gitattributes": file}
            first = Commit.make(None, "initial commit", "", author, now(), tree)
            draft.put_commit(first)
            draft.write(State(id, kind, now(), private, refs={MAIN: first.id}))
            self._moved(kind, id).unlink(missing_ok=True)
            self._rename(unfinished, repository.folder)
        return repository

    def open_or_create(self, kind: RepoType, id: str, *, author: str) -> Repository:
        """Raises Refused, Exists where another repository has this name in other letters."""
        repository = self.repository(kind, id)
        try:
            repository.state()
        except RepoNotFound:
            return self.create(kind, id, private=False, author=author)
        return repository

    def _rename(self, source: Path, target: Path) -> None:
        if not target.parent.exists():
            target.parent.mkdir(exist_ok=True)
            sync_folder(target.parent.parent)
        os.replace(source, target)
        sync_folder(target.parent)

    def _refuse_twin(self, kind: RepoType, id: str) -> None:
        if other := self.twin(kind, id):
            raise Exists(f"A {kind} repository called {other} already exists")

    def twin(self, kind: RepoType, id: str) -> str | None:
        """The repository of this name, in whatever letters."""
        return next((each for each in self._ids(kind) if folded(each) == folded(id)), None)

    def delete(self, kind: RepoType, id: str) -> None:
        """Raises RepoNotFound."""
        repository = self.repository(kind, id)
        doomed = self._temporary / secrets.token_hex(16)
        with self._lock(kind, id)():
            repository.state()
            os.replace(repository.folder, doomed)
            sync_folder(repository.folder.parent)
        shutil.rmtree(doomed, ignore_errors=True)

    def move(self, kind: RepoType, source: str, target: str) -> None:
        """Give a repository another name. Raises Refused, RepoNotFound, Exists."""
        moved = self.repository(kind, target)
        with ExitStack() as locks:
            # Always in the same order, or two moves could wait for each other.
            for id in sorted({source.lower(): source, target.lower(): target}.values()):
                locks.enter_context(self._lock(kind, id)())
            repository = self.repository(kind, source)
            repository.state()
            if folded(source) != folded(target):
                self._refuse_twin(kind, target)
            # Before the renaming: while there is a repository of that name, it is not looked at.
            self._moved(kind, target).unlink(missing_ok=True)
            replace_file(self._moved(kind, source), target.encode())
            self._rename(repository.folder, moved.folder)

    def moved_to(self, kind: RepoType, id: str) -> str | None:
        """The name that a repository has now which once was ``id``; None where there is none."""
        names = [id]
        with contextlib.suppress(FileNotFoundError, Refused):
            while names.count(names[-1]) == 1:
                names.append(self._moved(kind, names[-1]).read_text())
        return names[-1] if len(names) > 1 else None

    def _moved(self, kind: RepoType, id: str) -> Path:
        owner, _, name = id.partition("/")
        return self.folder / "moved" / f"{kind}--{check_repo_part(owner)}--{check_repo_part(name)}"

    def _ids(self, kind: RepoType) -> Iterator[str]:
        for path in (self.folder / f"{kind}s").glob("*/*/repository.json"):
            yield f"{path.parent.parent.name}/{path.parent.name}"

    def states(self, kind: RepoType) -> Iterator[tuple[Repository, State]]:
        """Every repository, in the order of their names."""
        for id in sorted(self._ids(kind), key=str.lower):
            repository = self.repository(kind, id)
            with contextlib.suppress(RepoNotFound):  # deleted in this moment
                yield repository, repository.state()
