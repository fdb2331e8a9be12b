"""Pull requests as a part of a repository's state."""

from __future__ import annotations

from adapter_hub.hubserver.names import check_collisions
from adapter_hub.hubserver.records import Commit, Discussion, File, State, now
from adapter_hub.hubserver.refusals import Exists, NotFound, Refused, RevisionNotFound
from adapter_hub.hubserver.repository import MAIN, Repository


def ref_of(number: int) -> str:
    return f"refs/pr/{number}"


def open_discussion(state: State, title: str, author: str, text: str) -> Discussion:
    """A new discussion with its first comment."""
    discussion = Discussion(len(state.discussions) + 1, title, author, now())
    state.discussions.append(discussion)
    add_event(discussion, "comment", author, text=text)
    return discussion


def open_pull(state: State, ref: str, title: str, author: str, text: str) -> int:
    """A new pull request that starts at ``ref``; its number. Raises RevisionNotFound."""
    if ref not in state.refs:
        raise RevisionNotFound(ref)
    discussion = open_discussion(state, title, author, text)
    discussion.base = state.refs[ref]
    discussion.status = "open"
    state.refs[ref_of(discussion.num)] = state.refs[ref]
    return discussion.num


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
    before, after = repository.commit(pull.base).tree, repository.resolve(ref_of(pull.num)).tree

    def edit(tree: dict[str, File], _commit: str) -> None:
        for path in before.keys() - after.keys():
            tree.pop(path, None)
        tree.update({path: file for path, file in after.items() if before.get(path) != file})
        check_collisions(sorted(tree))

    title = f"{pull.title} (#{pull.num})"
    made = repository.advance(state, MAIN, edit, title=title, message=text, author=author)
    pull.status, pull.merged = "merged", made.id
    add_event(pull, "status-change", author, status="merged")
    return made


def conflicting(repository: Repository, state: State, pull: Discussion) -> list[str]:
    """The files that both the pull request and main have changed, to different content."""
    if pull.base is None or pull.status == "merged":
        return []
    base = repository.commit(pull.base).tree
    mine = repository.commit(state.refs[ref_of(pull.num)]).tree
    main = repository.commit(state.refs[MAIN]).tree
    return [
        path
        for path in sorted(base.keys() | mine.keys())
        if base.get(path) != mine.get(path)
        and main.get(path) not in (base.get(path), mine.get(path))
    ]
