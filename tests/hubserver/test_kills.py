"""``kill -9`` while a large file arrives over HTTP, and what a large file costs in memory."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hubbox import HubBox, complete
from huggingface_hub import HfApi, constants

from adapter_hub.hubserver.repository import Repository
from adapter_hub.hubserver.store import Store

pytestmark = pytest.mark.slow

REPO = "local/large"
KILLS = 20
PIECE = 3 << 20
"""Of content that goes into base64 without padding in the middle."""

Upload = Callable[[HubBox, bytes], int]


def ask(box: HubBox, method: str, url: str, body: object, **headers: str) -> tuple[int, bytes]:
    """Status and body; a body may be an iterator of pieces, and ``url`` a path."""
    address = urlsplit(url)
    place = urlsplit(box.endpoint)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)
    try:
        headers = {"Authorization": f"Bearer {box.token}", **headers}
        path = address.path + (f"?{address.query}" if address.query else "")
        connection.request(method, path, body, headers)  # type: ignore[arg-type]
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def commit(box: HubBox, *lines: bytes | Iterator[bytes]) -> int:
    header = {"key": "header", "value": {"summary": "large"}}

    def body() -> Iterator[bytes]:
        yield json.dumps(header).encode() + b"\n"
        for line in lines:
            yield from [line] if isinstance(line, bytes) else line

    return ask(box, "POST", f"/api/models/{REPO}/commit/main", body())[0]


def in_the_commit(box: HubBox, content: bytes) -> int:
    """Upload it as clients do that may have Xet."""

    def line() -> Iterator[bytes]:
        yield b'{"key": "file", "value": {"path": "w.bin", "encoding": "base64", "content": "'
        for start in range(0, len(content), PIECE):
            yield base64.b64encode(content[start : start + PIECE])
        yield b'"}}\n'

    return commit(box, line())


def by_lfs(box: HubBox, content: bytes) -> int:
    """Upload it as adapter-hub does."""
    oid = hashlib.sha256(content).hexdigest()
    asked = {"operation": "upload", "objects": [{"oid": oid, "size": len(content)}]}
    _, told = ask(box, "POST", f"/{REPO}.git/info/lfs/objects/batch", json.dumps(asked))
    actions = json.loads(told)["objects"][0].get("actions")
    if actions:
        status, _ = ask(box, "PUT", actions["upload"]["href"], content)
        assert status == 200
    change = {"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": oid}}
    return commit(box, json.dumps(change).encode() + b"\n")


WAYS = pytest.mark.parametrize("upload", [in_the_commit, by_lfs])


@WAYS
def test_a_kill_at_any_moment_of_an_upload(tmp_path: Path, upload: Upload) -> None:
    moments = random.Random(7)
    with HubBox(tmp_path / "box") as box:
        HfApi(endpoint=box.endpoint, token=box.token).create_repo(REPO)
        content = os.urandom(24 << 20)
        start = time.monotonic()
        assert upload(box, content) == 200
        took = time.monotonic() - start
    repository = Store(tmp_path / "box").repository("model", REPO)
    interrupted = 0
    for _ in range(KILLS):
        content = os.urandom(24 << 20)
        ended: list[int] = []
        with HubBox(tmp_path / "box") as box:

            def run(box: HubBox = box, content: bytes = content, ended: list[int] = ended) -> None:
                try:
                    ended.append(upload(box, content))
                except (OSError, http.client.HTTPException):
                    ended.append(0)

            thread = threading.Thread(target=run)
            thread.start()
            time.sleep(moments.uniform(0, took))
            assert box.process
            box.process.kill()
            thread.join()
        interrupted += ended != [200]
        all_is_whole(repository)
        if ended == [200]:
            assert served(tmp_path / "box") == content
    assert interrupted
    with HubBox(tmp_path / "box") as box:
        assert upload(box, content) == 200
    all_is_whole(repository)
    assert served(tmp_path / "box") == content


def all_is_whole(repository: Repository) -> None:
    """Also what no commit names is what its name says."""
    complete(repository)
    for blob in repository.blobs.folder.glob("??/*"):
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


def served(folder: Path) -> bytes:
    with HubBox(folder) as box:
        status, content = ask(box, "GET", f"/{REPO}/resolve/main/w.bin", None)
    assert status == 200
    return content


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads memory from /proc")
@WAYS
def test_a_large_file_costs_the_server_little_memory(
    tmp_path: Path, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with HubBox(tmp_path / "box") as box:
        api = HfApi(endpoint=box.endpoint, token=box.token)
        api.create_repo(REPO)
        ask(box, "GET", "/", None)

        def peak() -> int:
            assert box.process
            status = Path(f"/proc/{box.process.pid}/status").read_text()
            return int(status.partition("VmHWM:")[2].split()[0]) >> 10

        before = peak()
        content = os.urandom(300 << 20)
        assert upload(box, content) == 200
        got = Path(api.hf_hub_download(REPO, "w.bin", cache_dir=tmp_path / "cache"))
        assert hashlib.sha256(got.read_bytes()).digest() == hashlib.sha256(content).digest()
        print(f"{upload.__name__}: {peak() - before} MB")
        assert peak() - before < 60
