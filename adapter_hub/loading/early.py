"""What can be said of a reference before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path

from adapter_hub.errors import RegistryNotFoundError
from adapter_hub.loading.folders import check_adapter_folder
from adapter_hub.model import Reference
from adapter_hub.registry.store import Registry


def find_folder(reference: Reference, registry: Registry | None) -> Path | None:
    """The folder of the adapter; None for a bare base, and for one on the Hub, not yet fetched.

    Raises UnknownNameError, UsageError, RegistryNotFoundError when there is no such thing.
    """
    if reference.kind == "folder":
        folder = Path(reference.target).expanduser()
        check_adapter_folder(folder)
        return folder
    if reference.kind == "hf":
        return None
    if registry is None:
        raise RegistryNotFoundError(f"{reference} needs a registry.toml.", hint="adapter-hub init")
    if reference.kind == "base":
        registry.base(reference.target)
        return None
    adapter, version = registry.resolve(reference)
    return registry.version_folder(adapter.name, version.number)
