"""Which folders below a folder are PEFT adapters: results of training, and the Hub's cache."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from adapter_hub.errors import UsageError
from adapter_hub.loading.folders import CONFIG, WEIGHTS
from adapter_hub.loading.pickles import PICKLE
from adapter_hub.model import check_name, is_commit

_CHECKPOINT = re.compile(r"checkpoint-([0-9]+)")
_CACHED = re.compile(r"models--(.+?)--(.+)")


@dataclass(frozen=True)
class Found:
    """An adapter's folder. Those of one ``group`` are states of one adapter, in ``order``.

    ``repo`` and ``revision`` are the Hub's, where the folder is a snapshot of its cache.
    ``named`` by the user, and not come upon below what was named.
    """

    folder: Path
    group: Path
    order: tuple[float, ...]
    repo: str | None = None
    revision: str | None = None
    named: bool = False


@dataclass(frozen=True)
class PassedOver:
    """A folder that is not taken, and why."""

    folder: Path
    why: str


def find_adapters(
    folders: Iterable[Path], *, checkpoints: bool = False, skip: Path | None = None
) -> tuple[list[Found], list[PassedOver]]:
    """The adapters in and below ``folders``, older states of one adapter before newer ones.

    Of a folder with checkpoints its own adapter is taken, else the newest checkpoint, and of a
    cached repository the snapshot that its ``main`` means; with ``checkpoints`` all of them are,
    and one that is itself in ``folders`` always is. Nothing below ``skip`` is looked at. Raises
    UsageError when one of ``folders`` is none.
    """
    found: dict[Path, Found] = {}
    passed: list[PassedOver] = []
    for start in folders:
        if not start.is_dir():
            raise UsageError(f"there is no folder {start}.")
        for folder in _with_config(start, skip):
            if not any((folder / name).is_file() for name in (WEIGHTS, PICKLE)):
                passed.append(PassedOver(folder, f"it has no {WEIGHTS}"))
            else:
                one = _look_at(folder, folder == start)
                found.setdefault(folder.resolve(), one)
    groups: dict[Path, list[Found]] = {}
    for each in found.values():
        groups.setdefault(each.group, []).append(each)
    taken = []
    for group in groups.values():
        group.sort(key=lambda each: each.order)
        for each in group:
            if checkpoints or each.named or each is group[-1]:
                taken.append(each)
            else:
                passed.append(PassedOver(each.folder, _why(each, group[-1])))
    return taken, passed


def _with_config(start: Path, skip: Path | None) -> Iterator[Path]:
    """Folders with an adapter's configuration. Links to folders are not followed, hidden ones not read."""
    for place, folders, files in os.walk(start):
        folder = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and not (skip and os.path.realpath(folder / name) == os.path.realpath(skip))
        )
        if CONFIG in files:
            yield folder


def _look_at(folder: Path, named: bool) -> Found:
    real = folder.resolve()
    number = _CHECKPOINT.fullmatch(real.name)
    if number:
        return Found(folder, real.parent, (0, float(number[1])), named=named)
    repo = _CACHED.fullmatch(real.parent.parent.name)
    if real.parent.name == "snapshots" and is_commit(real.name) and repo:
        is_main = _read(real.parent.parent / "refs" / "main") == real.name
        order = (float(is_main), real.stat().st_mtime)
        return Found(folder, real.parent, order, f"{repo[1]}/{repo[2]}", real.name, named)
    return Found(folder, real, (1, 0), named=named)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _why(one: Found, taken: Found) -> str:
    if one.repo:
        return f"another snapshot of {one.repo} is taken"
    newer = (
        "its folder's own adapter" if taken.folder.resolve() == taken.group else taken.folder.name
    )
    return f"a checkpoint; {newer} is taken"


def adapter_name(found: Found, is_free: Callable[[str], bool]) -> str:
    """A valid name for the adapter in a folder that is free: the folder's or the repository's.

    Where that is taken, what is above it comes before it, and then a number behind it.
    """
    place = Path(found.repo) if found.repo else found.group
    names = [_valid(place.name), _valid(f"{place.parent.name}-{place.name}")]
    names += [_valid(f"{names[0][:90]}-{number}") for number in range(2, 10000)]
    return next(each for each in names if is_free(each))


def _valid(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"\.\.+", ".", re.sub(r"[^A-Za-z0-9._-]+", "-", plain))
    plain = plain.strip("._-")[:96].strip("._-") or "adapter"
    try:
        return check_name(plain, "an adapter")
    except UsageError:  # a device's
        return f"adapter-{plain}"[:96]
