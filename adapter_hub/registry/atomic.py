"""Replacing a file so that a crash leaves the old one or the new one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from adapter_hub.errors import ConflictError

TEMPORARY, CLAIM = ".tmp", ".claim"
"""How the files end that are there only while a file is replaced."""

_CLAIM_SECONDS = 60.0
"""How long a claim of another machine counts, where nobody can see whether its owner lives."""
_NAMELESS_SECONDS = 1.0
"""How long one counts whose owner did not get to write down who it is."""
_PAUSE_SECONDS = 0.01


class ContentChanged(ConflictError):
    """A file holds something else than what was read: what was made of that is not written."""


def replace_file(path: Path, content: bytes, *, expect: bytes | None = None) -> None:
    """Replace ``path`` by ``content`` so that a crash leaves the old file or the new one.

    ``expect`` is what the file must still hold just before; else ConflictError. Of several
    programs that call this with the same ``expect`` one succeeds, also where locks have no effect
    (see ``_claimed``). What remains is an editor that saves in the microseconds between the
    comparison and the replacing: it is overwritten. Raises OSError.
    """
    descriptor, temporary = tempfile.mkstemp(
        prefix=f".{path.name}.", suffix=TEMPORARY, dir=path.parent
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A temporary file is private; the one it becomes keeps its mode, or gets the usual one.
        os.chmod(temporary, path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~umask())
        if expect is None:
            os.replace(temporary, path)
        else:
            with _claimed(path, expect, os.stat(temporary).st_mtime):
                if path.read_bytes() != expect:
                    raise _changed(path)
                os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def _claimed(path: Path, content: bytes, now: float) -> Iterator[None]:
    """Be the only one who replaces the ``content`` of ``path``; else ContentChanged.

    The claim is a file named by that content, which only one can create: network file systems
    that grant a lock to everybody keep at least this. A claim left by a process that was killed
    is broken: at once where it ran on this machine, else when it is a minute old by the clock of
    the file system (``now``). Two who break one claim in the same microseconds can both succeed.
    """
    claim = path.with_name(f".{path.name}.{hashlib.sha256(content).hexdigest()[:16]}{CLAIM}")
    start = time.monotonic()
    while True:
        try:
            descriptor = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            break
        except FileExistsError:
            if path.read_bytes() != content:
                raise _changed(path) from None
            if is_abandoned(claim, now + time.monotonic() - start):
                claim.unlink(missing_ok=True)
            else:
                time.sleep(_PAUSE_SECONDS)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{_machine()} {os.getpid()}")
        yield
    finally:
        with contextlib.suppress(OSError):
            claim.unlink()


def is_abandoned(claim: Path, now: float) -> bool:
    """Whether nobody is behind a claim any more; ``now`` by the clock of the file system."""
    try:
        owner, age = claim.read_text(), now - claim.stat().st_mtime
    except OSError:
        return False  # it is going, or nobody can tell
    machine, _, process = owner.rpartition(" ")
    if not process.isdecimal():
        return age > _NAMELESS_SECONDS
    if machine == _machine() and os.name == "posix":
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            pass
    return age > _CLAIM_SECONDS


def _machine() -> str:
    return os.uname().nodename if os.name == "posix" else os.environ.get("COMPUTERNAME", "")


def _changed(path: Path) -> ContentChanged:
    return ContentChanged(
        f"{path} was changed by somebody else in this moment; nothing was written.",
        hint="run the command again",
    )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def umask() -> int:
    """The modes that the user does not want on new files; it can be read only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
