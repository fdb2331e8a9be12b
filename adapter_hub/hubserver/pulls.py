"""Pull requests as a part of a repository's state."""

from __future__ import annotations

from difflib import unified_diff

from adapter_hub.hubserver.records import Commit, Discussion, File, State, Tree, now
from adapter_hub.hubserver.refusals import Exists, NotFound, Refused, RevisionNotFound
from adapter_hub.hubserver.repository import MAIN, Repository

_LARGEST_DIFF = 1 << 16


def ref_of(number: int) -> str:
    return f"refs/pr/{number}"


def open_discussion(state: State, title: str, author: str, text: str) -> Discussion:
    """A new discussion with its first comment."""
    discussion = Discussion(len(state.discussions) + 1, title, author, now())
    state.discussions.append(discussion)
    add_event(discussion, "comment", author, text=text)
    return discussion


def open_pull(state: State, ref: str, title: str, author: str, text: str) -> Discussion:
    """A new pull request that starts at ``ref``. Raises RevisionNotFound."""
    if ref not in state.refs:
        raise RevisionNotFound(ref)
    discussion = open_discussion(state, title, author, text)
    discussion.base = state.refs[ref]
    state.refs[ref_of(discussion.num)] = state.refs[ref]
    return discussion


def note_commit(state: State, ref: str, commit: Commit) -> None:
    """A pull request shows the commits that were put on it."""
    for discussion in state.discussions:
        if ref_of(discussion.num) == ref:
            add_event(discussion, "commit", commit.author, subject=commit.title, oid=commit.id)


def find(state: State, number: str) -> Discussion:
    """Raises NotFound."""
    if (
        not number.isascii()
        or not number.isdigit()
        or not 0 < int(number) <= len(state.discussions)
    ):
        raise NotFound(f"There is no discussion {number}.")
    return state.discussions[int(number) - 1]


def add_event(discussion: Discussion, kind: str, author: str, **data: object) -> dict[str, object]:
    event: dict[str, object] = {
        "id": f"{discussion.num:08x}{len(discussion.events):016x}",
        "type": kind,
        "createdAt": now(),
        "author": author,
        "data": data,
    }
    discussion.events.append(event)
    return event


def merge(repository: Repository, state: State, pull: Discussion, author: str, text: str) -> Commit:
    """Put what a pull request changes on main, in one commit, inside ``edit``.

    Raises Refused where it is no open pull request, Exists where main has changed the same files.
    """
    if pull.base is None or pull.status not in ("open", "draft"):
        raise Refused(f"Discussion {pull.num} is no open pull request.")
    conflicts = conflicting(repository, state, pull)
    if conflicts:
        raise Exists(f"The pull request conflicts with main in {', '.join(conflicts)}.")
    before, after = _sides(repository, state, pull)

    def edit(tree: dict[str, File], _commit: str) -> None:
        for path in before.keys() - after.keys():
            tree.pop(path, None)
        tree.update({path: file for path, file in after.items() if before.get(path) != file})

    title = f"{pull.title} (#{pull.num})"
    made = repository.advance(state, MAIN, edit, title=title, message=text, author=author)
    pull.status, pull.merged = "merged", made.id
    add_event(pull, "status-change", author, status="merged")
    return made


def _sides(repository: Repository, state: State, pull: Discussion) -> tuple[Tree, Tree]:
    """Where a pull request started, and what it is now."""
    assert pull.base
    return repository.commit(pull.base).tree, repository.commit(state.refs[ref_of(pull.num)]).tree


def conflicting(repository: Repository, state: State, pull: Discussion) -> list[str]:
    """The files that both the pull request and main have changed, to different content."""
    if pull.status == "merged":
        return []
    base, mine = _sides(repository, state, pull)
    main = repository.commit(state.refs[MAIN]).tree
    return [
        path
        for path in sorted(base.keys() | mine.keys())
        if base.get(path) != mine.get(path)
        and main.get(path) not in (base.get(path), mine.get(path))
    ]


def diff(repository: Repository, state: State, pull: Discussion) -> str:
    """What a pull request changes, line by line where that can be read."""
    base, mine = _sides(repository, state, pull)
    parts = []
    for path in sorted(base.keys() | mine.keys()):
        if base.get(path) != mine.get(path):
            before = _lines(repository, base.get(path))
            after = _lines(repository, mine.get(path))
            lines = "".join(unified_diff(before, after, f"a/{path}", f"b/{path}"))
            parts.append(f"diff --git a/{path} b/{path}\n{lines}")
    return "".join(parts)


def _lines(repository: Repository, file: File | None) -> list[str]:
    if file is None:
        return []
    if file.lfs or file.size > _LARGEST_DIFF:
        return file.pointer.decode().splitlines(keepends=True)
    text = repository.blobs.path(file.sha256).read_text(encoding="utf-8", errors="replace")
    return [f"{line}\n" for line in text.splitlines()]
