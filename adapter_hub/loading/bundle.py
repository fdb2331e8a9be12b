"""``bundle create``: versions, what the registry says of them, and their bases, as one file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from adapter_hub.errors import (
    ConflictError,
    RegistryError,
    UsageError,
    VerificationError,
)
from adapter_hub.loading.archive import END, header, open_for_writing, padding
from adapter_hub.loading.bases import base_folder, folder_at_hand
from adapter_hub.loading.carried import CARRIED
from adapter_hub.loading.folders import CONFIG, RECORD, read_record, recorded
from adapter_hub.loading.heads import TOKENIZER_CONFIG
from adapter_hub.loading.hub import BASE_PATTERNS
from adapter_hub.loading.identity import base_identity, read_json, weight_files
from adapter_hub.loading.manifest import (
    MANIFEST,
    BundledBase,
    BundledVersion,
    Entry,
    Manifest,
    may_travel,
)
from adapter_hub.loading.private import is_path, refuse_private, without_paths
from adapter_hub.loading.recorded import base_of
from adapter_hub.model import Adapter, Base, Recipe, Reference, Source, Version, parse_reference
from adapter_hub.plugins import BUILT_IN, Catalog, load_catalog
from adapter_hub.registry.atomic import sync_folder, umask
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import damage, file_digest

Content = Path | bytes
Say = Callable[[str], None]
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Created:
    """What ``bundle create --json`` prints."""

    path: str
    bytes: int
    sha256: str
    adapters: dict[str, list[int]]
    bases: list[str]

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def create_bundle(
    path: Path,
    references: Iterable[str | Reference] = (),
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    with_bases: bool = False,
    every: bool = False,
    say: Say = lambda text: None,
) -> Created:
    """Write versions and what belongs to them into ``path``, compressed where that ends in ``gz``.

    Of each reference the version that it names; with ``every`` all versions, and without
    references of all adapters. Raises UsageError, UnknownNameError, ConflictError when ``path`` is
    there, VerificationError when files differ from their digests, BaseModelError.
    """
    registry, catalog = registry or Registry.open(), catalog or load_catalog()
    if path.exists():
        raise ConflictError(f"{path} is already there; nothing was changed.", hint=f"rm {path}")
    chosen = _chosen(registry, references, every)
    work = _Contents(registry, catalog, with_bases, say)
    for adapter, versions in chosen:
        work.add(adapter, versions)
    manifest = work.manifest()
    refuse_private(MANIFEST, manifest.as_json())
    size, digest = _write(path, manifest, work.contents)
    return Created(
        path=str(path),
        bytes=size,
        sha256=digest,
        adapters={name: sorted(each) for name, each in manifest.versions.items()},
        bases=[name for name, each in manifest.bases.items() if each.files],
    )


def _chosen(
    registry: Registry, references: Iterable[str | Reference], every: bool
) -> list[tuple[Adapter, list[Version]]]:
    chosen: dict[str, dict[int, Version]] = {}
    parsed = [parse_reference(each) if isinstance(each, str) else each for each in references]
    if not parsed and not every:
        raise UsageError(
            "say which adapters the bundle is to hold.",
            hint="adapter-hub bundle create FILE NAME…, or --all for every version of every adapter",
        )
    for reference in parsed or [Reference("name", name) for name in registry.adapter_names()]:
        if reference.kind != "name":
            raise UsageError(f"{reference} is not in the registry.", hint="adapter-hub list")
        if not parsed and not registry.adapter(reference.target).versions:
            continue
        adapter, version = registry.resolve(reference)
        whole = every and reference.selector is None
        for each in adapter.versions.values() if whole else [version]:
            chosen.setdefault(adapter.name, {})[each.number] = each
    return [(registry.adapter(name), list(each.values())) for name, each in sorted(chosen.items())]


class _Contents:
    """What goes into the bundle, by its place there."""

    def __init__(self, registry: Registry, catalog: Catalog, with_bases: bool, say: Say) -> None:
        self._registry, self._catalog = registry, catalog
        self._with_bases, self._say = with_bases, say
        self._bases: dict[str, BundledBase] = {}
        self._adapters: dict[str, Adapter] = {}
        self._versions: dict[str, dict[int, BundledVersion]] = {}
        self.contents: dict[str, Content] = {}

    def manifest(self) -> Manifest:
        return Manifest(self._bases, self._adapters, self._versions)

    def add(self, adapter: Adapter, versions: list[Version]) -> None:
        name, recipe = adapter.name, adapter.recipe
        self._versions[name] = {each.number: self._version(adapter, each) for each in versions}
        numbers = self._versions[name]
        if recipe.base in self._registry.base_names():
            recipe = dataclasses.replace(
                recipe, base=self._base(self._registry.base(recipe.base), {})
            )
        self._adapters[name] = dataclasses.replace(
            adapter,
            recipe=_without_paths(recipe),
            aliases={alias: n for alias, n in adapter.aliases.items() if n in numbers},
            versions={number: each.version for number, each in numbers.items()},
        )

    def _version(self, adapter: Adapter, version: Version) -> BundledVersion:
        what = f"{adapter.name}@{version.number}"
        folder = self._registry.version_folder(adapter.name, version.number)
        problems = damage(folder, version)
        if problems:
            raise VerificationError(
                f"{what} is not what was recorded: {'; '.join(problems)}.",
                hint="bring the files back, or train it again",
            )
        config, record = read_json(folder / CONFIG), read_record(folder)
        base = base_of(config, record, folder, self._registry)
        name = self._base(base, recorded(recorded(record, "base"), "identity"))
        contents = _portable(folder, version, base, name)
        entries, digests = {}, {}
        for file, content in contents.items():
            if not may_travel(file):
                raise UsageError(f"{file} of {what} is of a kind that does not travel in a bundle.")
            if isinstance(content, bytes):
                digests[file] = f"sha256:{hashlib.sha256(content).hexdigest()}"
                entries[file] = Entry(len(content), digests[file])
            else:
                digests[file] = version.files[file]
                entries[file] = Entry(content.stat().st_size, digests[file])
            self.contents[f"adapters/{adapter.name}/{version.number}/{file}"] = content
        return BundledVersion(dataclasses.replace(version, files=digests), name, entries)

    def _base(self, base: Base, identity: Mapping[str, Any]) -> str:
        """The name of a base in the bundle, where it is put if it is not there yet."""
        name = base.name
        known = self._registry.base(name) if name in self._registry.base_names() else None
        if known is None or (base.source.kind == "hf" and base.revision != known.revision):
            stem = base.source.location.rpartition("/")[2] if known is None else name
            name = f"{stem}-{base.revision[:12]}" if base.revision else stem
        if name in self._bases:
            return name
        folder = folder_at_hand(base, self._catalog, self._registry.folder)
        if folder is None and self._with_bases:
            folder = base_folder(base, self._catalog, self._registry.folder)
        told = base_identity(folder).as_record() if folder else dict(identity)
        files = {}
        if self._with_bases and base.source.kind == "plugin":
            if self._catalog.find("base", base.source.location).distribution != BUILT_IN:
                self._say(f"base {name} is {base.source}: the other machine needs its plugin")
        elif self._with_bases and folder is not None:
            files = self._base_files(name, folder)
        source, revision = base.source, base.revision
        if source.kind == "path":
            source, revision = Source("path", f"{CARRIED}/{name}"), told.get("weights")
        if base.trust_remote_code:
            self._say(f"the Python code of base {name} does not travel, nor that it is trusted")
        self._bases[name] = BundledBase(Base(name, source, revision, base.remote), told, files)
        return name

    def _base_files(self, name: str, folder: Path) -> dict[str, Entry]:
        """What a model is loaded from, as a fetch of it from the Hub takes."""
        wanted = {each for pattern in BASE_PATTERNS for each in folder.glob(pattern)}
        wanted = {each for each in wanted if each.is_file() and each.name != CONFIG}
        files = {}
        for each in sorted(wanted | set(weight_files(folder))):
            file = each.relative_to(folder).as_posix()
            files[file] = Entry(each.stat().st_size, file_digest(each))
            self.contents[f"bases/{name}/{file}"] = each
        return files


def _portable(folder: Path, version: Version, base: Base, name: str) -> dict[str, Content]:
    """A version's files; changed only where they tell a place that is on this machine alone.

    Raises UsageError for a configuration or record that names another such path.
    """
    files: dict[str, Content] = {file: folder / file for file in version.files}
    location = base.source.location
    if base.source.kind == "path" and (is_path(location) or location.startswith("..")):
        place = f"{CARRIED}/{name}"
        config = {**read_json(folder / CONFIG), "base_model_name_or_path": place}
        files[CONFIG] = _dump(config, sort_keys=True)
        record = read_record(folder)
        if record:
            told = {"source": f"path:{place}"}
            record = {**record, "base": {**recorded(record, "base"), **told}}
            recipe = recorded(record, "recipe")
            if recipe:
                record["recipe"] = {**recipe, "base": {**recorded(recipe, "base"), **told}}
            files[RECORD] = _dump(record)
        if "README.md" in files:
            text = (folder / "README.md").read_bytes()
            files["README.md"] = text.replace(location.encode(), place.encode())
    if TOKENIZER_CONFIG in files:
        kept = without_paths(read_json(folder / TOKENIZER_CONFIG))
        files[TOKENIZER_CONFIG] = kept if kept is not None else files[TOKENIZER_CONFIG]
    for file in (CONFIG, RECORD, TOKENIZER_CONFIG):
        content = files.get(file)
        if content is not None:
            text = content if isinstance(content, bytes) else content.read_bytes()
            refuse_private(f"{file} of {folder.parent.name}@{version.number}", json.loads(text))
    return files


def _dump(table: Mapping[str, Any], *, sort_keys: bool = False) -> bytes:
    text = json.dumps(table, indent=2, ensure_ascii=False, sort_keys=sort_keys)
    return (text + "\n").encode()


def _without_paths(recipe: Recipe) -> Recipe:
    """Data that lies somewhere on this machine is named by its last part."""
    return dataclasses.replace(
        recipe,
        data=_short(recipe.data),
        eval_data=_short(recipe.eval_data),
        data_options={key: _short(value) for key, value in recipe.data_options.items()},
    )


def _short(value: Any) -> Any:
    return value.replace("\\", "/").rpartition("/")[2] if is_path(value) else value


def _write(path: Path, manifest: Manifest, contents: Mapping[str, Content]) -> tuple[int, str]:
    """The bundle, complete or not at all: (its size, its digest). Raises RegistryError."""
    told = manifest.as_bytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                stream = open_for_writing(file, path.name.endswith("gz"))
                _put(stream, MANIFEST, Entry(len(told), ""), told)
                for name, entry in manifest.members():
                    _put(stream, name, entry, contents[name])
                stream.write(END)
                if stream is not file:
                    stream.close()
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~umask())
            digest = file_digest(Path(temporary))
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        sync_folder(path.parent)
        return path.stat().st_size, digest
    except OSError as error:
        raise RegistryError(f"{path} cannot be written: {error.strerror or error}.") from error


def _put(stream: BinaryIO, name: str, entry: Entry, content: Content) -> None:
    stream.write(header(name, entry.size))
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(content):
        digest.update(chunk)
        size += len(chunk)
        stream.write(chunk)
    if size != entry.size or entry.digest not in ("", f"sha256:{digest.hexdigest()}"):
        raise VerificationError(f"{name} was changed while it was read; nothing was written.")
    stream.write(padding(size))


def _chunks(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
