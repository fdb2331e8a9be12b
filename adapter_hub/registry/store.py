"""Registry: one ``registry.toml``, read without a lock, edited under one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from adapter_hub.errors import (
    ConflictError,
    RegistryError,
    UnknownNameError,
    UsageError,
)
from adapter_hub.registry.document import (
    at_line,
    is_large,
    line_of,
    parse,
    read_meaning,
    read_text,
    without_mark,
)
from adapter_hub.registry.files import cannot_write
from adapter_hub.registry.place import find_registry, resolved
from adapter_hub.registry.tables import ADAPTER_KEYS, SchemaError, read_summary, read_values
from adapter_hub.registry.taken import refuse_taken, refuse_twin, users

if TYPE_CHECKING:
    from adapter_hub.model import Adapter, Base, Reference, Remote, Version
    from adapter_hub.registry.journal import Events

LOCK_SECONDS = 20.0

Change = Callable[[dict[str, Any]], None]
T = TypeVar("T")


class Registry:
    """A registry as it stood when it was read. ``edit`` reads it again inside the lock."""

    def __init__(self, path: Path, text: str, meaning: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self._put(text, meaning)

    def _put(self, text: str, meaning: Mapping[str, Any] | None = None) -> None:
        """``text`` is the content now; ``meaning`` is what it means, if that is known."""
        self._text = text
        self._known = meaning

    @property
    def _meaning(self) -> Mapping[str, Any]:
        """The document that the text means. Raises RegistryError."""
        if self._known is None:
            self._known = read_meaning(self.path, self._text)
        return self._known

    @classmethod
    def open(cls, path: Path | None = None) -> Registry:
        """Read and check the registry at ``path`` (default: the one found from here).

        Of a large one an entry is checked when it is looked at. Raises RegistryNotFoundError, or
        RegistryError naming file, line and key.
        """
        real = resolved(path or find_registry())
        text = without_mark(read_text(real))
        return cls(real, text, None if is_large(text) else parse(real, text))

    @property
    def folder(self) -> Path:
        """The folder that holds the registry and ``adapters/``."""
        return self.path.parent

    def version_folder(self, name: str, number: int) -> Path:
        return self.folder / "adapters" / name / str(number)

    def written_path(self, path: str) -> str:
        """A path named from the working directory, as the registry writes it: from its folder."""
        expanded = Path(path).expanduser()
        if expanded.is_absolute():
            return str(expanded)
        return Path(os.path.relpath(expanded, self.folder)).as_posix()

    # Reading -----------------------------------------------------------------------------

    def base_names(self) -> list[str]:
        return sorted(self._meaning.get("bases", {}), key=str.casefold)

    def adapter_names(self) -> list[str]:
        return sorted(self._meaning.get("adapters", {}), key=str.casefold)

    def base(self, name: str) -> Base:
        """Raises UnknownNameError, RegistryError."""
        from adapter_hub.registry import schema

        self._require("bases", name)
        return self._told(
            lambda told: schema.read_base(name, told["bases"][name], told.get("remotes", {}))
        )

    def remote_names(self) -> list[str]:
        return sorted(self._meaning.get("remotes", {}), key=str.casefold)

    def remote(self, name: str) -> Remote:
        """A Hub that the registry names. Raises UnknownNameError, RegistryError."""
        from adapter_hub.registry import schema

        self._require("remotes", name)
        return self._told(lambda told: schema.read_remote(name, told["remotes"][name]))

    def adapter(self, name: str) -> Adapter:
        """Raises UnknownNameError, RegistryError."""
        from adapter_hub.registry import schema

        self._require("adapters", name)
        return self._told(lambda told: schema.read_adapter(name, told["adapters"][name]))

    def adapters(self) -> Iterator[Adapter]:
        """Every adapter, by name. Raises RegistryError."""
        return map(self.adapter, self.adapter_names())

    def summary(self, name: str) -> dict[str, Any]:
        """What ``list`` tells of one adapter. Raises UnknownNameError, RegistryError."""
        self._require("adapters", name)
        return self._told(lambda told: read_summary(name, told["adapters"][name]))

    def summaries(self) -> Iterator[dict[str, Any]]:
        """What ``list`` tells of every adapter, by name. Raises RegistryError."""
        if not is_large(self._text):
            return map(self.summary, self.adapter_names())
        from adapter_hub.registry.index import indexed

        return iter(
            indexed(self.path, self._text, lambda: list(map(self.summary, self.adapter_names())))
        )

    def values(self, name: str, keys: Iterable[str]) -> dict[str, Any]:
        """Those of some keys of an adapter's table that are there. Raises RegistryError."""
        kinds = {key: ADAPTER_KEYS[key] for key in keys}
        return self._told(
            lambda told: read_values(told["adapters"][name], ("adapters", name), kinds)
        )

    def versions(self, name: str) -> dict[int, Version]:
        """The versions of one adapter; nothing else of it is read. Raises RegistryError."""
        from adapter_hub.registry import schema

        return self._told(lambda told: schema.read_versions(name, told["adapters"][name]))

    def has_adapter(self, name: str) -> bool:
        return name in self._meaning.get("adapters", {})

    def users(self, base: str) -> list[str]:
        """The adapters whose recipe names ``base``. Nothing else of them is looked at."""
        return self._told(lambda told: users(told, base))

    def unknown_keys(self, adapters: Collection[str] = ()) -> list[str]:
        """One line for each key that nothing here reads, with its place: most are misspelt.

        Of these ``adapters``, or of all, and of what is no adapter. They stay in the file, and may
        be somebody else's. Raises RegistryError.
        """
        from adapter_hub.registry.unknown import unknown_keys

        found = self._told(lambda told: unknown_keys(told, adapters))
        return [
            f"{self.path}:{line_of(self.path, self._text, path)}: {problem}"
            for path, problem in found
        ]

    def refuse_twin(self, name: str, what: Literal["adapter", "base"]) -> None:
        """Raises ConflictError when an entry's name differs from ``name`` in case only.

        Both would name one folder where the file system ignores case.
        """
        refuse_twin(self._meaning, name, what)

    def refuse_taken(self, name: str, *, but: str | None = None) -> None:
        """Raises ConflictError when there is an adapter of that name, case aside, except ``but``."""
        refuse_taken(self._meaning, name, "adapter", but=but)

    def resolve(self, reference: Reference) -> tuple[Adapter, Version]:
        """The adapter and version that a reference of kind "name" means. Raises UnknownNameError."""
        adapter = self.adapter(reference.target)
        return adapter, adapter.version(reference.selector)

    # Editing -----------------------------------------------------------------------------

    def edit(
        self, change: Change, events: Events | None = None, then: Change | None = None
    ) -> None:
        """Apply ``change`` to the newest content of the file, under the lock.

        ``change`` gets the whole document as plain tables and alters it in place. Nothing is
        written when it alters nothing; else what ``events`` returns goes into the journal.
        ``then`` gets the document that stands on disk now, still under the lock. Raises
        ConflictError when the lock cannot be had or the file was changed without it, RegistryError
        when the result could not be written.
        """
        from adapter_hub.registry.edits import Draft

        with self._locked():
            content = read_text(self.path)
            text = without_mark(content)
            try:
                draft = Draft(self.path, text)
                change(draft.document)
                after = draft.text()
            except ValueError:
                parse(self.path, text)  # in a block that was not parsed until now: names its line
                raise
            if after == text:
                self._put(text)
            else:
                self._replace(content, after, events)
            if then is not None:
                then(draft.document)

    def edit_text(self, change: Callable[[str], str]) -> None:
        """Apply ``change`` to the newest text of the file, as ``edit`` does: to its comments alone.

        Raises what ``edit`` raises; RegistryError also when the text would mean something else.
        """
        from adapter_hub.registry.splice import require_meaning

        with self._locked():
            content = read_text(self.path)
            text = without_mark(content)
            self._put(text, parse(self.path, text))
            after = change(text)
            if after != text:
                require_meaning(after, self._meaning)
                self._replace(content, after)

    def edit_adapter(
        self,
        name: str,
        change: Change,
        events: Events | None = None,
        then: Change | None = None,
    ) -> None:
        """Apply ``change`` to the newest content of one adapter's table, as ``edit`` does.

        Raises UnknownNameError when there is none (any more), and what ``edit`` raises.
        """

        def change_entry(document: dict[str, Any]) -> None:
            if name not in document.get("adapters", {}):
                self._require("adapters", name)  # it was not there before, either
                raise UnknownNameError(
                    f"adapter {name!r} was removed in the meantime; nothing was changed.",
                    hint="adapter-hub list",
                )
            change(document["adapters"][name])

        self.edit(change_entry, events, then)

    def put_base(self, base: Base) -> None:
        """Add a base. Raises ConflictError when one of that name is there, UsageError for a bad one."""
        from adapter_hub.model import check_name
        from adapter_hub.registry import schema

        check_name(base.name, "a base")
        table = schema.base_table(base)
        try:
            schema.read_base(base.name, table, self._meaning.get("remotes", {}))
        except SchemaError as error:
            raise UsageError(f"base {base.name!r} {error.problem}.") from None

        def change(document: dict[str, Any]) -> None:
            refuse_taken(document, base.name, "base")
            document.setdefault("bases", {})[base.name] = table

        self.edit(change)

    def remove_base(self, name: str) -> None:
        """Raises UnknownNameError; ConflictError while an adapter's recipe names it."""

        def change(document: dict[str, Any]) -> None:
            names = users(document, name)
            if names:
                more = ", …" if len(names) > 5 else ""
                raise ConflictError(
                    f"base {name!r} is used by {', '.join(names[:5])}{more}; nothing was changed.",
                    hint=f"adapter-hub list --base {name}",
                )
            document.get("bases", {}).pop(name, None)

        self._require("bases", name)
        self.edit(change)

    def rename_entry(
        self, old: str, new: str, files: contextlib.AbstractContextManager[None] | None = None
    ) -> None:
        """Rename an adapter's entry, and leave its files: ``versions.rename_adapter`` does both.

        The entry is written in the body of ``files``, under the lock. Raises UnknownNameError,
        ConflictError, UsageError, and what ``files`` raises.
        """
        from adapter_hub.model import check_name
        from adapter_hub.registry.edits import renamed

        check_name(new, "an adapter")
        with self._locked():
            content = read_text(self.path)
            self._put(without_mark(content))
            self._require("adapters", old)
            if new != old:
                refuse_taken(self._meaning, new, "adapter", but=old)
                after = self._told(lambda _: renamed(self.path, self._text, old, new))
                event = {"event": "rename", "adapter": new, "from": old}
                with files or contextlib.nullcontext():
                    self._replace(content, after, lambda: [event])

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        from adapter_hub.registry.locking import locked

        with locked(self.path, LOCK_SECONDS):
            try:
                yield
            except RecursionError:
                raise RegistryError(
                    f"{self.path} has tables that are nested too deep to be edited; "
                    "nothing was written."
                ) from None

    def _replace(self, before: str, after: str, events: Events | None = None) -> None:
        """Atomically put the text ``after`` where the content ``before`` still stands."""
        from adapter_hub.registry.atomic import replace_file

        mark = before[: len(before) - len(without_mark(before))]
        try:
            replace_file(self.path, (mark + after).encode(), expect=before.encode())
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._put(after)
        if events is not None:
            from adapter_hub.registry.journal import append

            append(self.folder, events())

    # Helpers -----------------------------------------------------------------------------

    def _require(self, section: str, name: str) -> None:
        entries: Mapping[str, Any] = self._meaning.get(section, {})
        if name not in entries:
            from adapter_hub.options import suggestion

            what, see = {
                "bases": ("base", "adapter-hub base list"),
                "adapters": ("adapter", "adapter-hub list"),
                "remotes": ("remote", f'write it: [remotes.{name}] with endpoint = "https://…"'),
            }[section]
            raise UnknownNameError(
                f"{self.path.name} has no {what} {name!r}{suggestion(name, entries)}.", hint=see
            )

    def _told(self, read: Callable[[Mapping[str, Any]], T]) -> T:
        """What ``read`` makes of the document. Raises RegistryError that names the line."""
        try:
            try:
                return read(self._meaning)
            except ValueError:
                # A block or value that was not parsed until now: tomli, given the whole text,
                # names its line, or reads what blocks alone cannot tell.
                self._known = parse(self.path, self._text)
                return read(self._known)
        except SchemaError as error:
            raise at_line(self.path, self._text, error) from None
