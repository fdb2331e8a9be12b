"""Bases that came with a bundle: beside the registry, and of use to it alone.

A Hub base keeps its ``hf:`` entry. Its files do not go to the Hub's cache, which every program
trusts to hold what a repository's commit holds: a bundle can only say so. They lie in
``bases/models--OWNER--NAME/COMMIT/``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from adapter_hub.loading.remotes import HUGGING_FACE
from adapter_hub.model import Base

CARRIED = "bases"


def carried_place(base: Base) -> str:
    """Where a base's files lie when a bundle brought them, from the registry's folder."""
    if base.source.kind != "hf":
        return f"{CARRIED}/{base.name}"
    place = "models--" + base.source.location.replace("/", "--")
    if base.remote and base.remote.endpoint != HUGGING_FACE:
        place += "--" + hashlib.sha256(base.remote.endpoint.encode()).hexdigest()[:12]
    return f"{CARRIED}/{place}/{base.revision}"


def carried_folder(base: Base, root: Path) -> Path | None:
    """The folder of a Hub base that a bundle brought to the registry in ``root``."""
    if base.source.kind != "hf" or not base.revision:
        return None
    folder = root / carried_place(base)
    return folder if (folder / "config.json").is_file() else None
