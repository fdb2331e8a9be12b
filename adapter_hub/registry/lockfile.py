"""``registry.lock``: what every name in the registry means now, exactly.

Not the lock under which the registry is edited: that is ``.registry.toml.lock``. This one is for
git. It is told by ``registry.toml`` alone, so that it is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapter_hub.errors import RegistryError
from adapter_hub.model import Adapter, Base, Version, is_commit
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import version_digest

LOCK_NAME = "registry.lock"
FORMAT = 1
_HEADER = """\
# Written by `adapter-hub lock`: what the names in registry.toml mean, exactly. Keep it in git.
# `adapter-hub sync --frozen` makes another machine equal to it.
"""


def lock_path(registry: Registry) -> Path:
    return registry.folder / LOCK_NAME


def resolve_registry(registry: Registry) -> dict[str, Any]:
    """The document of the lock: bases at their revisions; of each adapter the newest version, which
    ``NAME`` means, and those that aliases mean, with their digests and places on a Hub.

    Raises RegistryError, also for a place that is no exact commit.
    """
    bases = [registry.base(name) for name in registry.base_names()]
    return {
        "lock": FORMAT,
        "bases": {each.name: _base_table(each) for each in bases},
        "adapters": {
            each.name: _adapter_table(each) for each in registry.adapters() if each.versions
        },
    }


def _base_table(base: Base) -> dict[str, Any]:
    table: dict[str, Any] = {"source": str(base.source)}
    if base.revision:
        table["revision"] = base.revision
    if base.remote:
        table["endpoint"] = base.remote.endpoint
    return table


def _adapter_table(adapter: Adapter) -> dict[str, Any]:
    newest = max(adapter.versions)
    numbers = sorted({newest, *adapter.aliases.values()})
    table: dict[str, Any] = {"version": newest}
    if adapter.aliases:
        table["aliases"] = dict(sorted(adapter.aliases.items()))
    if adapter.recipe.base:
        table["base"] = adapter.recipe.base
    versions = {str(each): _version_table(adapter, adapter.versions[each]) for each in numbers}
    return {**table, "versions": versions}


def _version_table(adapter: Adapter, version: Version) -> dict[str, Any]:
    table: dict[str, Any] = {"digest": version_digest(version.files)}
    repo, revision = version.hub.get("repo"), version.hub.get("revision")
    if not repo:
        return table
    if not revision or not is_commit(revision):
        raise RegistryError(
            f"{adapter.name}@{version.number} is {repo} at {revision!r}, which is no exact commit.",
            hint=f"write the commit's 40 digits, or: adapter-hub pull {repo} --as {adapter.name}",
        )
    keys = ("repo", "revision", "endpoint")
    return {**table, "hub": {key: version.hub[key] for key in keys if key in version.hub}}


def unpinned(document: Mapping[str, Any]) -> list[str]:
    """The bases that the lock cannot hold to anything, because the registry does not pin them."""
    return [name for name, table in document["bases"].items() if "revision" not in table]


def read_lock(registry: Registry) -> dict[str, Any] | None:
    """The lock as it is on disk; None where there is none. Raises RegistryError."""
    import tomli

    path = lock_path(registry)
    try:
        document = tomli.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RegistryError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{path} is not valid TOML: {error}.", hint=_anew(path)) from None
    if document.get("lock") != FORMAT:
        newer = isinstance(document.get("lock"), int) and document["lock"] > FORMAT
        raise RegistryError(
            f"{path} has the form {document.get('lock')!r}, and this adapter-hub knows {FORMAT}.",
            hint="pip install --upgrade adapter-hub" if newer else _anew(path),
        )
    for section in ("bases", "adapters"):
        tables = document.setdefault(section, {})
        if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
            raise RegistryError(f"{path}: {section} must hold tables.", hint=_anew(path))
    return document


def write_lock(registry: Registry, document: Mapping[str, Any]) -> bool:
    """Write the lock where it does not say this already; whether it was written.

    Raises RegistryError.
    """
    from adapter_hub.registry.atomic import replace_file
    from adapter_hub.registry.files import cannot_write

    path = lock_path(registry)
    if path.exists() and not differences(read_lock(registry), document):
        return False
    try:
        replace_file(path, render(document).encode())
    except OSError as error:
        raise cannot_write(path, error) from error
    return True


def render(document: Mapping[str, Any]) -> str:
    """The lock as text: one form for one meaning."""
    from adapter_hub.registry.splice import format_block

    blocks = [f"{_HEADER}lock = {FORMAT}\n"]
    for section in ("bases", "adapters"):
        for name, table in sorted(
            document[section].items(), key=lambda item: (item[0].casefold(), item[0])
        ):
            blocks.append(format_block((section, name), table))
    return "\n".join(blocks)


def differences(locked: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """Where the lock does not say what the registry says, a phrase an entry."""
    if locked is None:
        return [f"there is no {LOCK_NAME}"]
    found = []
    for section in ("bases", "adapters"):
        was, tables = locked[section], now[section]
        what = section[:-1]
        found += [f"{what} {name} is gone" for name in was if name not in tables]
        for name, table in tables.items():
            if name not in was:
                found.append(f"{what} {name} is new")
            elif was[name] != table:
                keys = sorted(k for k in {*was[name], *table} if was[name].get(k) != table.get(k))
                found.append(f"{what} {name} has {_told(keys, was[name], table)}")
    return found


def _told(keys: list[str], was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if "version" in keys:
        return f"version {now.get('version')}, not {was.get('version')}"
    return f"another {', '.join(keys)}"


def _anew(path: Path) -> str:
    return f"write it anew: rm {path} && adapter-hub lock"
