"""The head of a base from what is on this machine; nothing is fetched, and no library imported."""

from __future__ import annotations

import os
from pathlib import Path

from adapter_hub.errors import BaseModelError
from adapter_hub.loading.bases import base_folder
from adapter_hub.loading.heads import BaseHead, base_head
from adapter_hub.model import Base
from adapter_hub.plugins import Catalog


def folder_without_asking(base: Base, catalog: Catalog, root: Path) -> Path | None:
    """The base's folder; None for a Hub base that is not in the cache.

    ``root`` is what a relative ``path:`` starts from. Raises BaseModelError, PluginError,
    UnknownNameError; IncompatibleError when a pinned base is not the one that was pinned.
    """
    if base.source.kind != "hf":
        return base_folder(base, catalog, root)
    if base.remote:
        return None  # it is cached apart, where only huggingface_hub knows
    cached = _cache() / f"models--{base.source.location.replace('/', '--')}"
    revision = base.revision or "main"
    if ".." in revision or revision.startswith("/"):
        return None  # it may come from an adapter's configuration
    ref = cached / "refs" / revision
    try:
        commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    except (OSError, ValueError):
        return None
    folder = cached / "snapshots" / commit
    return folder if (folder / "config.json").is_file() else None


def head_without_asking(base: Base, catalog: Catalog, root: Path) -> BaseHead | None:
    """The base's head; None for a Hub base of which the cache has not all weights.

    Raises as ``folder_without_asking`` does.
    """
    folder = folder_without_asking(base, catalog, root)
    if folder is None:
        return None
    try:
        head = base_head(folder)
    except BaseModelError:
        if base.source.kind != "hf":
            raise
        return None
    return head if head.tensors else None


def _cache() -> Path:
    """Where huggingface_hub keeps repositories, by its own variables (its constants.py)."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if named:
        return Path(os.path.expandvars(named)).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{caches}/huggingface"
    return Path(os.path.expandvars(home)).expanduser() / "hub"
