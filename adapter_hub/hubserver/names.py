"""Which names a client may use for repositories, revisions and files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from adapter_hub.hubserver.refusals import Refused

_REPO_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_REF = re.compile(r"[A-Za-z0-9_.+@=-]+(?:/[A-Za-z0-9_.+@=-]+)*")
COMMIT = re.compile(r"[0-9a-f]{40}")
SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")
SHA256 = re.compile(r"[0-9a-f]{64}")
# Names that Windows keeps for devices, with any ending.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')


_TAKEN = frozenset({"api", "datasets", "lfs", "models", "spaces"})
"""Owners that the server's own addresses begin with."""


def check_repo_id(owner: str, name: str) -> str:
    """The id of a new repository. Raises Refused."""
    if folded(check_repo_part(owner)) in _TAKEN:
        raise Refused(f"{owner!r} cannot be an owner: addresses of the Hub begin with it.")
    return f"{owner}/{check_repo_part(name)}"


def check_repo_part(name: str) -> str:
    """An owner's or a repository's name. Raises Refused."""
    if (
        not _REPO_PART.fullmatch(name)
        or "--" in name
        or ".." in name
        or name.lower().endswith(".git")
        or _DEVICE.fullmatch(name)
    ):
        raise Refused(f"{name!r} cannot be the name of an owner or a repository.")
    return name


def check_ref_name(name: str) -> str:
    """A branch's or a tag's name. Raises Refused."""
    bad = (
        not _REF.fullmatch(name)
        or len(name) > 200
        or ".." in name
        or "@{" in name
        or name == "@"
        or name.startswith(("refs/", "-"))
        or COMMIT.fullmatch(name)
        or any(part.startswith(".") or part.endswith((".", ".lock")) for part in name.split("/"))
    )
    if bad:
        raise Refused(f"Invalid reference name: {name!r}")
    return name


def check_path(path: str) -> str:
    """A file's path in a repository, safe to write below a folder on any system. Raises Refused."""
    if not path or len(path.encode("utf-8", "surrogatepass")) > 1024:
        raise Refused("A path is empty or longer than 1024 bytes.")
    for segment in path.split("/"):
        if why := _wrong_with(segment):
            raise Refused(f"The path {path!r} {why}.")
    return path


def _wrong_with(segment: str) -> str | None:
    if segment == "":
        return "is absolute or has an empty segment"
    if segment in (".", ".."):
        return "has a segment that is not a name"
    if _FORBIDDEN.search(segment) or any(0xD800 <= ord(letter) < 0xE000 for letter in segment):
        return "has a character that not every system can store"
    if segment[-1] in ". ":
        return "has a segment that ends in a dot or a space"
    if folded(segment) == ".git":
        return "has a segment .git"
    if _DEVICE.fullmatch(segment):
        return "has a segment that names a device on Windows"
    if len(segment.encode()) > 255:
        return "has a segment longer than 255 bytes"
    return None


def folded(name: str) -> str:
    """What a file system that ignores case and composition takes the name for."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def check_collisions(paths: Iterable[str]) -> None:
    """No two names that one file system would take for one; no file that is a folder too.

    Raises Refused.
    """
    spelt: dict[str, str] = {}  # every file and folder, as spelt, by what it folds to
    files: set[str] = set()
    for path in paths:
        end = path.find("/")
        while end != -1:
            folder = path[:end]
            if spelt.setdefault(folded(folder), folder) != folder or folded(folder) in files:
                raise Refused(f"The path {path!r} collides with {spelt[folded(folder)]!r}.")
            end = path.find("/", end + 1)
        key = folded(path)
        if key in spelt:
            raise Refused(f"The path {path!r} collides with {spelt[key]!r}.")
        spelt[key] = path
        files.add(key)
