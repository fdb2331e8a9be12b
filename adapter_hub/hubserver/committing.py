"""Uploads: which way each file goes, and the commit."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapter_hub.hubserver import cards, pulls
from adapter_hub.hubserver.accounts import User
from adapter_hub.hubserver.calls import Call, hub_of
from adapter_hub.hubserver.ndjson import Body
from adapter_hub.hubserver.records import LARGE, Commit, File, State, now
from adapter_hub.hubserver.refusals import Moved, Refused
from adapter_hub.hubserver.repository import Repository

_PIECE = 1 << 20


def validate_yaml(call: Call) -> Response:
    """Must answer JSON whatever it finds: the client reads that before the status."""
    text = call.text("content").replace("\r\n", "\n").lstrip()
    head, end, _ = text.partition("\n---")
    errors = []
    if end and head.startswith("---\n"):
        try:
            results = cards.parse(head.removeprefix("---\n")).get("model-index", [])
            if not isinstance(results, list):
                raise ValueError('"model-index" must be an array')
        except ValueError as error:
            errors.append({"message": str(error)})
    return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)


def preupload(call: Call) -> Response:
    """``regular`` for clients that may upload by Xet: told ``lfs``, they would."""
    repository, state, user = _committable(call)
    tree = repository.resolve(call.part("rev"), state).tree
    takes_lfs = "adapter-hub/" in call.request.headers.get("user-agent", "")
    takes_lfs &= user.belongs_to(call.part("owner"))  # what is uploaded so has no commit yet
    files = call.json.get("files")
    if not isinstance(files, list):
        raise Refused('"files" must be an array.')
    return JSONResponse({"files": [_way(file, tree.get, takes_lfs) for file in files]})


def _committable(call: Call) -> tuple[Repository, State, User]:
    """Branches are for those who may write; a new pull request, and one's own, for all who see it.

    Raises RepoNotFound, NotLoggedIn, Forbidden.
    """
    repository, state, user = call.proposable()
    own = any(
        pulls.ref_of(each.num) == call.part("rev") and each.author == user.name
        for each in state.discussions
    )
    return (repository, state, user) if own or call.flag("create_pr") else call.writable()


def _way(file: Any, current: Any, takes_lfs: bool) -> dict[str, object]:
    if not isinstance(file, dict) or not isinstance(file.get("path"), str):
        raise Refused("A file has no path.")
    size = file.get("size")
    lfs = takes_lfs and isinstance(size, int) and size >= LARGE
    there: File | None = current(file["path"])
    return {
        "path": file["path"],
        "uploadMode": "lfs" if lfs else "regular",
        "shouldIgnore": False,
        "oid": there and (there.sha256 if lfs else there.git),
    }


async def commit(request: Request) -> Response:
    """Stores files as they arrive; only then, for a moment, holds the repository's lock."""
    call = Call(hub_of(request), request)
    try:
        repository, _, _ = await run_in_threadpool(_committable, call)
    except Moved:
        async for _ in request.stream():
            pass  # a client that is still sending would miss the answer
        raise
    body = Body(repository.blobs)
    try:
        piece = bytearray()
        async for part in request.stream():
            piece += part
            if len(piece) >= _PIECE:
                await run_in_threadpool(body.feed, bytes(piece))
                piece.clear()
        await run_in_threadpool(body.feed, bytes(piece))
        await run_in_threadpool(body.finish)
        return await run_in_threadpool(_commit, call, repository, body)
    finally:
        body.close()


def _commit(call: Call, repository: Repository, body: Body) -> Response:
    described = _described(repository, body)
    author = call.require_user().name
    with repository.edit() as state:
        ref = _target(state, call.part("rev"))
        number = None
        if call.flag("create_pr"):
            number = pulls.open_pull(state, ref, body.summary, author, body.description).num
            ref = pulls.ref_of(number)
        before = state.refs.get(ref)
        made = repository.advance(
            state,
            ref,
            lambda tree, commit: body.apply(tree, commit, described),
            title=body.summary,
            message=body.description,
            author=author,
            parent=body.parent,
        )
        if made.id != before:
            pulls.note_commit(state, ref, made)
    return JSONResponse(_answer(call, made, number))


def _answer(call: Call, made: Commit, number: int | None) -> dict[str, object]:
    answer: dict[str, object] = {
        "success": True,
        "commitOid": made.id,
        "commitUrl": f"{call.page_url}/commit/{made.id}",
        "hookOutput": "",
    }
    if number is not None:
        answer["pullRequestUrl"] = f"{call.page_url}/discussions/{number}"
    return answer


def _target(state: State, revision: str) -> str:
    """The ref that a commit goes to: a branch or a pull request."""
    if revision in state.refs:
        return revision
    return f"refs/heads/{revision}"


def _described(repository: Repository, body: Body) -> dict[str, File]:
    """The entries of the new files. Raises Refused where an uploaded one did not arrive."""
    described: dict[str, File] = {}
    for change in body.changes:
        if change.sha256:
            if repository.blobs.size(change.sha256) is None:
                raise Refused(
                    f"LFS pointer pointed to a file that does not exist: {change.path} was not "
                    "uploaded."
                )
            described[change.path] = repository.describe(change.path, change.sha256)
    return described


def squash(call: Call) -> Response:
    """One commit without a past in place of a branch's history; what it named stays readable."""
    repository, _, user = call.writable()
    with repository.edit() as state:
        ref = _target(state, call.part("rev"))
        tree = repository.resolve(ref, state).tree
        made = Commit.make(None, call.text("message", "Super-squash"), "", user.name, now(), tree)
        repository.put_commit(made)
        state.refs[ref] = made.id
    return JSONResponse({})
