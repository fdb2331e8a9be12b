"""One request: who asks, for which repository, with what; and answers in the Hub's manner."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast
from urllib.parse import unquote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapter_hub.hubserver.accounts import (
    Accounts,
    User,
    check_may_propose,
    check_may_write,
    may_read,
)
from adapter_hub.hubserver.records import Commit, RepoType, State
from adapter_hub.hubserver.refusals import (
    Gated,
    Moved,
    NotLoggedIn,
    Refused,
    RepoNotFound,
    TooLarge,
)
from adapter_hub.hubserver.repository import Repository
from adapter_hub.hubserver.store import Store

MOST_JSON = 16 << 20
USER = "adapter_hub.user"
"""Where a request notes for the log whose it is."""


@dataclass(frozen=True)
class Hub:
    """What all requests share. ``secret`` signs addresses for uploads."""

    store: Store
    accounts: Accounts
    secret: bytes


@dataclass
class Call:
    hub: Hub
    request: Request
    content: bytes = b""
    _found: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.hub.store

    @cached_property
    def user(self) -> User | None:
        """None for nobody; a token that is not known is nobody's.

        Clients send the token that they have to any Hub: one of another Hub must not
        keep them from reading what is public.
        """
        kind, _, token = self.request.headers.get("authorization", "").partition(" ")
        user = self.hub.accounts.user(token.strip()) if kind.lower() == "bearer" else None
        self.request.scope[USER] = user.name if user else "-"
        return user

    def require_user(self) -> User:
        """Raises NotLoggedIn."""
        if self.user is None:
            sent = "authorization" in self.request.headers
            raise NotLoggedIn("Invalid user token." if sent else "This needs a token.")
        return self.user

    # Parts of the address ----------------------------------------------------------------

    def part(self, name: str) -> str:
        return unquote(self.request.path_params[name])

    @property
    def kind(self) -> RepoType:
        return cast(RepoType, self.request.path_params.get("kind", "models").removesuffix("s"))

    @property
    def id(self) -> str:
        return f"{self.part('owner')}/{self.part('name')}"

    @property
    def base_url(self) -> str:
        return str(self.request.base_url).rstrip("/")

    @property
    def page_url(self) -> str:
        """Where the repository is shown."""
        return f"{self.base_url}/{'datasets/' if self.kind == 'dataset' else ''}{self.id}"

    def flag(self, name: str) -> bool:
        return self.request.query_params.get(name, "").lower() in ("1", "true")

    def number(self, name: str, default: int, most: int) -> int:
        """A number of the query, at least 1. Raises Refused."""
        given = self.request.query_params.get(name, str(default))
        if not given.isascii() or not given.isdigit():
            raise Refused(f"{name} must be a number, not {given!r}.")
        return max(1, min(int(given), most))

    # The body ----------------------------------------------------------------------------

    @cached_property
    def json(self) -> dict[str, Any]:
        """Raises Refused."""
        try:
            value = json.loads(self.content or b"{}")
        except (ValueError, RecursionError):
            raise Refused("The body is not JSON.") from None
        if not isinstance(value, dict):
            raise Refused("The body is not a JSON object.")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """A text of the body. Raises Refused."""
        value = self.json.get(name)
        if value is None:
            value = default
        if not isinstance(value, str):
            raise Refused(f'"{name}" must be a text.')
        return value

    # The repository ----------------------------------------------------------------------

    def readable(self) -> tuple[Repository, State]:
        """The repository of the address.

        Raises RepoNotFound, also where it may not be seen; Moved where it has another name now.
        """
        try:
            return self.readable_at(self.kind, self.id)
        except RepoNotFound:
            moved = self.store.moved_to(self.kind, self.id) or self.store.twin(self.kind, self.id)
            if moved is None:
                raise
        self.readable_at(self.kind, moved)
        raise Moved(moved, self._address_at(moved))

    def _address_at(self, id: str) -> str:
        """What was asked for, of the repository ``id``; relative, so that clients follow it."""
        url = self.request.url
        here = "/{owner}/{name}".format(**self.request.path_params)
        path: str = self.request.scope["path"].replace(here, f"/{id}", 1)
        return path + (f"?{url.query}" if url.query else "")

    def readable_at(self, kind: RepoType, id: str) -> tuple[Repository, State]:
        """Raises RepoNotFound."""
        try:
            repository = self.store.repository(kind, id)
        except Refused:
            raise RepoNotFound from None
        state = repository.state()
        if not may_read(self.user, id.partition("/")[0], private=state.private):
            raise RepoNotFound
        return repository, state

    def writable(self) -> tuple[Repository, State, User]:
        """Raises RepoNotFound, NotLoggedIn, Forbidden."""
        repository, state = self.readable()
        return repository, state, check_may_write(self.user, self.part("owner"))

    def open_to_user(self) -> tuple[Repository, State]:
        """For its files. Raises RepoNotFound, Gated."""
        repository, state = self.readable()
        if state.gated and not may_read(self.user, self.part("owner"), private=True):
            raise Gated(state.id)
        return repository, state

    def proposable(self) -> tuple[Repository, State, User]:
        """For what changes no branch. Raises RepoNotFound, NotLoggedIn, Forbidden."""
        repository, state = self.readable()
        return repository, state, check_may_propose(self.user)

    def at_revision(self) -> tuple[Repository, State, Commit]:
        """Raises RepoNotFound, RevisionNotFound."""
        repository, state = self.readable()
        revision = self.part("rev") if "rev" in self.request.path_params else "main"
        return repository, state, repository.resolve(revision, state)

    def next_page(self, cursor: object) -> dict[str, str]:
        """The header that names the next page."""
        query = [(key, each) for key, each in self.request.query_params.multi_items()]
        query = [(key, each) for key, each in query if key != "cursor"]
        path = self.request.scope["path"].lstrip("/")
        return {
            "Link": f'<{self.base_url}/{path}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'
        }


def plain(function: Callable[[Call], Response]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that is a plain function: its body is read first, and it runs in a thread."""

    async def endpoint(request: Request) -> Response:
        content = bytearray()
        async for piece in request.stream():
            content += piece
            if len(content) > MOST_JSON:
                raise TooLarge("The body is too large.")
        return await run_in_threadpool(function, Call(hub_of(request), request, bytes(content)))

    return endpoint


def hub_of(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


def refusal(error: Refused) -> Response:
    """The answer that makes the client raise the error that it is."""
    message = error.message
    # A header has neither control characters nor blanks at its ends; the text may be of anywhere.
    told = "".join(each if " " <= each <= "~" else "?" for each in " ".join(message.split()))
    headers = {**error.headers, "X-Error-Message": told}
    if error.code:
        headers["X-Error-Code"] = error.code
    return JSONResponse({"error": message}, error.status, headers=headers)
