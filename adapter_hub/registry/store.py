"""Registry: one ``registry.toml``, read without a lock, edited under one."""

from __future__ import annotations

import contextlib
import copy
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli

from adapter_hub.errors import (
    ConflictError,
    RegistryError,
    RegistryNotFoundError,
    UnknownNameError,
    UsageError,
)
from adapter_hub.model import Adapter, Base, Reference, Version, check_name
from adapter_hub.options import suggestion
from adapter_hub.registry import schema
from adapter_hub.registry.splice import dotted, rename_entry, splice

FILE_NAME = "registry.toml"
ENVIRONMENT_VARIABLE = "ADAPTER_HUB_REGISTRY"
LOCK_SECONDS = 20.0

Change = Callable[[dict[str, Any]], None]


def find_registry(start: Path | None = None) -> Path:
    """The registry's path: from the environment, or by walking up from ``start`` (default: here).

    Raises RegistryNotFoundError.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named)
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise RegistryNotFoundError(
        f"there is no {FILE_NAME} in {here} or above it.", hint="adapter-hub init"
    )


class Registry:
    """A registry as it stood when it was read. ``edit`` reads it again inside the lock."""

    def __init__(self, path: Path, text: str, meaning: Mapping[str, Any]) -> None:
        self.path = path
        self._text = text
        self._meaning = meaning

    @classmethod
    def open(cls, path: Path | None = None) -> Registry:
        """Read and check the registry at ``path`` (default: the one found from here).

        Raises RegistryNotFoundError, or RegistryError naming file, line and key.
        """
        # A link is followed once, so that an edit replaces the file and not the link.
        real = Path(os.path.realpath(path or find_registry()))
        if real.is_dir():
            real = real / FILE_NAME
        text = _read_text(real)
        return cls(real, text, _parse(real, text))

    @property
    def folder(self) -> Path:
        """The folder that holds the registry and ``adapters/``."""
        return self.path.parent

    def version_folder(self, name: str, number: int) -> Path:
        return self.folder / "adapters" / name / str(number)

    # Reading -----------------------------------------------------------------------------

    def base_names(self) -> list[str]:
        return sorted(self._meaning.get("bases", {}), key=str.casefold)

    def adapter_names(self) -> list[str]:
        return sorted(self._meaning.get("adapters", {}), key=str.casefold)

    def base(self, name: str) -> Base:
        """Raises UnknownNameError, RegistryError."""
        table = self._entry("bases", name, "base", "adapter-hub base list")
        with self._located():
            return schema.read_base(name, table)

    def adapter(self, name: str) -> Adapter:
        """Raises UnknownNameError, RegistryError."""
        table = self._entry("adapters", name, "adapter", "adapter-hub list")
        with self._located():
            return schema.read_adapter(name, table)

    def adapters(self) -> Iterator[Adapter]:
        """Every adapter, by name. Raises RegistryError."""
        with self._located():
            for name in self.adapter_names():
                yield schema.read_adapter(name, self._meaning["adapters"][name])

    def has_adapter(self, name: str) -> bool:
        return name in self._meaning.get("adapters", {})

    def resolve(self, reference: Reference) -> tuple[Adapter, Version]:
        """The adapter and version that a reference of kind "name" means. Raises UnknownNameError."""
        adapter = self.adapter(reference.target)
        return adapter, adapter.version(reference.selector)

    # Editing -----------------------------------------------------------------------------

    def edit(self, change: Change) -> None:
        """Apply ``change`` to the newest content of the file, under the lock.

        ``change`` gets the whole document as plain tables and alters it in place. Nothing is
        written when it alters nothing. Raises ConflictError when the lock cannot be had or the
        file was changed without it, RegistryError when the result could not be written.
        """
        with self._locked():
            text = _read_text(self.path)
            old = _parse(self.path, text)
            new = copy.deepcopy(dict(old))
            change(new)
            if new != old:
                self._replace(text, splice(text, old, new))
            else:
                self._text, self._meaning = text, old

    def put_base(self, base: Base) -> None:
        """Add a base. Raises ConflictError when one of that name is there."""
        check_name(base.name, "a base")

        def change(document: dict[str, Any]) -> None:
            bases = document.setdefault("bases", {})
            _refuse_twin(bases, base.name, "base", "adapter-hub base remove")
            bases[base.name] = schema.base_table(base)

        self.edit(change)

    def remove_base(self, name: str) -> None:
        """Raises UnknownNameError; ConflictError while an adapter's recipe names it."""

        def change(document: dict[str, Any]) -> None:
            users = [
                key
                for key, table in document.get("adapters", {}).items()
                if table.get("base") == name
            ]
            if users:
                raise ConflictError(
                    f"base {name!r} is used by {', '.join(sorted(users)[:5])}.",
                    hint=f"adapter-hub remove {sorted(users)[0]}",
                )
            del document["bases"][name]

        self.base(name)
        self.edit(change)

    def rename_adapter(self, old: str, new: str) -> None:
        """Give an adapter another name, in the file only. Raises UnknownNameError, ConflictError."""
        check_name(new, "an adapter")
        self.adapter(old)
        with self._locked():
            text = _read_text(self.path)
            others = {
                name: None for name in _parse(self.path, text).get("adapters", {}) if name != old
            }
            _refuse_twin(others, new, "adapter", "adapter-hub remove")
            self._replace(text, rename_entry(text, "adapters", old, new))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=LOCK_SECONDS)
        try:
            lock.acquire()
        except Timeout:
            raise ConflictError(
                f"{self.path} is locked by another process; nothing was written.",
                hint="wait for it to end, then run the command again",
            ) from None
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        try:
            yield
        finally:
            lock.release()

    def _replace(self, before: str, after: str) -> None:
        """Atomically put ``after`` where ``before`` still stands."""
        meaning = _parse(self.path, after)
        try:
            replace_file(self.path, after.encode(), expect=before.encode())
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        self._text, self._meaning = after, meaning

    # Helpers -----------------------------------------------------------------------------

    def _entry(self, section: str, name: str, what: str, see: str) -> Mapping[str, Any]:
        entries: Mapping[str, Any] = self._meaning.get(section, {})
        if name not in entries:
            raise UnknownNameError(
                f"{self.path.name} has no {what} {name!r}{suggestion(name, entries)}.", hint=see
            )
        table: Mapping[str, Any] = entries[name]
        return table

    @contextlib.contextmanager
    def _located(self) -> Iterator[None]:
        try:
            yield
        except schema.SchemaError as error:
            raise _at_line(self.path, self._text, error) from None


def create_registry(folder: Path, text: str) -> Path:
    """Write a new registry into ``folder``. Raises ConflictError when there is one already."""
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise ConflictError(
            f"{path} is already there; nothing was changed.", hint="adapter-hub list"
        ) from None
    except OSError as error:
        raise _cannot_write(path, error) from error
    return path


def replace_file(path: Path, content: bytes, *, expect: bytes | None = None) -> None:
    """Replace ``path`` by ``content`` so that a crash leaves the old file or the new one.

    ``expect`` is what the file must still hold just before; else ConflictError. Raises OSError.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.chmod(temporary, path.stat().st_mode & 0o7777)
        if expect is not None and path.read_bytes() != expect:
            raise ConflictError(
                f"{path} was changed by somebody else in this moment; nothing was written.",
                hint="run the command again",
            )
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise RegistryNotFoundError(
            f"there is no registry at {path}.", hint="adapter-hub init"
        ) from None
    except UnicodeDecodeError as error:
        raise RegistryError(f"{path} is not UTF-8 text (byte {error.start}).") from None
    except OSError as error:
        raise RegistryError(f"{path} cannot be read: {error.strerror}.") from error


def _parse(path: Path, text: str) -> Mapping[str, Any]:
    try:
        meaning = tomli.loads(text)
        schema.check_document(meaning)
    except tomli.TOMLDecodeError as error:
        raise RegistryError(
            f"{path} is not valid TOML: {error}.", hint="mend that line; nothing was changed"
        ) from None
    except schema.SchemaError as error:
        raise _at_line(path, text, error) from None
    return meaning


def _at_line(path: Path, text: str, error: schema.SchemaError) -> RegistryError:
    from adapter_hub.registry.scan import Scan

    line = Scan(text).line_of(error.path)
    place = f"{path}:{line}" if line else str(path)
    return RegistryError(
        f"{place}: {dotted(error.path)}: {error.problem}.",
        hint="mend that line; nothing was changed",
    )


def _refuse_twin(entries: Mapping[str, Any], name: str, what: str, remove: str) -> None:
    twin = next((each for each in entries if each.casefold() == name.casefold()), None)
    if twin is not None:
        raise ConflictError(
            f"there is already {what} {twin!r}; nothing was changed.", hint=f"{remove} {twin}"
        )


def _cannot_write(path: Path, error: OSError) -> RegistryError:
    return RegistryError(
        f"{path} cannot be written: {error.strerror or error}; nothing was changed."
    )


def require_base(name: str | None, adapter: str) -> str:
    """The recipe's base. Raises UsageError when it names none."""
    if not name:
        raise UsageError(
            f"the recipe of {adapter!r} names no base.",
            hint=f"adapter-hub train {adapter} --base BASE --data DATA",
        )
    return name


def ignore_in_git(folder: Path) -> None:
    """Add ``adapters/`` and the lock to ``.gitignore`` if they are not there. Raises RegistryError."""
    path = folder / ".gitignore"
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        missing = [line for line in ("adapters/", f".{FILE_NAME}.lock") if line not in text.split()]
        if missing:
            lead = text + ("\n" if text and not text.endswith("\n") else "")
            replace_file(path, (lead + "\n".join(missing) + "\n").encode())
    except OSError as error:
        raise _cannot_write(path, error) from error
