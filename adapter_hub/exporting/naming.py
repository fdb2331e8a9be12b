"""What an exported adapter is called elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from adapter_hub.model import Reference


def short_name(reference: Reference) -> str:
    """The adapter's name, its repository's or its folder's, in letters that any program takes."""
    name = reference.target
    if reference.kind == "folder":
        name = Path(name).expanduser().resolve().name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name.rpartition("/")[2]).strip("._-") or "adapter"
