"""One file of a commit, whole and verified, however often the connection breaks."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import BaseModelError, HubError, IncompatibleError, UsageError
from adapter_hub.hub.files import RemoteFile
from adapter_hub.loading.remotes import find_token
from adapter_hub.model import Remote

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TRIES = 5
"""Attempts in a row that may bring no byte."""
_AGAIN = (408, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 60.0

OnBytes = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Commit:
    """One exact commit of a repository."""

    client: HfApi
    remote: Remote
    repo: str
    revision: str


@contextlib.contextmanager
def named_by(repo: str, folder: Path) -> Iterator[None]:
    """Errors about what is in ``folder``, where a repository's files gather, name the repository."""
    try:
        yield
    except (BaseModelError, IncompatibleError, UsageError) as error:
        told = error.message.replace(f"{folder}{os.sep}", f"{repo}/").replace(str(folder), repo)
        error.reword(told)
        raise


def fetch_file(
    commit: Commit,
    name: str,
    file: RemoteFile,
    folder: Path,
    on_bytes: OnBytes = lambda name, have, size: None,
) -> Path:
    """Bring ``name`` into ``folder`` and check its digest; ``on_bytes(name, have, size)``.

    What an earlier call left in ``NAME.part`` is gone on with. A file with a wrong digest is kept
    as ``NAME.wrong`` and fetched once more. Raises HubError; OSError when it cannot be written.
    """
    target, part = folder / name, folder / f"{name}.part"
    if target.is_file() and file.holds(target):
        return target
    for _ in range(2):
        _fill(commit, name, file, part, on_bytes)
        if file.holds(part):
            os.replace(part, target)
            return target
        os.replace(part, folder / f"{name}.wrong")
    raise HubError(
        f"{name} of {commit.repo} came with a wrong digest twice; it is kept as {folder / name}.wrong.",
        hint="pull again later, or tell the owner of the repository",
    )


def _fill(commit: Commit, name: str, file: RemoteFile, part: Path, on_bytes: OnBytes) -> None:
    """Append to ``part`` until it has the file's size. Raises HubError."""
    left = TRIES
    while True:
        have = part.stat().st_size if part.is_file() else 0
        if have > file.size:
            part.unlink()
            have = 0
        if have == file.size:
            part.touch()
            return
        wait, problem = _request(commit, name, file, part, have, on_bytes)
        got = part.is_file() and part.stat().st_size > have
        if problem is None:
            problem = "the answer was too short"
        left = TRIES if got else left - 1
        if part.is_file() and part.stat().st_size == file.size:
            return
        if not left:
            raise HubError(
                f"{name} of {commit.repo} cannot be fetched from {commit.remote.endpoint}: {problem}.",
                hint="pull again: it goes on where it stopped",
            )
        time.sleep(min(_LONGEST_WAIT, wait if wait is not None else 2.0 ** (TRIES - left - 1)))


def fetch_part(commit: Commit, name: str, start: int, length: int) -> bytes:
    """``length`` bytes of a file from byte ``start`` on, or what there is of them; nothing more travels.

    Raises HubError.
    """
    left = TRIES
    while True:
        wait: float | None = None
        try:
            with _get(commit, name, f"bytes={start}-{start + length - 1}") as response:
                if response.status_code == 416:
                    return b""
                if response.status_code not in _AGAIN:
                    _raise_for_status(response)
                    # A server without ranges sends the file from its beginning.
                    return _some_bytes(
                        response, 0 if response.status_code == 206 else start, length
                    )
                wait, problem = _retry_after(response), f"error {response.status_code}"
        except Exception as error:
            problem = _network_problem(error)
        left -= 1
        if not left:
            raise HubError(
                f"{name} of {commit.repo} cannot be read from {commit.remote.endpoint}: {problem}.",
                hint="run the command again",
            )
        time.sleep(min(_LONGEST_WAIT, wait if wait is not None else 2.0 ** (TRIES - left - 1)))


def _some_bytes(response: Any, skip: int, length: int) -> bytes:
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) >= skip + length:
            break
    return bytes(content[skip : skip + length])


def _request(
    commit: Commit, name: str, file: RemoteFile, part: Path, have: int, on_bytes: OnBytes
) -> tuple[float | None, str | None]:
    """One GET from byte ``have`` on: (seconds to wait that the server asks for, what went wrong).

    Errors that another try will not mend are raised.
    """
    try:
        with _get(commit, name, f"bytes={have}-" if have else None) as response:
            if response.status_code in _AGAIN:
                return _retry_after(response), f"error {response.status_code}"
            _raise_for_status(response)
            _write(response, name, file, part, have, on_bytes)
    except Exception as error:
        return None, _network_problem(error)
    return None, None


def _get(commit: Commit, name: str, wanted: str | None) -> Any:
    """A GET as a context manager; ``wanted`` is its Range header."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session

    url = hf_hub_url(commit.repo, name, revision=commit.revision, endpoint=commit.remote.endpoint)
    headers = build_hf_headers(
        token=find_token(commit.remote) or False,
        library_name="adapter-hub",
        library_version=commit.client.library_version,
    )
    headers["Accept-Encoding"] = "identity"
    if wanted:
        headers["Range"] = wanted
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    return get_session().stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True)


def _raise_for_status(response: Any) -> None:
    from huggingface_hub.utils import hf_raise_for_status

    hf_raise_for_status(response)


def _network_problem(error: Exception) -> str:
    """What to say of an error that another try may mend; others are raised again."""
    # httpx of whichever generation the client is built on.
    if not type(error).__module__.startswith(("httpx", "httpcore")):
        raise error
    return str(error) or type(error).__name__


def _write(
    response: Any, name: str, file: RemoteFile, part: Path, have: int, on_bytes: OnBytes
) -> None:
    if have and response.status_code != 206:
        have = 0  # the whole file comes, whatever was asked for
    with part.open("ab" if have else "wb") as output:
        for chunk in response.iter_bytes():  # of a given size would hold back what has come
            output.write(chunk)
            have += len(chunk)
            on_bytes(name, have, file.size)
            if have > file.size:
                return  # its digest will tell


def _retry_after(response: Any) -> float | None:
    try:
        return float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
