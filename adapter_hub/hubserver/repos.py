"""Repositories as a whole: who am I, create, delete, move, settings, lists."""

from __future__ import annotations

from typing import Any, cast, get_args

from starlette.responses import JSONResponse, Response

from adapter_hub.hubserver import reading
from adapter_hub.hubserver.accounts import check_may_write, may_read
from adapter_hub.hubserver.calls import Call
from adapter_hub.hubserver.names import check_repo_id
from adapter_hub.hubserver.records import RepoType
from adapter_hub.hubserver.refusals import Exists, Refused, RevisionNotFound

_PAGE = 1000
_SORTS = {
    "created_at": "createdAt",
    "createdAt": "createdAt",
    "last_modified": "lastModified",
    "lastModified": "lastModified",
    # Nothing is counted here, so what is newest comes first.
    "downloads": "lastModified",
    "likes": "lastModified",
    "trendingScore": "lastModified",
}
_NEVER = ("apps", "inference", "inference_provider")
"""Filters for services that this Hub does not have."""


def whoami(call: Call) -> Response:
    user = call.require_user()
    return JSONResponse(
        {
            "type": "user",
            "id": user.name,
            "name": user.name,
            "fullname": user.name,
            "orgs": [{"type": "org", "name": org, "fullname": org} for org in user.orgs],
            "auth": {
                "type": "access_token",
                "accessToken": {"displayName": user.name, "role": user.role},
            },
        }
    )


def auth_check(call: Call) -> Response:
    call.open_to_user()
    return JSONResponse({})


def auth_check_write(call: Call) -> Response:
    call.writable()
    return JSONResponse({})


def create(call: Call) -> Response:
    user = call.require_user()
    owner = call.text("organization", user.name)
    kind, id = _kind(call), check_repo_id(owner, call.text("name"))
    check_may_write(user, owner)
    url = f"{call.base_url}/{'datasets/' if kind == 'dataset' else ''}{id}"
    try:
        call.store.create(kind, id, private=_private(call), author=user.name)
    except Exists as error:
        # The client reads the address from this answer too.
        return JSONResponse({"error": error.message, "url": url}, 409)
    return JSONResponse({"url": url, "name": id, "id": id})


def delete(call: Call) -> Response:
    owner = call.json.get("organization") or call.require_user().name
    kind, id = _kind(call), f"{owner}/{call.text('name')}"
    call.readable_at(kind, id)
    check_may_write(call.user, str(owner))
    call.store.delete(kind, id)
    return JSONResponse({})


def move(call: Call) -> Response:
    kind, source = _kind(call), call.text("fromRepo")
    target = check_repo_id(*(call.text("toRepo") + "/").split("/")[:2])
    call.readable_at(kind, source)
    for id in (source, target):
        check_may_write(call.user, id.partition("/")[0])
    call.store.move(kind, source, target)
    return JSONResponse({})


def settings(call: Call) -> Response:
    """Visibility and gating; what else clients send has no meaning here."""
    repository, _, _ = call.writable()
    with repository.edit() as state:
        if "private" in call.json or "visibility" in call.json:
            state.private = _private(call)
        if "gated" in call.json:
            gated = call.json["gated"]
            if gated not in (False, "auto", "manual"):
                raise Refused('"gated" is false, "auto" or "manual".')
            state.gated = gated
    return JSONResponse({"private": state.private, "gated": state.gated})


def _kind(call: Call) -> RepoType:
    kind = call.text("type", "model")
    if kind not in get_args(RepoType):
        raise Refused(f"This Hub has models and datasets; it has no repositories of type {kind!r}.")
    return cast(RepoType, kind)


def _private(call: Call) -> bool:
    visibility = call.json.get("visibility")
    if visibility not in (None, "public", "private"):
        raise Refused(f"The visibility {visibility!r} is not public or private.")
    return bool(call.json.get("private")) or visibility == "private"


# Lists -----------------------------------------------------------------------------------


def listing(call: Call) -> Response:
    """Repositories that the user may see and that match, page by page."""
    query = call.request.query_params
    found = [told for told in _visible(call) if _matches(told, call)]
    order = _SORTS.get(query.get("sort", ""))
    if order:
        found.sort(key=lambda told: str(told[order]), reverse=True)
    limit = call.number("limit", _PAGE, _PAGE)
    start = call.number("cursor", 1, 1 << 32) - 1
    headers = call.next_page(start + limit + 1) if len(found) > start + limit else {}
    page = found[start : start + limit]
    wanted = query.getlist("expand")
    if wanted:
        page = [{key: told.get(key) for key in ("_id", "id", *wanted)} for told in page]
    else:
        hidden = set() if call.flag("full") else {"siblings", "lastModified"}
        if not call.flag("cardData"):
            hidden.add("cardData")
        page = [{key: told[key] for key in told if key not in hidden} for told in page]
    return JSONResponse(page, headers=headers)


def _visible(call: Call) -> list[dict[str, Any]]:
    found = []
    for repository, state in call.store.states(call.kind):
        if may_read(call.user, state.id.partition("/")[0], private=state.private):
            try:
                commit = repository.resolve("main", state)
            except RevisionNotFound:
                continue  # deleted in this moment
            found.append(reading.describe(repository, state, commit))
    return found


def _matches(told: dict[str, Any], call: Call) -> bool:
    query = call.request.query_params
    author, words = query.get("author"), query.get("search", "").lower().split()
    wanted = {tag for value in query.getlist("filter") for tag in value.split(",")}
    wanted |= set(query.getlist("pipeline_tag"))
    return (
        (author is None or told["author"].lower() == author.lower())
        and all(word in told["id"].lower() for word in words)
        and wanted <= set(told["tags"])
        and ("gated" not in query or bool(told["gated"]) == call.flag("gated"))
        and not any(each in query for each in _NEVER)
    )
