"""The published kit's Hub, and what its repositories must be."""

from __future__ import annotations

import hashlib

from adapter_hub.hubserver.repository import Repository
from adapter_hub.testing import HubBox as HubBox


def complete(repository: Repository) -> None:
    """Every ref names a commit that is there, whose blobs are there and whole."""
    for id in repository.state().refs.values():
        for commit in repository.history(id):
            for file in commit.tree.values():
                content = repository.blobs.path(file.sha256).read_bytes()
                assert hashlib.sha256(content).hexdigest() == file.sha256
