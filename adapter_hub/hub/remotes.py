"""Which Hub is meant, the client for it, and its errors as ours."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from adapter_hub.errors import (
    AdapterHubError,
    ConflictError,
    HubError,
    UnknownNameError,
    UsageError,
)
from adapter_hub.loading.remotes import HUGGING_FACE, default_remote, find_token
from adapter_hub.model import Remote
from adapter_hub.registry.store import Registry

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def find_remote(registry: Registry | None, name: str | None) -> Remote:
    """The Hub of that name in the registry; without a name the default. Raises UnknownNameError."""
    if name is None:
        return default_remote()
    return (registry or Registry.open()).remote(name)


def open_client(remote: Remote) -> HfApi:
    """The Hub's client, with the token that belongs to this Hub and no other."""
    if remote.endpoint != HUGGING_FACE:
        # A protocol of the public Hub's own; others would be asked for it in vain.
        os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    from importlib.metadata import version

    from huggingface_hub import HfApi, constants

    if remote.endpoint != HUGGING_FACE:
        constants.HF_HUB_DISABLE_XET = True  # it may have been imported before
    return HfApi(
        endpoint=remote.endpoint,
        token=find_token(remote) or False,
        library_name="adapter-hub",
        library_version=version("adapter-hub"),
    )


def named_remote(registry: Registry, endpoint: str) -> Remote:
    """The Hub at this address, with its name if the registry has one for it. Raises RegistryError."""
    known = (registry.remote(name) for name in registry.remote_names())
    return next((each for each in known if each.endpoint == endpoint), Remote(endpoint))


def command_at(remote: Remote, words: str) -> str:
    """``adapter-hub WORDS`` as it is typed so that it asks this Hub."""
    if remote.name:
        return f"adapter-hub {words} --remote {remote.name}"
    elsewhere = remote.endpoint != default_remote().endpoint
    return (
        f"HF_ENDPOINT={remote.endpoint} adapter-hub {words}"
        if elsewhere
        else f"adapter-hub {words}"
    )


@contextlib.contextmanager
def hub_errors(remote: Remote, what: str) -> Iterator[None]:
    """Turn the client's errors into ours; ``what`` is the thing asked for, as in "OWNER/REPO".

    Raises UnknownNameError, ConflictError, HubError.
    """
    try:
        yield
    except AdapterHubError:
        raise
    except Exception as error:
        found = _translated(remote, what, error)
        if found is None:
            raise
        raise found from error


def _translated(remote: Remote, what: str, error: Exception) -> AdapterHubError | None:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{what} on {remote.endpoint}"
    log_in = command_at(remote, "login")
    if isinstance(error, GatedRepoError):
        return HubError(f"{where} is open only to those who asked for access.", hint=log_in)
    if isinstance(error, RepositoryNotFoundError):
        return UnknownNameError(f"{where}: there is none, or none that you may see.", hint=log_in)
    if isinstance(error, RevisionNotFoundError):
        return UnknownNameError(
            f"{where} has no such revision.", hint="name a branch, tag or commit"
        )
    if isinstance(error, OfflineModeIsEnabled):
        return HubError(
            f"{where} cannot be asked: HF_HUB_OFFLINE is set.", hint="unset HF_HUB_OFFLINE"
        )
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code == 401 and find_token(remote) is None:
            return HubError(f"{where} needs a token, and there is none for it here.", hint=log_in)
        return _of_status(where, error.response.status_code, _said(error), log_in)
    if isinstance(error, HFValidationError):
        return UsageError(f"{what} is not the name of a repository: {_said(error)}")
    if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2"):
        return HubError(
            f"{where} cannot be reached: {_said(error) or type(error).__name__}.",
            hint="check the network, then run the command again",
        )
    if isinstance(error, (ConnectionError, TimeoutError)):
        return HubError(f"{where} cannot be reached: {_said(error)}.")
    return None


def _of_status(where: str, status: int, said: str, log_in: str) -> AdapterHubError:
    if status in (401, 403):
        # Who is known and may not do it needs no new token, but to see where it may be done.
        hint = log_in if status == 401 else log_in.replace("login", "whoami", 1)
        return HubError(f"{where} refuses: {said} ({status}).", hint=hint)
    if status == 412:
        return ConflictError(
            f"{where} has changed meanwhile; nothing was overwritten.", hint="pull, then push again"
        )
    kinds: dict[int, str] = {409: "conflict", 413: "too large", 429: "too many requests"}
    return HubError(
        f"{where}: {kinds.get(status, 'error')} {status}: {said}", hint="run the command again"
    )


def _said(error: Exception) -> str:
    said = getattr(error, "server_message", None) or str(error)
    lines = [line.strip() for line in str(said).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".")
