"""Who one is to a Hub. Tokens are kept in huggingface_hub's own store, each for one endpoint."""

from __future__ import annotations

from typing import Any

from adapter_hub.errors import HubError
from adapter_hub.hub.remotes import command_at, hub_errors, open_client
from adapter_hub.loading.remotes import find_token, token_name
from adapter_hub.model import Remote


def log_in(remote: Remote, token: str) -> str:
    """Store ``token`` for the Hub and return whose it is. Raises HubError for one it refuses."""
    from huggingface_hub.utils._auth import _save_token

    name = str(_ask(remote, token)["name"])
    # The library has no public call that stores a token without making it the active one,
    # which would be sent to every endpoint.
    _save_token(token=token, token_name=token_name(remote))
    return name


def who_am_i(remote: Remote) -> dict[str, Any]:
    """``endpoint``, ``name``, ``organizations`` and ``role``. Raises HubError."""
    token = find_token(remote)
    if token is None:
        raise HubError(
            f"there is no token for {remote.endpoint}.",
            hint=command_at(remote, "login"),
        )
    told = _ask(remote, token)
    access = told.get("auth", {}).get("accessToken", {})
    return {
        "endpoint": remote.endpoint,
        "name": told["name"],
        "organizations": [each["name"] for each in told.get("orgs", [])],
        "role": access.get("role"),
    }


def _ask(remote: Remote, token: str) -> dict[str, Any]:
    client = open_client(remote)
    with hub_errors(remote, "the account"):
        found: dict[str, Any] = client.whoami(token=token)
    return found
