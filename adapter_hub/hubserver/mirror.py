"""Taking a snapshot of the local Hub cache into the folder of a Hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adapter_hub.errors import UnknownNameError, UsageError, VerificationError
from adapter_hub.hubserver.names import COMMIT, check_collisions, check_path, check_repo_id
from adapter_hub.hubserver.records import Commit, File, RepoType, now
from adapter_hub.hubserver.refusals import RevisionNotFound
from adapter_hub.hubserver.repository import MAIN, Repository
from adapter_hub.hubserver.store import Store

_PIECE = 1 << 20


@dataclass(frozen=True)
class Mirrored:
    revision: str
    files: int
    bytes: int


def mirror(folder: Path, cache: Path, kind: RepoType, id: str, revision: str) -> Mirrored:
    """Serve what the cache has of a repository at a revision, under the same commit id.

    A base that is pinned by its commit is found here by that commit. A cache often holds only
    the files that were used: what it has more at the next time is added.

    Raises UsageError for an id that cannot be, UnknownNameError where the cache has nothing of it,
    VerificationError for a file that differs from the digest that the cache knows, OSError.
    """
    owner, _, name = id.partition("/")
    if not owner or not name or "/" in name:
        raise UsageError(f"{id} is not OWNER/REPO.")
    check_repo_id(owner, name)
    entry = cache / f"{kind}s--{owner}--{name}"
    commit_id = _cached_commit(entry, id, revision)
    snapshot = entry / "snapshots" / commit_id
    paths = [path for path in sorted(snapshot.rglob("*")) if path.is_file()]
    names = [check_path(path.relative_to(snapshot).as_posix()) for path in paths]
    if not paths:
        raise UnknownNameError(f"the cache has no files of {id} at {commit_id}.")
    store = Store(folder)
    repository = store.open_or_create(kind, id, author="mirror")
    tree = {name: _take(repository, path, name) for path, name in zip(paths, names, strict=True)}
    _name(repository, commit_id, tree)
    return Mirrored(commit_id, len(tree), sum(file.size for file in tree.values()))


def _cached_commit(entry: Path, id: str, revision: str) -> str:
    """Raises UnknownNameError."""
    ref = entry / "refs" / revision
    commit = ref.read_text().strip() if ref.is_file() else revision
    if not COMMIT.fullmatch(commit) or not (entry / "snapshots" / commit).is_dir():
        raise UnknownNameError(
            f"the local Hub cache has no snapshot of {id} at {revision}.",
            hint=f"hf download {id} --revision {revision}",
        )
    return commit


def _take(repository: Repository, path: Path, name: str) -> File:
    """Copy a file to the blobs; the cache names it by its sha256 or its git id. Raises
    VerificationError."""
    with repository.blobs.incoming() as incoming, path.open("rb") as file:
        while piece := file.read(_PIECE):
            incoming.write(piece)
        digest = incoming.keep()
    taken = repository.describe(name, digest)
    known = path.resolve().name
    if len(known) in (40, 64) and path.is_symlink() and known not in (taken.sha256, taken.git):
        raise VerificationError(f"{path} in the cache differs from its digest {known}.")
    return taken


def _name(repository: Repository, id: str, tree: dict[str, File]) -> None:
    """Put the commit on main, in place of what was mirrored before."""
    with repository.edit() as state:
        try:
            known = repository.commit(id)
        except RevisionNotFound:
            known = Commit(id, None, "mirrored from the Hub cache", "", "mirror", now(), {})
        whole = dict(sorted({**known.tree, **tree}.items()))
        check_collisions(whole)
        fields = (known.parent, known.title, known.message, known.author, known.date)
        repository.put_commit(Commit(id, *fields, whole))
        state.refs[MAIN] = id
