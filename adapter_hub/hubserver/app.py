"""The addresses of the Hub, and what stands around every request."""

from __future__ import annotations

import errno
import secrets
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from adapter_hub.hubserver import committing, discussions, lfs, pages, reading, repos, resolving
from adapter_hub.hubserver.calls import USER, Call, Hub, plain, refusal
from adapter_hub.hubserver.refusals import Refused, RepoNotFound


class _Kind(Convertor[str]):
    regex = "models|datasets"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("kind", _Kind())


def _no_such_repository(call: Call) -> Response:
    """Names of one part are the Hub's own; this one has none of them."""
    raise RepoNotFound


def _route(method: str, path: str, function: Callable[[Call], Response]) -> Route:
    return Route(path, plain(function), methods=[method])


_REPO = "/api/{kind:kind}/{owner}/{name}"
_DISCUSSIONS = _REPO + "/discussions"

ROUTES = [
    _route("GET", "/api/whoami-v2", repos.whoami),
    _route("POST", "/api/repos/create", repos.create),
    _route("DELETE", "/api/repos/delete", repos.delete),
    _route("POST", "/api/repos/move", repos.move),
    _route("POST", "/api/validate-yaml", committing.validate_yaml),
    _route("GET", "/api/{kind:kind}", repos.listing),
    _route("GET", _REPO, reading.info),
    _route("GET", _REPO + "/revision/{rev}", reading.info),
    _route("GET", _REPO + "/tree/{rev}", reading.tree),
    _route("GET", _REPO + "/tree/{rev}/{path:path}", reading.tree),
    _route("POST", _REPO + "/paths-info/{rev}", reading.paths_info),
    _route("GET", _REPO + "/commits/{rev}", reading.commits),
    _route("GET", _REPO + "/refs", reading.refs),
    _route("POST", _REPO + "/tag/{rev}", reading.create_tag),
    _route("DELETE", _REPO + "/tag/{rev}", reading.delete_tag),
    _route("POST", _REPO + "/branch/{rev}", reading.create_branch),
    _route("DELETE", _REPO + "/branch/{rev}", reading.delete_branch),
    _route("GET", _REPO + "/auth-check", repos.auth_check),
    _route("GET", _REPO + "/auth-check/write", repos.auth_check_write),
    _route("PUT", _REPO + "/settings", repos.settings),
    _route("POST", _REPO + "/preupload/{rev}", committing.preupload),
    Route(_REPO + "/commit/{rev}", committing.commit, methods=["POST"]),
    _route("GET", _DISCUSSIONS, discussions.listing),
    _route("POST", _DISCUSSIONS, discussions.create),
    _route("GET", _DISCUSSIONS + "/{num}", discussions.details),
    _route("POST", _DISCUSSIONS + "/{num}/comment", discussions.comment),
    _route("POST", _DISCUSSIONS + "/{num}/comment/{event}/edit", discussions.edit_comment),
    _route("POST", _DISCUSSIONS + "/{num}/comment/{event}/hide", discussions.hide_comment),
    _route("POST", _DISCUSSIONS + "/{num}/title", discussions.rename),
    _route("POST", _DISCUSSIONS + "/{num}/status", discussions.set_status),
    _route("POST", _DISCUSSIONS + "/{num}/merge", discussions.merge),
    _route("POST", _REPO + "/super-squash/{rev}", committing.squash),
    _route("GET", "/api/{kind:kind}/{name}", _no_such_repository),
    *(
        _route("GET", "/api/{kind:kind}/{name}" + end, _no_such_repository)
        for end in ("/revision/{rev}", "/tree/{rev}", "/commits/{rev}", "/refs")
    ),
    _route("POST", "/lfs/{kind:kind}/{owner}/{name}/verify", lfs.verify),
    Route("/lfs/{kind:kind}/{owner}/{name}/{oid}", lfs.upload, methods=["PUT"]),
    _route("POST", "/{kind:kind}/{owner}/{name}.git/info/lfs/objects/batch", lfs.batch),
    _route("POST", "/{owner}/{name}.git/info/lfs/objects/batch", lfs.batch),
    _route("GET", "/{kind:kind}/{owner}/{name}/resolve/{rev}/{path:path}", resolving.resolve),
    _route("GET", "/{owner}/{name}/resolve/{rev}/{path:path}", resolving.resolve),
    _route("GET", "/{name}/resolve/{rev}/{path:path}", _no_such_repository),
    _route("GET", "/", pages.front),
    *(
        _route("GET", start + "/{owner}/{name}" + end, pages.repository)
        for start in ("/{kind:kind}", "")
        for end in ("", "/tree/{rev}", "/commit/{rev}")
    ),
    *(
        _route("GET", start + "/{owner}/{name}/discussions/{num}", pages.discussion)
        for start in ("/{kind:kind}", "")
    ),
]


def make_app(hub: Hub) -> ASGIApp:
    app = Starlette(
        routes=ROUTES,
        exception_handlers={
            Refused: _refused,
            HTTPException: _http_error,
            ClientDisconnect: _gone,
            TimeoutError: _busy,
            OSError: _cannot_store,
        },
    )
    app.router.redirect_slashes = False
    app.state.hub = hub
    return _Around(app)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal(error)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _busy(_request: Request, _error: Exception) -> Response:
    """The lock was not to be had in time; clients wait and ask again."""
    return JSONResponse({"error": "The repository is busy."}, 503, headers={"Retry-After": "5"})


async def _gone(_request: Request, _error: Exception) -> Response:
    """Nobody reads it; the log has the line."""
    return Response(status_code=400)


async def _cannot_store(_request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    message = "The Hub has no space left." if full else "The Hub cannot read or write its files."
    return JSONResponse({"error": message}, 507 if full else 500)


class _Around:
    """One line on stderr for each request, an id for it, and its path as it was sent.

    In the path as sent, a branch ``a/b`` is one segment ``a%2Fb``; decoded it would be two.
    The line has no query and no header: a signature or a token could be in them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path"] = scope["raw_path"].decode("ascii", "replace").partition("?")[0]
        line = _Line(scope)

        async def counted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                line.status = message["status"]
                header = (b"x-request-id", line.request_id.encode())
                message["headers"] = [*message.get("headers", []), header]
            line.size += len(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body"):
                line.write()  # whoever has the whole answer finds it in the log
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            line.write()


class _Line:
    """What the log says of a request, once."""

    def __init__(self, scope: Scope) -> None:
        self.request_id, self.status, self.size = secrets.token_hex(8), 500, 0
        self._scope, self._start, self._written = scope, time.monotonic(), False

    def write(self) -> None:
        if self._written:
            return
        self._written = True
        client, user = (self._scope.get("client") or ("-",))[0], self._scope.get(USER, "-")
        took = (time.monotonic() - self._start) * 1000
        print(
            f"{client} {user} {self._scope['method']} {self._scope['path']} {self.status}"
            f" {self.size} bytes {took:.0f} ms {self.request_id}",
            file=sys.stderr,
            flush=True,
        )
