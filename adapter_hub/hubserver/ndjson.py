"""The body of a commit: a line of JSON for each change, read in pieces.

A line with a file holds the file's content in base64, possibly gigabytes of it. The content
goes into a blob as it comes; what is kept of the line is the rest.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any

from adapter_hub.hubserver.blobs import Blobs, Incoming
from adapter_hub.hubserver.names import COMMIT, SHA256, check_path
from adapter_hub.hubserver.records import File
from adapter_hub.hubserver.refusals import EntryNotFound, Refused

_CONTENT = re.compile(rb'"content"\s*:\s*"')
_LONGEST = 1 << 20
"""Of a line, without a file's content."""


@dataclass(frozen=True)
class Change:
    """``sha256`` is the new content of ``path``, stored here or uploaded before; None for what is deleted."""

    path: str
    sha256: str | None = None
    folder: bool = False


@dataclass
class Body:
    """Feed it pieces of any length, then ``finish``. Outside ``with`` it leaves temporary files."""

    blobs: Blobs
    summary: str = ""
    description: str = ""
    parent: str | None = None
    changes: list[Change] = field(default_factory=list)
    _line: bytearray = field(default_factory=bytearray)
    _scanned: int = 0
    _incoming: Incoming | None = None
    _stored: str | None = None
    _left: bytes = b""

    def feed(self, piece: bytes) -> None:
        """Raises Refused."""
        view = piece
        while view:
            view = self._feed_content(view) if self._incoming else self._feed_line(view)

    def finish(self) -> None:
        """Raises Refused."""
        if self._incoming:
            raise Refused("The body ends within a file.")
        if self._line.strip():
            self._end_line()
        if not self.summary:
            raise Refused("The commit has no summary.")

    def close(self) -> None:
        if self._incoming:
            self._incoming.__exit__(None, None, None)
            self._incoming = None

    def _feed_line(self, piece: bytes) -> bytes:
        """Add to the line, up to its end or to a file's content; returns what comes after."""
        line, newline, rest = piece.partition(b"\n")
        before = len(self._line)
        self._line += line
        if self._stored is None:
            # A match may have begun in the piece before.
            found = _CONTENT.search(self._line, max(0, self._scanned - 256))
            if found:
                after = bytes(self._line[found.end() :]) + newline + rest
                del self._line[found.end() :]
                self._incoming = self.blobs.incoming()
                return after
        self._scanned = len(self._line)
        if before + len(line) > _LONGEST:
            raise Refused("A line of the commit is too long.")
        if newline:
            self._end_line()
        return rest

    def _feed_content(self, piece: bytes) -> bytes:
        """Decode up to the closing quote; returns what comes after."""
        assert self._incoming
        text, quote, rest = piece.partition(b'"')
        text = self._left + text.replace(b"\\/", b"/")
        whole = len(text) if quote else len(text) - len(text) % 4
        self._left = text[whole:]
        try:
            self._incoming.write(base64.b64decode(text[:whole], validate=True))
        except binascii.Error:
            raise Refused("A file's content is not base64.") from None
        if quote:
            with self._incoming:
                self._stored = self._incoming.keep()
            self._incoming = None
            self._line += quote
        return rest

    def _end_line(self) -> None:
        line, stored = bytes(self._line), self._stored
        self._line.clear()
        self._scanned, self._stored = 0, None
        if not line.strip():
            return
        try:
            entry = json.loads(line)
            key, value = entry["key"], entry["value"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Refused("A line of the commit is not a change in JSON.") from None
        if not isinstance(value, dict):
            raise Refused("A line of the commit has no object as its value.")
        if key == "header":
            self._read_header(value)
        else:
            self.changes.append(_read_change(key, value, stored))

    def _read_header(self, value: dict[str, Any]) -> None:
        self.summary = _text(value, "summary")
        self.description = _text({"description": "", **value}, "description")
        parent = value.get("parentCommit")
        if parent is not None and not (isinstance(parent, str) and COMMIT.fullmatch(parent)):
            raise Refused("parentCommit is not the id of a commit.")
        self.parent = parent

    def apply(self, tree: dict[str, File], commit: str, described: dict[str, File]) -> None:
        """Make the changes in a tree. Raises EntryNotFound."""
        for change in self.changes:
            if change.sha256:
                tree[change.path] = described[change.path]
            elif change.path in tree and not change.folder:
                del tree[change.path]
            else:  # as on the Hub, a folder also where it was not said to be one
                inside = [path for path in tree if path.startswith(change.path + "/")]
                if not inside:
                    raise EntryNotFound(change.path, commit)
                for path in inside:
                    del tree[path]


def _read_change(key: object, value: dict[str, Any], stored: str | None) -> Change:
    path = _text(value, "path")
    if key == "deletedFolder":
        return Change(path.rstrip("/"), folder=True)
    if key == "deletedFile":
        return Change(path)
    if key == "file":
        if stored is None or value.get("encoding") != "base64":
            raise Refused("A file of the commit has no content in base64.")
        return Change(check_path(path), stored)
    if key == "lfsFile":
        oid = _text(value, "oid")
        if value.get("algo", "sha256") != "sha256" or not SHA256.fullmatch(oid):
            raise Refused("An LFS file's oid is not a sha256.")
        return Change(check_path(path), oid)
    raise Refused(f"A line of the commit has the unknown key {key!r}.")


def _text(value: dict[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        raise Refused(f'A line of the commit has no text "{name}".')
    return text
