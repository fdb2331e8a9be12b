"""What is fetched from a Hub, by the Hub's own client from a server of this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

COMMIT = "c" * 40
TREE = f"/api/models/me/it/tree/{COMMIT}"


class SmallHub(BaseHTTPRequestHandler):
    """One repository, ``me/it``: its listing and its files."""

    files: dict[str, bytes]
    fetched: list[str]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/me/it/revision/"):
            self._answer(json.dumps({"id": "me/it", "sha": COMMIT, "siblings": []}).encode())
        elif path == TREE:
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": _tag(content)}
                for name, content in self.files.items()
            ]
            self._answer(json.dumps(entries).encode())
        elif path.startswith("/me/it/resolve/") and (name := path.split("/", 5)[5]) in self.files:
            if self.command == "GET":
                self.fetched.append(name)
            self._answer(self.files[name])
        else:
            self.send_error(404)

    do_HEAD = do_GET

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{_tag(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _tag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def server() -> Iterator[tuple[str, type[SmallHub]]]:
    handler = type("Handler", (SmallHub,), {"files": {}, "fetched": []})
    served = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_address[1]}", handler
    served.shutdown()
    thread.join()
    served.server_close()


FETCH = """
import sys
from adapter_hub.errors import AdapterHubError
from adapter_hub.loading.hub import fetch_adapter, fetch_base
from adapter_hub.model import Base, Reference, Source
revision = sys.argv[2]
try:
    if sys.argv[1] == "base":
        print(fetch_base(Base("mine", Source("hf", "me/it"), revision)))
    else:
        print(fetch_adapter(Reference("hf", "me/it", revision)))
except AdapterHubError as error:
    print(type(error).__name__, error)
"""


def fetch(url: str, home: Path, what: str, revision: str = COMMIT, offline: str = "0") -> str:
    own = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": offline}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, what, revision],
        capture_output=True,
        text=True,
        env={**os.environ, **own, "HF_HUB_DISABLE_XET": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def files(*names: str) -> dict[str, bytes]:
    """A file of each name; no two are equal, for the cache would keep those once."""
    return {name: json.dumps({"name": name}).encode() for name in names}


COMMON = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
ASIDE = [
    "README.md",
    "pytorch_model.bin",
    "consolidated.safetensors",
    "model.fp16.safetensors",
    "onnx/config.json",
    "onnx/model.safetensors",
    "checkpoint-5/model.safetensors",
    "adapter_config.json",
]


@pytest.mark.parametrize("revision", [COMMIT, "main"])
def test_of_a_base_what_transformers_loads(
    server: tuple[str, type[SmallHub]], tmp_path: Path, revision: str
) -> None:
    url, hub = server
    wanted = files(*COMMON, "model.safetensors", "merges.txt")
    shards = files("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    hub.files = {**wanted, **shards, **files(*ASIDE)}
    folder = Path(fetch(url, tmp_path, "base", revision))
    assert sorted(path.name for path in folder.iterdir()) == sorted(wanted)
    assert sorted(hub.fetched) == sorted(wanted)
    assert fetch(url, tmp_path, "base", revision, offline="1") == str(folder)


def test_of_a_base_in_shards_those_of_its_index(
    server: tuple[str, type[SmallHub]], tmp_path: Path
) -> None:
    url, hub = server
    index = {"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
    wanted = files(*COMMON, "part-1.safetensors", "part-2.safetensors")
    wanted["model.safetensors.index.json"] = json.dumps(index).encode()
    hub.files = {**wanted, **files(*ASIDE)}
    folder = Path(fetch(url, tmp_path, "base"))
    assert sorted(path.name for path in folder.iterdir()) == sorted(wanted)


def test_a_base_that_is_not_there(server: tuple[str, type[SmallHub]], tmp_path: Path) -> None:
    url, _ = server
    told = fetch(url, tmp_path, "base", offline="1")
    assert told == (
        "BaseModelError base 'mine' (hf:me/it) is not in the cache, and the Hub cannot be reached."
    )


def test_of_an_adapter_its_own_files(server: tuple[str, type[SmallHub]], tmp_path: Path) -> None:
    url, hub = server
    wanted = files("adapter_config.json", "adapter_model.safetensors", "adapter_hub.json")
    aside = ["model.safetensors", "optimizer.pt", "checkpoint-5/adapter_model.safetensors"]
    hub.files = {**wanted, **files(*aside, "checkpoint-5/adapter_config.json")}
    folder = Path(fetch(url, tmp_path, "adapter", "main"))
    assert sorted(path.name for path in folder.iterdir()) == sorted(wanted)
    assert sorted(hub.fetched) == sorted(wanted)


def test_of_a_whole_model_no_byte_is_fetched_as_an_adapter(
    server: tuple[str, type[SmallHub]], tmp_path: Path
) -> None:
    url, hub = server
    hub.files = files("config.json", "model.safetensors", "tokenizer.json")
    told = fetch(url, tmp_path, "adapter")
    assert told == "UsageError hf:me/it@" + COMMIT + (
        " has no adapter_config.json, so it is not a PEFT adapter."
    )
    assert hub.fetched == []
