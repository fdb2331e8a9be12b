"""The contract as bytes on the wire: headers, ranges, errors, signed addresses."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

import pytest
from hubbox import HubBox
from huggingface_hub import HfApi

CONTENT = bytes(range(256)) * 8000


@dataclass
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(box: HubBox, method: str, path: str, data: bytes | None = None, **headers: str) -> Answer:
    url = path if path.startswith("http") else box.endpoint + path
    request = urllib.request.Request(url, data, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def send(box: HubBox, path: str, body: object, user: str = "ann", method: str = "POST") -> Answer:
    data = json.dumps(body).encode()
    return ask(box, method, path, data, Authorization=f"Bearer token-of-{user}")


@pytest.fixture
def weights(ann: HfApi, repo: str) -> str:
    """A repository with a file of 2 MB that is described as LFS."""
    ann.upload_file(repo_id=repo, path_or_fileobj=CONTENT, path_in_repo="w.safetensors")
    ann.upload_file(repo_id=repo, path_or_fileobj=b"<script>", path_in_repo="page.html")
    return repo


def test_a_download_has_the_headers_that_decide(box: HubBox, ann: HfApi, weights: str) -> None:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    for method in ("HEAD", "GET"):
        told = ask(box, method, f"/{weights}/resolve/main/w.safetensors")
        assert told.status == 200
        assert told.headers["X-Repo-Commit"] == ann.repo_info(weights).sha
        assert told.headers["ETag"] == told.headers["X-Linked-Etag"] == f'"{sha256}"'
        assert told.headers["Content-Length"] == told.headers["X-Linked-Size"] == str(len(CONTENT))
        assert told.headers["Accept-Ranges"] == "bytes"
        assert "Content-Encoding" not in told.headers
        assert not [name for name in told.headers if "xet" in name.lower()]
    assert told.body == CONTENT


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=1999990-", 1_999_990, len(CONTENT)),
        ("bytes=-7", len(CONTENT) - 7, len(CONTENT)),
    ],
)
def test_a_range_is_answered_with_206(
    box: HubBox, weights: str, asked: str, start: int, end: int
) -> None:
    told = ask(box, "GET", f"/{weights}/resolve/main/w.safetensors", Range=asked)
    assert told.status == 206
    assert told.body == CONTENT[start:end]
    assert told.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"


def test_a_range_beyond_the_end_is_refused(box: HubBox, weights: str) -> None:
    told = ask(box, "GET", f"/{weights}/resolve/main/w.safetensors", Range="bytes=99999999-")
    assert told.status == 416


def test_no_file_acts_in_the_name_of_the_hub(box: HubBox, weights: str) -> None:
    told = ask(box, "GET", f"/{weights}/resolve/main/page.html")
    assert told.headers["Content-Type"] == "application/octet-stream"
    assert told.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in told.headers["Content-Security-Policy"]


def test_errors_have_codes(box: HubBox, ann: HfApi, weights: str) -> None:
    entry = ask(box, "HEAD", f"/{weights}/resolve/main/nope")
    assert (entry.status, entry.headers["X-Error-Code"]) == (404, "EntryNotFound")
    assert entry.headers["X-Repo-Commit"] == ann.repo_info(weights).sha
    assert entry.headers["x-request-id"]
    for path, code in (
        (f"/{weights}/resolve/nope/x", "RevisionNotFound"),
        (f"/api/models/{weights}/revision/nope", "RevisionNotFound"),
        ("/api/models/ann/nope", "RepoNotFound"),
        ("/api/models/..%2F..%2Fetc/passwd", "RepoNotFound"),
        ("/api/datasets/ann/nope/tree/main", "RepoNotFound"),
        ("/gpt2/resolve/main/config.json", "RepoNotFound"),
        ("/api/models/gpt2", "RepoNotFound"),
    ):
        told = ask(box, "GET", path)
        assert (told.status, told.headers["X-Error-Code"]) == (404, code), path
        assert told.json["error"]


@pytest.mark.parametrize("name", ["%20", "x%20", "%0D%0Ax", "%00", "%7F", "%C3%A4%20", "%E2%80%A8"])
def test_an_error_about_any_name_is_an_answer(box: HubBox, repo: str, name: str) -> None:
    """It is told in a header too, where not every character may be."""
    for path in (f"/{repo}/resolve/main/{name}", f"/api/models/{repo}/revision/{name}"):
        answer = ask(box, "GET", path)
        assert 400 <= answer.status < 500
        assert answer.headers["X-Error-Message"].isprintable()


def test_a_page_begins_at_no_other_repository(box: HubBox, ann: HfApi, repo: str) -> None:
    ann.create_repo("ann/elsewhere", private=True, exist_ok=True)
    commit = ann.repo_info("ann/elsewhere").sha
    for cursor in (f"../../elsewhere/commits/{commit}", "../repository", "nope"):
        told = ask(box, "GET", f"/api/models/{repo}/commits/main?cursor={cursor}")
        assert (told.status, told.headers["X-Error-Code"]) == (404, "RevisionNotFound")


def test_lists_come_in_pages(box: HubBox, client: Callable[[str], HfApi]) -> None:
    for name in "abc":
        client("eve").create_repo(f"eve/{name}")
    found, path = [], "/api/models?author=eve&limit=2&full=1"
    while path:
        told = ask(box, "GET", path)
        found.append([each["id"] for each in told.json])
        path = (told.headers["Link"] or "").partition(">")[0].lstrip("<")
    assert found == [["eve/a", "eve/b"], ["eve/c"]]


def test_a_client_that_goes_away_leaves_nothing(box: HubBox, repo: str) -> None:
    address = urlsplit(box.endpoint)
    head = (
        f"POST /api/models/{repo}/commit/main HTTP/1.1\r\nHost: x\r\n"
        "Authorization: Bearer token-of-ann\r\nContent-Length: 9999999\r\n\r\n"
        '{"key":"header","value":{"summary":"x"}}\n{"key":"file","value":{"content":"'
    )
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode() + b"QUJD" * 700_000)
    deadline = time.monotonic() + 30
    while f"POST /api/models/{repo}/commit/main 400" not in box.log():
        assert time.monotonic() < deadline, box.log()
        time.sleep(0.01)
    assert not list((box.folder / "temporary").iterdir())
    assert "Traceback" not in box.log()


def test_private_and_absent_answer_the_same(box: HubBox, ann: HfApi) -> None:
    ann.create_repo("ann/hidden", private=True, exist_ok=True)
    paths = [
        "/api/models/ann/{}",
        "/api/models/ann/{}/tree/main",
        "/ann/{}/resolve/main/x",
        "/ann/{}",
    ]
    for path in paths:
        hidden, absent = (ask(box, "GET", path.format(name)) for name in ("hidden", "absent"))
        assert (hidden.status, hidden.body) == (absent.status, absent.body)
        unlike = {"date", "x-request-id"}
        told = [
            {(key, value) for key, value in each.headers.items() if key.lower() not in unlike}
            for each in (hidden, absent)
        ]
        assert told[0] == told[1]


def test_strangers_are_told_regular_and_ours_lfs(box: HubBox, repo: str) -> None:
    files = {"files": [{"path": "w.bin", "size": 5_000_000, "sample": ""}]}
    body, path = json.dumps(files).encode(), f"/api/models/{repo}/preupload/main"
    modes = [
        ask(
            box, "POST", path, body, **{"User-Agent": agent, "Authorization": "Bearer token-of-ann"}
        )
        for agent in ("unknown/None; hf_hub/2.4.0", "adapter-hub/0.1; hf_hub/2.4.0")
    ]
    assert [each.json["files"][0]["uploadMode"] for each in modes] == ["regular", "lfs"]
    assert set(modes[0].json["files"][0]) == {"path", "uploadMode", "shouldIgnore", "oid"}


def test_an_address_is_signed_for_one_content(box: HubBox, repo: str) -> None:
    content = os.urandom(3000)
    oid = hashlib.sha256(content).hexdigest()
    batch = {"operation": "upload", "objects": [{"oid": oid, "size": 3000}, {"oid": "x"}]}
    path = f"/{repo}.git/info/lfs/objects/batch"
    assert send(box, path, batch, "eve").status == 403
    good, bad = send(box, path, batch).json["objects"]
    assert bad["error"]["code"] == 422
    href = good["actions"]["upload"]["href"]
    verify = good["actions"]["verify"]["href"]
    assert send(box, verify, {"oid": oid, "size": 3000}).status == 404
    assert ask(box, "PUT", href, content[:-1] + b"?").status in (200, 400)
    assert ask(box, "PUT", href, content[:-1]).status == 400
    assert ask(box, "PUT", href, content + b"x").status == 400
    for old, new in ((oid, "0" * 64), ("size=3000", "size=3001"), ("expires=", "expires=9")):
        assert ask(box, "PUT", href.replace(old, new), content).status == 403
    assert ask(box, "PUT", href.partition("?")[0], content).status == 403
    assert send(box, verify, {"oid": oid, "size": 3000}).status == 404
    assert ask(box, "PUT", href, content).status == 200
    assert send(box, verify, {"oid": oid, "size": 3000}).status == 200
    assert "actions" not in send(box, path, batch).json["objects"][0]
    assert "signature" not in box.log()


def test_what_was_not_uploaded_cannot_be_committed(box: HubBox, repo: str) -> None:
    lines = [
        {"key": "header", "value": {"summary": "x"}},
        {"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": "a" * 64}},
    ]
    body = "\n".join(map(json.dumps, lines)).encode()
    told = ask(
        box,
        "POST",
        f"/api/models/{repo}/commit/main",
        body,
        Authorization="Bearer token-of-ann",
    )
    assert (told.status, "was not uploaded" in told.json["error"]) == (400, True)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"name": 3}', b"[" * 99_999])
def test_nonsense_is_a_bad_request(box: HubBox, body: bytes) -> None:
    for path in ("/api/repos/create", "/api/validate-yaml", "/api/repos/move"):
        told = ask(box, "POST", path, body, Authorization="Bearer token-of-ann")
        assert told.status == 400, path
        assert told.json["error"]


def test_what_this_hub_has_not(box: HubBox, repo: str) -> None:
    assert send(box, "/api/repos/create", {"name": "x", "type": "space"}).status == 400
    assert ask(box, "GET", f"/api/models/{repo}/xet-write-token/main").status == 404
    assert ask(box, "GET", "/api/agent-harnesses").status == 404
    assert ask(box, "POST", "/api/whoami-v2").status == 405


def test_the_log_has_a_line_for_each_request_and_no_token(box: HubBox, repo: str) -> None:
    ask(box, "GET", f"/api/models/{repo}?token=secret", Authorization="Bearer token-of-ann")
    line = box.log().splitlines()[-1]
    assert line.startswith(f"127.0.0.1 ann GET /api/models/{repo} 200 ")
    assert "token-of" not in box.log()
    assert "secret" not in line
