"""What a bundle says of itself: its first file, ``manifest.json``, written and read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from adapter_hub.errors import AdapterHubError, VerificationError
from adapter_hub.loading.archive import Read, read_members
from adapter_hub.model import Adapter, Base, Remote, Source, Version, check_name, parse_source
from adapter_hub.registry import schema
from adapter_hub.registry.tables import SchemaError
from adapter_hub.registry.versions import version_digest

MANIFEST = "manifest.json"
FORMAT = 1
_MAX_MANIFEST = 64 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SUFFIXES = (".json", ".safetensors", ".md", ".png", ".txt", ".model", ".jinja")
"""Of files that may travel: none of them is run by anything that reads it."""


@dataclass(frozen=True)
class Entry:
    """A file: its size in bytes and its ``sha256:…``."""

    size: int
    digest: str


Files = Mapping[str, Entry]


@dataclass(frozen=True)
class BundledBase:
    """A base as the bundle's registry pins it; ``files`` are there with ``--with-bases``."""

    base: Base
    identity: Mapping[str, str] = field(default_factory=dict)
    files: Files = field(default_factory=dict)


@dataclass(frozen=True)
class BundledVersion:
    """A version with the sizes of its files, and the bundle's name for its base."""

    version: Version
    base: str
    files: Files


@dataclass(frozen=True)
class Manifest:
    """Everything that a bundle tells. ``adapters`` hold the versions that travel, and no others."""

    bases: Mapping[str, BundledBase]
    adapters: Mapping[str, Adapter]
    versions: Mapping[str, Mapping[int, BundledVersion]]

    def members(self) -> Iterator[tuple[str, Entry]]:
        """The files behind the manifest, in their order in the bundle."""
        for name, base in sorted(self.bases.items()):
            for file, entry in sorted(base.files.items()):
                yield f"bases/{name}/{file}", entry
        for name, versions in sorted(self.versions.items()):
            for number, each in sorted(versions.items()):
                for file, entry in sorted(each.files.items()):
                    yield f"adapters/{name}/{number}/{file}", entry

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "bases": {name: _base_table(each) for name, each in sorted(self.bases.items())},
            "adapters": {
                name: _adapter_table(adapter, self.versions[name])
                for name, adapter in sorted(self.adapters.items())
            },
        }

    def as_bytes(self) -> bytes:
        text = json.dumps(self.as_json(), indent=2, ensure_ascii=False, sort_keys=True)
        return (text + "\n").encode()


def may_travel(name: str) -> bool:
    """Whether a file of this name is of a kind that a bundle holds: nothing that is code."""
    return name.endswith(_SUFFIXES)


def _base_table(each: BundledBase) -> dict[str, Any]:
    base = each.base
    told: dict[str, Any] = {"source": str(base.source), "revision": base.revision}
    if base.remote:
        told["endpoint"] = base.remote.endpoint
    if each.files:
        told["files"] = _file_tables(each.files)
    return {**told, "identity": dict(each.identity)}


def _adapter_table(adapter: Adapter, versions: Mapping[int, BundledVersion]) -> dict[str, Any]:
    table: dict[str, Any] = {
        **schema.recipe_table(adapter.recipe),
        "description": adapter.description,
        "tags": list(adapter.tags),
        "aliases": dict(adapter.aliases),
    }
    told = {key: value for key, value in table.items() if value}
    return {**told, "versions": {str(n): _version_table(each) for n, each in versions.items()}}


def _version_table(each: BundledVersion) -> dict[str, Any]:
    table = schema.version_table(each.version)
    return {
        **table,
        "created": table["created"].isoformat(),
        "files": _file_tables(each.files),
        "base": each.base,
        "digest": version_digest(each.version.files),
    }


def _file_tables(files: Files) -> dict[str, Any]:
    return {name: {"size": each.size, "sha256": each.digest} for name, each in files.items()}


# Reading ---------------------------------------------------------------------------------


def read_bundle(path: Path) -> tuple[Manifest, Iterator[tuple[str, Entry, Read]]]:
    """The manifest, checked, and the files behind it, each with what gives its bytes.

    The files must be those of the manifest, in its order and of its sizes; their bytes are for
    the caller to compare. Raises VerificationError for anything else.
    """
    try:
        members = read_members(path)
        name, size, read = next(members)
        if name != MANIFEST or size > _MAX_MANIFEST:
            raise VerificationError(f"{path} is not a bundle: it does not begin with {MANIFEST}.")
        manifest = parse_manifest(path, b"".join(read()))
    except StopIteration:
        raise VerificationError(f"{path} is not a bundle: it is empty.") from None
    except OSError as error:
        raise VerificationError(f"{path} cannot be read: {error.strerror or error}.") from None
    return manifest, _checked_members(path, manifest, members)


def _checked_members(
    path: Path, manifest: Manifest, members: Iterator[tuple[str, int, Read]]
) -> Iterator[tuple[str, Entry, Read]]:
    expected = list(manifest.members())
    listed = {name for name, _ in expected}
    for name, entry in expected:
        found = next(members, None)
        if found is None:
            raise VerificationError(f"{path} is not whole: {name} is missing.")
        if found[0] != name:
            why = "comes twice or out of order" if found[0] in listed else "is not in its manifest"
            raise VerificationError(f"{path} is refused: {found[0]!r} {why}.")
        if found[1] != entry.size:
            raise VerificationError(
                f"{path} is refused: {name} has {found[1]:,} bytes, and the manifest says {entry.size:,}."
            )
        yield name, entry, found[2]
    more = next(members, None)
    if more is not None:
        raise VerificationError(f"{path} is refused: {more[0]!r} is not in its manifest.")


def parse_manifest(path: Path, content: bytes) -> Manifest:
    """Raises VerificationError for one that is not as ``Manifest.as_bytes`` writes it."""
    try:
        table = json.loads(content)
        if not isinstance(table, dict) or type(table.get("format")) is not int:
            raise ValueError("it has no format")
        if table["format"] > FORMAT:
            raise VerificationError(
                f"{path} has format {table['format']}, and this adapter-hub knows format {FORMAT}.",
                hint="pip install --upgrade adapter-hub",
            )
        return _manifest(table)
    except VerificationError:
        raise
    except SchemaError as error:
        reason = f"{'.'.join(error.path)}: {error.problem}"
    except AdapterHubError as error:
        reason = error.message.rstrip(".")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise VerificationError(f"{path} is refused: its manifest cannot be used: {reason}.")


def _manifest(table: Mapping[str, Any]) -> Manifest:
    bases = {name: _base(name, each) for name, each in table["bases"].items()}
    _refuse_twins(bases)
    adapters, versions = {}, {}
    if not table["adapters"]:
        raise ValueError("it holds no adapter")
    for name, told in table["adapters"].items():
        check_name(name, "an adapter")
        tables = dict(told["versions"])
        mine = {}
        plain = {}
        for number, each in tables.items():
            files = _files(each["files"])
            digests = {file: entry.digest for file, entry in files.items()}
            if each["digest"] != version_digest(digests):
                raise ValueError(f"the digest of {name}@{number} is not that of its files")
            if each["base"] not in bases:
                raise ValueError(f"the base of {name}@{number} is missing")
            created = datetime.fromisoformat(each["created"])
            plain[number] = {**each, "created": created, "files": digests}
            mine[number] = (each["base"], files)
        adapter = schema.read_adapter(name, {**told, "versions": plain})
        adapters[name] = adapter
        versions[name] = {
            number: BundledVersion(version, *mine[str(number)])
            for number, version in adapter.versions.items()
        }
    _refuse_twins(adapters)
    return Manifest(bases, adapters, versions)


def _base(name: str, table: Mapping[str, Any]) -> BundledBase:
    check_name(name, "a base")
    source: Source = parse_source(table["source"])
    if source.kind == "path" and source.location != f"bases/{name}":
        raise ValueError(f"base {name!r} names the folder {source.location!r}")
    told = {"source": table["source"]}
    if table.get("revision") is not None:
        told["revision"] = table["revision"]
    base = schema.read_base(name, told, {})
    endpoint = table.get("endpoint")
    if endpoint is not None:
        remote = schema.read_remote("it", {"endpoint": endpoint})
        base = Base(base.name, base.source, base.revision, Remote(remote.endpoint))
    identity = table["identity"]
    if not all(isinstance(each, str) for each in identity.values()):
        raise ValueError(f"the identity of base {name!r} is none")
    return BundledBase(base, dict(identity), _files(table.get("files", {})))


def _files(table: Mapping[str, Any]) -> dict[str, Entry]:
    """Files of a folder: names that are safe on every system, and no two the same to any."""
    files = {}
    for name, told in table.items():
        size, digest = told["size"], told["sha256"]
        if type(size) is not int or not 0 <= size < 2**62 or not _DIGEST.fullmatch(digest):
            raise ValueError(f"{name!r} has no size or digest")
        for part in name.split("/"):
            check_name(part.removeprefix("_"), "a file of a bundle")
        if not may_travel(name):
            raise ValueError(f"{name!r} is a kind of file that no bundle has")
        files[name] = Entry(size, digest)
    _refuse_twins([*files, *{str(parent) for name in files for parent in Path(name).parents}])
    return files


def _refuse_twins(names: Iterable[str]) -> None:
    """Raises ValueError where a file system could take two names for one."""
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise ValueError(f"{name!r} and another name differ in case only, or not at all")
        seen.add(name.casefold())
