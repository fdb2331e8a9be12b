"""Names that are in use: an entry's name is a folder's too, and a base has its adapters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapter_hub.errors import ConflictError


def users(document: Mapping[str, Any], base: str) -> list[str]:
    """The adapters of ``document`` whose recipe names ``base``."""
    adapters = document.get("adapters", {}).items()
    return sorted((name for name, table in adapters if table.get("base") == base), key=str.casefold)


def refuse_twin(
    document: Mapping[str, Any], name: str, what: str, *, but: str | None = None
) -> None:
    """Raises ConflictError when an entry of ``document`` differs from ``name`` in case only."""
    for each in document.get(f"{what}s", {}):
        if each.casefold() == name.casefold() and each not in (name, but):
            raise ConflictError(
                f"there is already {what} {each!r}, which differs only in case; nothing was changed.",
                hint=_see(what, each),
            )


def refuse_taken(
    document: Mapping[str, Any], name: str, what: str, *, but: str | None = None
) -> None:
    """Raises ConflictError when ``document`` has an entry ``name``, case aside, except ``but``."""
    if name in document.get(f"{what}s", {}):
        raise ConflictError(
            f"there is already {what} {name!r}; nothing was changed.", hint=_see(what, name)
        )
    refuse_twin(document, name, what, but=but)


def _see(what: str, name: str) -> str:
    return f"adapter-hub base show {name}" if what == "base" else f"adapter-hub show {name}"
