"""Which address a Hub has, which token belongs to it, and where what it sends is cached."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from adapter_hub.errors import UsageError
from adapter_hub.model import Remote

HUGGING_FACE = "https://huggingface.co"


def default_remote() -> Remote:
    """The Hub of ``HF_ENDPOINT``, else the public one. Raises UsageError."""
    endpoint = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or HUGGING_FACE
    if not endpoint.startswith(("http://", "https://")):
        raise UsageError(f"HF_ENDPOINT is {endpoint!r}, not an address with https:// or http://.")
    return Remote(endpoint)


def find_token(remote: Remote) -> str | None:
    """The token for this Hub: what the environment gives for it, or ``login`` stored for it.

    ``HF_TOKEN`` goes to the endpoint of the environment alone, and the active token of
    huggingface_hub, whose endpoint nobody wrote down, to the public Hub alone.
    """
    from huggingface_hub import get_token
    from huggingface_hub.utils import get_stored_tokens

    of_environment = remote.endpoint == default_remote().endpoint
    given = os.environ.get("HF_TOKEN", "").strip()
    if given and of_environment:
        return given
    stored: str | None = get_stored_tokens().get(token_name(remote))
    if stored or remote.endpoint != HUGGING_FACE or not of_environment:
        return stored
    active: str | None = get_token()
    return active


def token_name(remote: Remote) -> str:
    """The name of its token in huggingface_hub's store."""
    return f"adapter-hub {remote.endpoint}"


def hub_entry(remote: Remote, repo: str, revision: str) -> dict[str, str]:
    """A version's ``hub`` table; the public Hub goes without saying."""
    entry = {"repo": repo, "revision": revision}
    return entry if remote.endpoint == HUGGING_FACE else {**entry, "endpoint": remote.endpoint}


def cache_folder(remote: Remote) -> Path | None:
    """Where repositories of a Hub are cached: of the public one where all programs look, as None.

    The client's cache knows a repository by its name alone. Two Hubs may each have one of that
    name, and a Hub is free in what it says: its ``main`` would move the other's, and a file that
    it calls by another's digest or commit would be taken for that one's, for good, since nothing
    that is in the cache is asked for or hashed again. So what comes from a Hub that the registry
    names lies apart, and it can deceive those alone who asked for it by that name.
    """
    if remote.endpoint == HUGGING_FACE:
        return None
    from huggingface_hub import cached_assets_path

    digest = hashlib.sha256(remote.endpoint.encode()).hexdigest()[:12]
    place = re.sub(r"[^A-Za-z0-9.-]+", "-", remote.endpoint.partition("://")[2])
    found: Path = cached_assets_path("adapter-hub", namespace="hubs", subfolder=f"{place}-{digest}")
    return found
