"""What the Hub refuses, with the HTTP status and the code that clients choose their error by.

Refused                 400  a request that cannot be meant
  NotLoggedIn           401  a token is needed, or this one is not known
  Forbidden             403  whose token it is may not do this
    Gated               403  the files are not for this user
  Moved                 307  it has another name now, at which the same may be asked
  RepoNotFound          404  there is none, or none that this user may see: nobody can tell which
  RevisionNotFound      404
  EntryNotFound         404  no such file at this commit
  NotFound              404  anything else
  Exists                409  something of that name is already there
  Stale                 412  the parent is no longer the newest commit
  TooLarge              413
"""

from __future__ import annotations

from adapter_hub.errors import AdapterHubError


class Refused(AdapterHubError):
    """``code`` is sent as X-Error-Code; ``headers`` go with it."""

    status = 400
    code: str | None = None

    def __init__(self, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = headers or {}


class NotLoggedIn(Refused):
    status = 401


class Forbidden(Refused):
    status = 403


class Gated(Forbidden):
    """It may be seen, but its files are for the owner's people alone: there is nobody to ask here."""

    code = "GatedRepo"

    def __init__(self, id: str) -> None:
        super().__init__(
            f"Access to model {id} is restricted and you are not in the authorized list."
        )


class NotFound(Refused):
    status = 404


class Moved(Refused):
    """Answered as the Hub does: clients go on at ``location``, with method, body and token."""

    status = 307

    def __init__(self, id: str, location: str) -> None:
        super().__init__(f"The repository is {id} now.", headers={"Location": location})


class RepoNotFound(NotFound):
    code = "RepoNotFound"

    def __init__(self) -> None:
        super().__init__("Repository not found")


class RevisionNotFound(NotFound):
    code = "RevisionNotFound"

    def __init__(self, revision: str) -> None:
        super().__init__(f"Invalid rev id: {revision}")


class EntryNotFound(NotFound):
    """``commit`` lets the client remember that the file is absent from it."""

    code = "EntryNotFound"

    def __init__(self, path: str, commit: str) -> None:
        super().__init__(f"Entry not found: {path}", headers={"X-Repo-Commit": commit})


class Exists(Refused):
    status = 409


class Stale(Refused):
    status = 412

    def __init__(self) -> None:
        # The Hub's words.
        super().__init__(
            "The branch was updated since you opened this page. Please refresh and try again."
        )


class TooLarge(Refused):
    status = 413
