"""What travels, what stays, and what has changed."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import workshop
from hypothesis import given
from hypothesis import strategies as st

from adapter_hub.errors import UsageError
from adapter_hub.hub.files import (
    RemoteFile,
    base_to_name,
    compare,
    git_blob_id,
    outgoing,
)
from adapter_hub.model import Base, Source
from adapter_hub.registry.store import Registry

COMMIT = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
GPT2 = Base("gpt2", Source("hf", "openai-community/gpt2"), COMMIT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = {"peft_type": "LORA", "base_model_name_or_path": "bases/llama", "revision": None}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\0" * 100)
    record = {"format": 1, "base": {"name": "llama", "source": "path:bases/llama"}, "recipe": {}}
    (tmp_path / "adapter_hub.json").write_text(json.dumps(record))
    (tmp_path / "README.md").write_text("# Model Card for Model ID")
    (tmp_path / "optimizer.pt").write_bytes(b"secret")
    return tmp_path


def told(files: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(json.loads(files[name]))


def test_only_an_adapters_files_travel(folder: Path) -> None:
    names = ["adapter_config.json", "adapter_model.safetensors", "adapter_hub.json"]
    assert list(outgoing(folder, GPT2)) == names


def test_the_base_is_named_as_others_find_it(folder: Path) -> None:
    files = outgoing(folder, GPT2)
    config = told(files, "adapter_config.json")
    assert config["base_model_name_or_path"] == "openai-community/gpt2"
    assert config["revision"] == COMMIT
    record = told(files, "adapter_hub.json")
    assert record["base"]["source"] == "hf:openai-community/gpt2"
    assert record["recipe"]["base"]["revision"] == COMMIT
    assert b"bases/llama" not in b"".join(
        each for each in files.values() if isinstance(each, bytes)
    )


def test_a_file_that_needs_no_change_travels_as_it_is(folder: Path) -> None:
    config = {"base_model_name_or_path": "openai-community/gpt2", "revision": COMMIT}
    workshop.edit_json(folder / "adapter_config.json", **config)
    assert outgoing(folder, GPT2)["adapter_config.json"] == folder / "adapter_config.json"


@pytest.mark.parametrize(
    "value", ["/home/ann/data.bin", r"C:\Users\ann\x", "~/x.json", r"\\server\share"]
)
def test_paths_of_this_machine_do_not_travel(folder: Path, value: str) -> None:
    workshop.edit_json(folder / "adapter_config.json", corda_config={"cache_file": [value]})
    with pytest.raises(
        UsageError, match=r"adapter_config.json would tell .*corda_config.cache_file"
    ):
        outgoing(folder, GPT2)


def test_where_a_tokenizer_was_found_does_not_travel(folder: Path) -> None:
    told = {"name_or_path": "/home/alice/llama", "pad_token": "/", "tokenizer_class": "X"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    sent = outgoing(folder, GPT2)["tokenizer_config.json"]
    assert isinstance(sent, bytes)
    assert json.loads(sent) == {"pad_token": "/", "tokenizer_class": "X"}
    workshop.edit_json(folder / "tokenizer_config.json", init={"at": "/home/alice/llama"})
    with pytest.raises(UsageError, match=r"init\.at is '/home/alice/llama'"):
        outgoing(folder, GPT2)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "X"}')
    assert outgoing(folder, GPT2)["tokenizer_config.json"] == folder / "tokenizer_config.json"


def test_tokens_do_not_travel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdef")
    workshop.edit_json(folder / "adapter_hub.json", note="see hf_abcdef")
    with pytest.raises(UsageError, match="would tell your token: note"):
        outgoing(folder, GPT2)


def test_a_base_of_this_machine_needs_an_address(trained: Path) -> None:
    registry, folder = Registry.open(trained), trained / "adapters/sums/1"
    with pytest.raises(UsageError, match="base 'llama' exists on this machine only"):
        base_to_name(registry, folder, None)
    assert base_to_name(registry, folder, GPT2) is GPT2


@given(st.binary(max_size=300))
def test_blob_ids_are_gits(content: bytes) -> None:
    # `git hash-object` of every example would take minutes; its definition is checked below.
    expected = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
    assert git_blob_id(content) == expected


def test_git_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"some bytes\n")
    done = subprocess.run(["git", "hash-object", path], capture_output=True, text=True, check=True)
    assert git_blob_id(path) == done.stdout.strip()


def test_what_a_push_changes(folder: Path) -> None:
    files = {"adapter_config.json": b"new", "adapter_hub.json": b"same", "loss.png": b"png"}
    sha256 = hashlib.sha256(b"png").hexdigest()
    there = {
        "adapter_config.json": RemoteFile(3, git_blob_id(b"old")),
        "adapter_hub.json": RemoteFile(4, git_blob_id(b"same")),
        "loss.png": RemoteFile(3, "of the pointer", sha256),
        "tokenizer.json": RemoteFile(5, "left from another version"),
        "notes.md": RemoteFile(1, "a person's"),
    }
    states = {each.path: (each.state, each.bytes) for each in compare(files, there)}
    assert states == {
        "adapter_config.json": ("changed", 3),
        "adapter_hub.json": ("same", 0),
        "loss.png": ("same", 0),
        "tokenizer.json": ("removed", 0),
    }
    assert [each.state for each in compare(files, {})] == ["new"] * 3
