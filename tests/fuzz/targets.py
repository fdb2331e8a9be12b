"""What is fuzzed: each target takes bytes, and raises nothing, whatever they are.

An AdapterHubError is an answer; anything else that comes out is a bug, and so is an assertion here.
"""

from __future__ import annotations

import contextlib
import copy
import json
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli

from adapter_hub.errors import AdapterHubError, BaseModelError
from adapter_hub.loading.fit import as_object, compare, described
from adapter_hub.loading.heads import adapter_head, base_head, tensor_shapes
from adapter_hub.loading.identity import base_identity, safetensors_header
from adapter_hub.registry import document
from adapter_hub.registry.find import find_adapters
from adapter_hub.registry.splice import same
from adapter_hub.registry.store import Registry

FOLDER = Path(tempfile.mkdtemp(prefix="adapter-hub-fuzz-"))
PARTS = {
    "adapter_config.json": b"{}",
    "adapter_model.safetensors": b"{}",
    "config.json": b"{}",
    "model.safetensors": b"{}",
    "tokenizer_config.json": b"",
    "tokenizer.json": b"",
    "model.safetensors.index.json": b"",
}
"""The files of a folder that is adapter and base at once, with what they hold by default."""
BETWEEN = b"\n--\n"
"""What parts the files of ``PARTS`` in the bytes of ``heads``; of weights only the header."""


def registry(data: bytes) -> None:
    """Read as a registry, by tomli and in blocks: both mean the same where tomli reads it."""
    path = FOLDER / "registry.toml"
    path.write_bytes(data)
    whole, blocks = _told(path, large=False), _told(path, large=True)
    if "opening" not in whole:
        # What nobody looks at is not checked in blocks, so only this direction holds.
        assert repr(whole) == repr(blocks), (whole, blocks)


def edit(data: bytes) -> None:
    """The first two bytes choose an edit of the registry that the others are.

    It means what was intended and every other entry's text is kept, or nothing is written.
    """
    path = FOLDER / "registry.toml"
    content = data[2:]
    path.write_bytes(content)
    try:
        opened = Registry.open(path)
        before = tomli.loads(document.without_mark(content.decode()))
    except (AdapterHubError, ValueError, RecursionError):
        return
    names = opened.adapter_names()
    name = names[data[0] % len(names)] if names else "new"
    intended = copy.deepcopy(before) if not _is_deep(before) else None
    change = CHANGES[data[1] % len(CHANGES)]
    try:
        if change is None:
            opened.rename_entry(name, "new.name")
        else:
            opened.edit(lambda tables: change(tables, name))
    except AdapterHubError:
        assert path.read_bytes() == content
        return
    if intended is None:
        return
    if change is None:
        intended["adapters"]["new.name"] = intended["adapters"].pop(name)
    else:
        change(intended, name)
    after = tomli.loads(document.without_mark(path.read_bytes().decode()))
    assert same(_without_empty(after), _without_empty(intended)), (after, intended)


def safetensors(data: bytes) -> None:
    """Read as a file of weights: its header, and the fingerprint of a base that has it.

    What begins with a brace is the header alone: it gets its length.
    """
    if data.startswith(b"{"):
        header_part, _, rest = data.partition(BETWEEN)
        data = struct.pack("<Q", len(header_part)) + header_part + rest
    (FOLDER / "weights").mkdir(exist_ok=True)
    path = FOLDER / "weights" / "model.safetensors"
    path.write_bytes(data)
    (FOLDER / "weights" / "config.json").write_text("{}")
    try:
        header, start = safetensors_header(path)
    except BaseModelError:
        return
    assert 8 <= start <= len(data)
    for read in (lambda: tensor_shapes(header, "it"), lambda: base_identity(path.parent)):
        with contextlib.suppress(AdapterHubError):
            read()


def heads(data: bytes) -> None:
    """Read as the small files of an adapter and of a base: whether the two fit can be told."""
    folder = FOLDER / "heads"
    folder.mkdir(exist_ok=True)
    parts = [*data.split(BETWEEN), *PARTS.values()][: len(PARTS)]
    for (name, default), part in zip(PARTS.items(), parts, strict=True):
        content = part or default
        if name.endswith(".safetensors"):
            content = struct.pack("<Q", len(content)) + content
        if content:
            (folder / name).write_bytes(content)
        else:
            (folder / name).unlink(missing_ok=True)
    try:
        fit = compare(adapter_head(folder), base_head(folder))
        assert json.dumps(as_object("it", "base", fit))
        described(fit).encode()
        base_identity(folder)
    except AdapterHubError as error:
        error.message.encode()


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (registry, edit, safetensors, heads)
}


def _told(path: Path, *, large: bool) -> dict[str, Any]:
    """All that a registry tells, or by which errors it does not."""
    size, document.LARGE = document.LARGE, 0 if large else 1 << 60
    try:
        try:
            opened = Registry.open(path)
            opened.base_names()  # a large one is read when it is asked
        except AdapterHubError as error:
            error.message.encode()
            return {"opening": error.message}
        told = {
            "list": _answer(lambda: find_adapters(opened)),
            "bases": opened.base_names(),
            "remotes": opened.remote_names(),
            "unknown": _answer(opened.unknown_keys),
        }
        for kind in ("adapter", "base", "remote"):
            for name in getattr(opened, f"{kind}_names")():
                told[f"{kind} {name}"] = _answer(lambda: getattr(opened, kind)(name))  # noqa: B023
        return told
    finally:
        document.LARGE = size


def _answer(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except AdapterHubError as error:
        error.message.encode()
        return f"{type(error).__name__}: {error.message}"


def _is_deep(value: Any, depth: int = 100) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth == 0 or any(_is_deep(each, depth - 1) for each in inner)


def _without_empty(meaning: dict[str, Any]) -> dict[str, Any]:
    """A section or ``versions`` without entries means the same as none."""
    return {
        key: {
            name: {k: v for k, v in table.items() if v != {} or k != "versions"}
            for name, table in value.items()
        }
        if key in ("adapters", "bases")
        else value
        for key, value in meaning.items()
        if value != {} or key not in ("adapters", "bases")
    }


def _entry(tables: dict[str, Any], name: str) -> dict[str, Any]:
    entry: dict[str, Any] = tables.setdefault("adapters", {}).setdefault(name, {})
    return entry


def _versions(tables: dict[str, Any], name: str) -> dict[str, Any]:
    versions = _entry(tables, name).setdefault("versions", {})
    return versions if isinstance(versions, dict) else {}


def _set_data(tables: dict[str, Any], name: str) -> None:
    _entry(tables, name)["data"] = "a # \"'é\n"


def _set_options(tables: dict[str, Any], name: str) -> None:
    _entry(tables, name)["options"] = {"r": 8, "a b": [1.5, True]}


def _drop_first_key(tables: dict[str, Any], name: str) -> None:
    entry = _entry(tables, name)
    entry.pop(next(iter(entry), ""), None)


def _drop_last_key(tables: dict[str, Any], name: str) -> None:
    entry = _entry(tables, name)
    entry.pop(next(reversed(entry), ""), None)


def _add_version(tables: dict[str, Any], name: str) -> None:
    _versions(tables, name)["77"] = {"created": "now", "files": {"a": "b"}}


def _drop_version(tables: dict[str, Any], name: str) -> None:
    versions = _versions(tables, name)
    versions.pop(next(iter(versions), ""), None)


def _change_version(tables: dict[str, Any], name: str) -> None:
    for version in _versions(tables, name).values():
        if isinstance(version, dict):
            version["metrics"] = {"loss": 1.5}


def _move_alias(tables: dict[str, Any], name: str) -> None:
    _entry(tables, name)["aliases"] = {"prod": 77}


def _drop_entry(tables: dict[str, Any], name: str) -> None:
    tables.get("adapters", {}).pop(name, None)


def _add_entry(tables: dict[str, Any], name: str) -> None:
    _entry(tables, "m.iddle").update(base="b", versions={"1": {"files": {}}})


def _add_base(tables: dict[str, Any], name: str) -> None:
    tables.setdefault("bases", {})["m.iddle"] = {"source": "path:x"}


CHANGES: tuple[Callable[[dict[str, Any], str], None] | None, ...] = (
    None,  # a rename
    _set_data,
    _set_options,
    _drop_first_key,
    _drop_last_key,
    _add_version,
    _drop_version,
    _change_version,
    _move_alias,
    _drop_entry,
    _add_entry,
    _add_base,
)
