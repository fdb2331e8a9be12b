"""Where the registry is: named by the environment, or in this folder or one above it."""

from __future__ import annotations

import os
from pathlib import Path

from adapter_hub.errors import RegistryNotFoundError
from adapter_hub.registry.files import FILE_NAME

ENVIRONMENT_VARIABLE = "ADAPTER_HUB_REGISTRY"


def find_registry(start: Path | None = None) -> Path:
    """The registry's path: from the environment, or by walking up from ``start`` (default: here).

    Raises RegistryNotFoundError.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named)
    here = _absolute(start or Path())
    for folder in (here, *here.parents):
        # Where nobody may look, there is none: os.path says so, and Path raises.
        if os.path.isfile(folder / FILE_NAME):
            return folder / FILE_NAME
    raise RegistryNotFoundError(
        f"there is no {FILE_NAME} in {here} or above it.", hint="adapter-hub init"
    )


def resolved(path: Path) -> Path:
    """The file that ``path``, which may be its folder, leads to.

    A link is followed once, so that an edit replaces the file and not the link. Raises
    RegistryNotFoundError.
    """
    named = _absolute(path)
    return Path(os.path.realpath(named / FILE_NAME if os.path.isdir(named) else named))


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except FileNotFoundError:
        raise RegistryNotFoundError(
            "the working directory is not there any more.",
            hint="cd to a folder that is there, or name the registry: adapter-hub --registry PATH",
        ) from None
