"""Discussions and pull requests over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from starlette.responses import JSONResponse, Response

from adapter_hub.hubserver import pulls
from adapter_hub.hubserver.accounts import User
from adapter_hub.hubserver.calls import Call
from adapter_hub.hubserver.records import Discussion, State
from adapter_hub.hubserver.refusals import NotFound, Refused
from adapter_hub.hubserver.repository import MAIN, Repository

_PAGE = 50


def listing(call: Call) -> Response:
    """Newest first; ``p`` counts the pages from 0."""
    _, state = call.readable()
    query = call.request.query_params
    found = [each for each in reversed(state.discussions) if _matches(each, query.get)]
    start = (call.number("p", 0, 1 << 20) if query.get("p", "0") != "0" else 0) * _PAGE
    page = [_told(state, each) for each in found[start : start + _PAGE]]
    return JSONResponse({"discussions": page, "count": len(found), "start": start})


def _matches(discussion: Discussion, wanted: Callable[[str], str | None]) -> bool:
    kind = "discussion" if discussion.base is None else "pull_request"
    status = "open" if discussion.status in ("open", "draft") else "closed"
    return (
        wanted("type") in (None, "all", kind)
        and wanted("status") in (None, "all", status)
        and wanted("author") in (None, discussion.author)
    )


def _told(state: State, discussion: Discussion) -> dict[str, Any]:
    return {
        "num": discussion.num,
        "title": discussion.title,
        "status": discussion.status,
        "createdAt": discussion.created,
        "author": {"name": discussion.author},
        "repo": {"name": state.id, "type": state.type},
        "isPullRequest": discussion.base is not None,
    }


def create(call: Call) -> Response:
    repository, _, user = call.proposable()
    title, text = call.text("title").strip(), call.text("description", "")
    if not title:
        raise Refused("A discussion needs a title.")
    with repository.edit() as state:
        if call.json.get("pullRequest"):
            made = pulls.open_pull(state, MAIN, title, user.name, text)
            made.status = "draft"
        else:
            made = pulls.open_discussion(state, title, user.name, text)
    return JSONResponse({"num": made.num, "pullRequest": made.base is not None})


def details(call: Call) -> Response:
    repository, state = call.readable()
    discussion = pulls.find(state, call.part("num"))
    told = _told(state, discussion)
    told["events"] = [_event(each) for each in discussion.events]
    if discussion.base is not None:
        told["changes"] = {"base": MAIN}
        if discussion.merged:
            told["changes"]["mergeCommitId"] = discussion.merged
        told["filesWithConflicts"] = pulls.conflicting(repository, state, discussion)
        told["diff"] = pulls.diff(repository, state, discussion)
    return JSONResponse(told)


def _event(event: dict[str, Any]) -> dict[str, Any]:
    data = dict(event["data"])
    if event["type"] == "comment":
        text = data.pop("text")
        data |= {"edited": bool(data.get("edited")), "hidden": bool(data.get("hidden"))}
        data["latest"] = {"raw": text, "html": f"<p>{escape(text)}</p>"}
        data["history"] = []
    return {**event, "author": {"name": event["author"]}, "data": data}


def comment(call: Call) -> Response:
    text = call.text("comment")

    def add(discussion: Discussion, author: str) -> dict[str, Any]:
        return pulls.add_event(discussion, "comment", author, text=text)

    return _change(call, "newMessage", add, call.proposable())


def rename(call: Call) -> Response:
    title = call.text("title").strip()
    if not title:
        raise Refused("A discussion needs a title.")

    def change(discussion: Discussion, author: str) -> dict[str, Any]:
        old, discussion.title = discussion.title, title
        return pulls.add_event(discussion, "title-change", author, **{"from": old, "to": title})

    return _change(call, "newTitle", change)


def set_status(call: Call) -> Response:
    status = call.text("status")
    if status not in ("open", "closed"):
        raise Refused('"status" is "open" or "closed".')

    def change(discussion: Discussion, author: str) -> dict[str, Any]:
        if discussion.status == "merged":
            raise Refused("What is merged stays merged.")
        discussion.status = status
        return pulls.add_event(discussion, "status-change", author, status=status)

    return _change(call, "newStatus", change)


def edit_comment(call: Call) -> Response:
    text = call.text("content")
    return _change(call, "updatedComment", lambda each, _: _comment(call, each, text, edited=True))


def hide_comment(call: Call) -> Response:
    return _change(call, "updatedComment", lambda each, _: _comment(call, each, "", hidden=True))


def _comment(call: Call, discussion: Discussion, text: str, **flags: bool) -> dict[str, Any]:
    """Change a comment. Raises NotFound."""
    for event in discussion.events:
        if event["id"] == call.part("event") and event["type"] == "comment":
            event["data"] |= {"text": text, **flags}
            return event
    raise NotFound("There is no such comment.")


def merge(call: Call) -> Response:
    repository, _, user = call.writable()
    with repository.edit() as state:
        pull = pulls.find(state, call.part("num"))
        pulls.merge(repository, state, pull, user.name, call.text("comment", ""))
    return JSONResponse({})


def _change(
    call: Call,
    key: str,
    change: Callable[[Discussion, str], dict[str, Any]],
    permitted: tuple[Repository, State, User] | None = None,
) -> Response:
    """Change one discussion; answers its new or changed event as ``key``."""
    repository, _, user = permitted or call.writable()
    with repository.edit() as state:
        event = change(pulls.find(state, call.part("num")), user.name)
    return JSONResponse({key: _event(event)})
