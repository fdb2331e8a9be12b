"""A finding, and its text without what must not be pasted into a bug report."""

from __future__ import annotations

import contextlib
import getpass
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["ok", "warning", "problem"]

_CREDENTIALS = re.compile(r"://[^/@\s]+@")
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")


@dataclass(frozen=True)
class Finding:
    """What ``check`` saw; ``next`` is the command or step for what is not ok."""

    check: str
    state: State
    text: str
    next: str | None = None


def told_openly(finding: Finding) -> Finding:
    """The finding without home folder, user name, tokens and passwords in addresses."""
    hint = None if finding.next is None else without_names(finding.next)
    return Finding(finding.check, finding.state, without_names(finding.text), hint)


def without_names(text: str) -> str:
    """``text`` with ``~`` for the home folder, and ``USER`` for a folder of the user's name."""
    text = _TOKEN.sub("hf_…", _CREDENTIALS.sub("://…@", text))
    with contextlib.suppress(RuntimeError):
        home = str(Path.home()).rstrip("/\\")
        if home:
            text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    with contextlib.suppress(OSError, KeyError, ImportError):
        text = re.sub(rf"(?<=[/\\]){re.escape(getpass.getuser())}(?![\w.-])", "USER", text)
    return text


def size(count: float) -> str:
    """Bytes as people read them."""
    if count < 1000:
        return f"{count:.0f} bytes"
    units = ["KB", "MB", "GB", "TB"]
    while (count := count / 1000) >= 1000 and len(units) > 1:
        units.pop(0)
    return f"{count:.3g} {units[0]}"
