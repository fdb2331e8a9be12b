"""The schema that editors read, beside a registry and named in its first line.

A path into somebody's Python is of no use to a team, and editors of today take a path relative to
the file: so the schema lies beside ``registry.toml``, and both go into git.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

from adapter_hub.errors import ConflictError
from adapter_hub.registry.files import cannot_write
from adapter_hub.registry.scan import line_end
from adapter_hub.registry.store import Registry

FILE_NAME = "registry.schema.json"
TITLE = "adapter-hub: registry.toml"
"""Of the schema, whichever release wrote it."""
FIRST_LINE = f"#:schema ./{FILE_NAME}"

# Only comments may stand above it (taplo.tamasfe.dev, "Directives").
_NAMED = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*?[ \t]*#:schema[ \t]")


def shipped_schema() -> str:
    """The schema of this release, as a JSON text."""
    return resources.files(__package__).joinpath(FILE_NAME).read_text(encoding="utf-8")


def put_schema(folder: Path) -> Path:
    """Write the schema into ``folder``, over one of another release.

    Raises ConflictError when a file of that name is somebody else's, RegistryError.
    """
    from adapter_hub.registry.atomic import replace_file

    path, text = folder / FILE_NAME, shipped_schema()
    try:
        before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
        if before is not None and not _is_ours(before):
            raise ConflictError(
                f"{path} is there and not adapter-hub's; nothing was changed.",
                hint=f"adapter-hub schema > FILE, and name it in the registry: {FIRST_LINE}",
            )
        if before != text:
            replace_file(path, text.encode())
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def name_schema(registry: Registry) -> bool:
    """Make the registry's first line name the schema, unless a line does so. Whether it was written.

    Raises what ``Registry.edit`` raises.
    """
    written = False

    def change(text: str) -> str:
        nonlocal written
        written = not _NAMED.match(text)
        return f"{FIRST_LINE}{line_end(text)}{text}" if written else text

    registry.edit_text(change)
    return written


def _is_ours(text: str) -> bool:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(schema, dict) and schema.get("title") == TITLE
