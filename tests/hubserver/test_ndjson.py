"""The body of a commit, in pieces of any length."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter_hub.hubserver.blobs import Blobs
from adapter_hub.hubserver.ndjson import Body, Change
from adapter_hub.hubserver.refusals import Refused, TooLarge

CONTENTS = [b"", b"x", b'"content": "' * 40, bytes(range(256)) * 5]


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Blobs:
    folder: Path = tmp_path_factory.mktemp("blobs")
    (folder / "blobs").mkdir()
    (folder / "temporary").mkdir()
    return Blobs(folder / "blobs", folder / "temporary")


def line(key: str, **value: Any) -> bytes:
    return json.dumps({"key": key, "value": value}).encode() + b"\n"


def file_line(path: str, content: bytes) -> bytes:
    text = base64.b64encode(content).decode()
    return line("file", content=text, path=path, encoding="base64")


HEADER = line("header", summary='a "content": "x"', description="", parentCommit="a" * 40)
WHOLE = (
    HEADER
    + b"".join(file_line(f"f{n}", content) for n, content in enumerate(CONTENTS))
    + line("lfsFile", path="w.bin", algo="sha256", oid="b" * 64, size=3)
    + line("deletedFile", path="old")
    + line("deletedFolder", path="dir/")
)


def read(blobs: Blobs, content: bytes, cuts: list[int] | None = None) -> Body:
    body = Body(blobs)
    edges = [0, *sorted(cuts or []), len(content)]
    try:
        for start, end in itertools.pairwise(edges):
            body.feed(content[start:end])
        body.finish()
    finally:
        body.close()
    return body


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
def test_pieces_of_any_length_are_the_same_commit(blobs: Blobs, cuts: list[int]) -> None:
    body = read(blobs, WHOLE, cuts)
    assert (body.summary, body.parent) == ('a "content": "x"', "a" * 40)
    stored = [Change(f"f{n}", hashlib.sha256(c).hexdigest()) for n, c in enumerate(CONTENTS)]
    assert body.changes == [
        *stored,
        Change("w.bin", "b" * 64),
        Change("old"),
        Change("dir", folder=True),
    ]
    for content, change in zip(CONTENTS, stored, strict=True):
        assert change.sha256
        assert blobs.path(change.sha256).read_bytes() == content


def test_one_byte_at_a_time(blobs: Blobs) -> None:
    content = HEADER + file_line("f", b"hello world")
    assert len(read(blobs, content, list(range(len(content)))).changes) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}\n",
        b"[1]\n",
        b"not json\n",
        line("header", summary=3),
        line("header", summary="x", parentCommit="main"),
        HEADER + line("nonsense", path="x"),
        HEADER + line("file", path="x"),
        HEADER + line("file", path="x", content="====", encoding="base64"),
        HEADER + line("file", path="x", content="a\u00fcbc", encoding="base64"),
        HEADER + line("file", path="x", content="eHg=", encoding="utf-8"),
        HEADER + line("file", path="../x", content="eHg=", encoding="base64"),
        HEADER + line("lfsFile", path="x", oid="../" + "b" * 61),
        HEADER + line("lfsFile", path="x", oid="b" * 64, algo="md5"),
        HEADER + b'{"key":"file","value":{"content":"eHg',
        HEADER + b"[" * 100_000,
        line("header", summary="x" * (1 << 21)),
    ],
    ids=range(17),
)
def test_what_is_no_commit_is_refused(blobs: Blobs, content: bytes) -> None:
    with pytest.raises((Refused, TooLarge)):
        read(blobs, content)
    assert not list(blobs.temporary.iterdir())


def test_a_large_file_passes_through_little_memory(blobs: Blobs) -> None:
    piece = base64.b64encode(bytes(3 << 18))

    def pieces() -> Iterator[bytes]:
        yield HEADER + b'{"key": "file", "value": {"content": "'
        for _ in range(64):
            yield piece
        yield b'", "path": "big.bin", "encoding": "base64"}}\n'

    body = Body(blobs)
    tracemalloc.start()
    for each in pieces():
        body.feed(each)
    body.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert body.changes[0].sha256
    assert blobs.size(body.changes[0].sha256) == 64 * (3 << 18)
    assert peak < 12 << 20
