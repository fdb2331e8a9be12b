"""Whether an adapter fits a base, asked by hand and by pull: headers travel, weights do not."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hubbox import HubBox
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from safetensors.torch import load_file, save
from transformers import AutoModelForCausalLM

from adapter_hub.errors import HubError
from adapter_hub.hub.heads import find_base_head
from adapter_hub.model import Base, Remote, parse_source
from adapter_hub.plugins import load_catalog
from tests.hub.conftest import User

WEIGHTS = "adapter_model.safetensors"
PICKLE = "adapter_model.bin"


def replaced(api: HfApi, repo: str, name: str, content: bytes, *gone: str) -> None:
    operations = [CommitOperationAdd(name, content), *map(CommitOperationDelete, gone)]
    api.create_commit(repo, operations, commit_message="x")


def widened(ann: User) -> bytes:
    """Its weights, one of them for twice as many inputs."""
    tensors = load_file(ann.folder / "adapters/sums/1" / WEIGHTS)
    name = next(each for each in sorted(tensors) if "lora_A" in each)
    tensors[name] = torch.cat([tensors[name]] * 2, dim=1)
    return save(tensors, metadata={"format": "pt"})


def whole_downloads(box: HubBox, repo: str, since: int) -> list[str]:
    """Requests for all of a file of weights: 200 is a whole file, 206 a part."""
    asked = re.compile(rf"GET /{repo}/resolve/\w+/\S+\.(safetensors|bin) 200")
    return [line for line in box.log()[since:].splitlines() if asked.search(line)]


# --- by hand -------------------------------------------------------------------------------------


def test_a_version_and_a_folder(ann: User) -> None:
    assert ann.json("check", "sums") == {
        "reference": "sums", "base": "llama", "fits": True, "misfits": [], "unchecked": []
    }  # fmt: skip
    done = ann("check", "./adapters/sums/1")
    assert (done.returncode, done.stdout) == (0, "./adapters/sums/1 fits base llama\n")


def test_another_base(ann: User) -> None:
    done = ann("check", "sums", "--base", "gpt2")
    assert done.returncode == 5
    first, *misfits = done.stdout.splitlines()
    assert first == "sums does not fit base gpt2"
    assert misfits
    assert "size mismatch" not in done.stdout
    assert "Traceback" not in done.stderr


def test_a_repository_by_its_headers(
    ann: User, ben: User, api: HfApi, base_repo: str, box: HubBox
) -> None:
    ann.json("push", "sums", "local/heads", "--base-repo", base_repo)
    since = len(box.log())
    found = ben.json("check", "hf:local/heads")
    assert (found["fits"], found["unchecked"]) == (True, [])
    assert not whole_downloads(box, "local/heads", since)
    assert not whole_downloads(box, base_repo, since)
    replaced(api, "local/heads", WEIGHTS, widened(ann))
    done = ben("check", "hf:local/heads")
    assert done.returncode == 5
    assert "it has 64 inputs and the base 32" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sumz",), "did you mean 'sums'"),
        (("sums", "--base", "nope"), "no base 'nope'"),
        (("./nope",), "there is no folder nope"),
        (("base:llama",), "takes an adapter, not a base"),
        (("sums", "--remote", "team"), "--remote goes with hf: references"),
        (("hf:local/nowhere",), "there is none, or none that you may see"),
    ],
)
def test_what_cannot_be_checked(ann: User, arguments: tuple[str, ...], words: str) -> None:
    done = ann("check", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_no_library_is_loaded_for_it(ann: User) -> None:
    code = (
        "import sys; from adapter_hub.cli.main import group\n"
        "group.main(sys.argv[1:], standalone_mode=False)\n"
        "assert not {'torch', 'transformers', 'peft', 'safetensors'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, "check", "sums", "--base", "llama"]
    done = subprocess.run(command, cwd=ann.folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "sums fits base llama\n"), done.stderr


# --- by pull -------------------------------------------------------------------------------------


def test_a_misfit_is_found_before_weights_travel(
    ann: User, ben: User, api: HfApi, base_repo: str, box: HubBox
) -> None:
    ann.json("push", "sums", "local/misfit", "--base-repo", base_repo)
    replaced(api, "local/misfit", WEIGHTS, widened(ann))
    before, since = (ben.folder / "registry.toml").read_bytes(), len(box.log())
    for more in ((), ("--dry-run",)):
        refused = ben("pull", "local/misfit", *more)
        assert refused.returncode == 5
        assert "does not fit base" in refused.stderr
        assert "it has 64 inputs and the base 32" in refused.stderr
    assert not whole_downloads(box, "local/misfit", since)
    assert (ben.folder / "registry.toml").read_bytes() == before
    assert not list((ben.folder / "adapters").rglob("*"))


def test_a_base_in_shards(
    ann: User, ben: User, api: HfApi, bases: dict[str, Path], tmp_path: Path, box: HubBox
) -> None:
    model = AutoModelForCausalLM.from_pretrained(bases["llama"])
    model.save_pretrained(tmp_path / "shards", max_shard_size="40KB")
    api.create_repo("local/shards")
    api.upload_folder(repo_id="local/shards", folder_path=tmp_path / "shards")
    ann.json("push", "sums", "local/on-shards", "--base-repo", "local/shards")
    since = len(box.log())
    told = ben("pull", "local/on-shards", "--dry-run")
    assert told.returncode == 0, told.stderr
    assert "fits base shards" in told.stdout
    assert not whole_downloads(box, "local/shards", since)


def test_a_base_that_cannot_be_reached_is_no_reason_to_stop(
    ann: User, ben: User, api: HfApi
) -> None:
    api.create_repo("local/gone")
    commit = replaced_base(api)
    ann.json("push", "sums", "local/baseless", "--base-repo", f"local/gone@{commit}")
    api.delete_repo("local/gone")
    done = ben("pull", "local/baseless", "--json")
    assert done.returncode == 0, done.stderr
    assert "whether it fits base gone, not checked: " in done.stderr
    (unchecked,) = json.loads(done.stdout)["unchecked"]
    assert "local/gone" in unchecked


def replaced_base(api: HfApi) -> str:
    """The commit of a repository that once was a base."""
    replaced(api, "local/gone", "config.json", b"{}")
    return str(api.model_info("local/gone").sha)


# --- pickled weights -----------------------------------------------------------------------------


def pickled(ann: User, api: HfApi, base_repo: str, repo: str, content: Any) -> None:
    ann.json("push", "sums", repo, "--base-repo", base_repo)
    written = io.BytesIO()
    torch.save(content, written)
    replaced(api, repo, PICKLE, written.getvalue(), WEIGHTS)


def test_pickled_weights_are_converted_when_told_to(
    ann: User, ben: User, api: HfApi, base_repo: str, box: HubBox
) -> None:
    tensors = load_file(ann.folder / "adapters/sums/1" / WEIGHTS)
    pickled(ann, api, base_repo, "local/bin", tensors)
    refused = ben("pull", "local/bin")
    assert refused.returncode == 2
    assert "--convert-pickle" in refused.stderr
    found = ben.json("pull", "local/bin", "--convert-pickle")
    folder = Path(found["path"])
    assert found["unchecked"] == []  # once converted, it has a header
    assert not (folder / PICKLE).exists()
    his = load_file(folder / WEIGHTS)
    assert all(torch.equal(his[name], each) for name, each in tensors.items())
    converted = json.loads((folder / "adapter_hub.json").read_text())["converted"]
    assert converted["from"] == PICKLE
    assert ben("verify", "bin").returncode == 0
    since = len(box.log())
    assert ben.json("pull", "local/bin", "--convert-pickle")["new"] is False
    assert not whole_downloads(box, "local/bin", since)


def test_a_pickle_that_would_run_something_does_not(
    ann: User, ben: User, api: HfApi, base_repo: str, tmp_path: Path
) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    pickled(ann, api, base_repo, "local/evil", {"a": torch.ones(2), "b": Runs()})
    refused = ben("pull", "local/evil", "--convert-pickle")
    assert refused.returncode == 2
    assert "nothing of it was run" in refused.stderr
    assert not (tmp_path / "ran").exists()
    assert not list((ben.folder / "adapters").rglob("*"))
    assert "evil" not in (ben.folder / "registry.toml").read_text()


def test_a_misfit_shows_once_it_is_converted(
    ann: User, ben: User, api: HfApi, base_repo: str
) -> None:
    tensors = load_file(ann.folder / "adapters/sums/1" / WEIGHTS)
    name = next(each for each in sorted(tensors) if "lora_B" in each)
    tensors[name] = tensors[name][:-1].clone()
    pickled(ann, api, base_repo, "local/odd", tensors)
    refused = ben("pull", "local/odd", "--convert-pickle")
    assert refused.returncode == 5
    assert "does not fit base" in refused.stderr
    assert "odd" not in (ben.folder / "registry.toml").read_text()


def test_a_hub_that_is_away_is_asked_once(own: Path) -> None:
    """The stock client asks five times, half a minute long, before it says so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        asked: list[str] = []

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    asked.append("again")
                    connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        nowhere = Remote(f"http://127.0.0.1:{server.getsockname()[1]}")
        base = Base("gone", parse_source("hf:some/base"), "a" * 40)
        with pytest.raises(HubError, match="cannot be reached"):
            find_base_head(base, load_catalog(), own, [nowhere])
        server.shutdown(socket.SHUT_RDWR)
    assert len(asked) == 1
