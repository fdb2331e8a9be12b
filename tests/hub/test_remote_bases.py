"""A base that lies on a Hub of the registry's: found there, fetched from there, cached apart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli
import workshop
from hubbox import HubBox
from huggingface_hub import HfApi

from tests.hub.conftest import User, make_user

DEAD = "http://127.0.0.1:9"
ASK = ("--greedy", "--max-new-tokens", "4", "--dtype", "float32")


def team(box: HubBox) -> str:
    return f'\n[remotes.team]\nendpoint = "{box.endpoint}"\n'


@pytest.fixture
def cut_off(tmp_path: Path, box: HubBox) -> User:
    """Knows the Hub as the remote ``team``; the Hub of the environment is dead. Has no token."""
    user = make_user(tmp_path / "cut-off", box, "schema = 1\n" + team(box))
    user.environment |= {"HF_ENDPOINT": DEAD, "HF_TOKEN": "hf_of_another_hub"}
    return user


@pytest.fixture
def second(tmp_path: Path) -> Iterator[HubBox]:
    with HubBox(tmp_path / "second") as running:
        yield running


@pytest.fixture(name="folders")
def _folders(bases: dict[str, Path]) -> dict[str, Path]:
    return bases


def pinned(user: User) -> dict[str, Any]:
    found: dict[str, Any] = tomli.loads((user.folder / "registry.toml").read_text())["bases"]
    return found


def test_pulled_from_a_remote_and_run_with_the_base_from_there(
    ann: User, cut_off: User, base_repo: str, box: HubBox, api: HfApi
) -> None:
    ann.json("push", "sums", "local/there", "--base-repo", base_repo)
    commit = api.model_info(base_repo).sha
    before = len(box.log().splitlines())
    pulled = cut_off.json("pull", "local/there", "--remote", "team")
    entry = {"source": f"hf:{base_repo}", "revision": commit, "remote": "team"}
    assert pinned(cut_off) == {pulled["base"]: entry}
    [listed] = cut_off.json("base", "list")
    assert (listed["remote"], listed["adapters"]) == ("team", 1)
    theirs = ann.json("run", "sums", "Q: 2 plus one?", *ASK)["text"]
    assert cut_off.json("run", "there", "Q: 2 plus one?", *ASK)["text"] == theirs
    asked = box.log().splitlines()[before:]
    assert any(f"GET /{base_repo}/resolve/" in line for line in asked)
    # The token of the environment's Hub was shown to no other.
    assert not [line for line in asked if line.split()[1] != "-"]
    home = cut_off.folder / "hf-home"
    assert not list(home.glob("hub/models--*"))
    assert list(home.glob(f"assets/adapter-hub/hubs/*/models--local--llama/snapshots/{commit}"))
    again = cut_off("run", "there", "Q: 2 plus one?", *ASK, HF_HUB_OFFLINE="1")
    assert again.stdout.rstrip("\n") == theirs


def test_a_private_base_needs_the_token_of_its_own_hub(
    ann: User, cut_off: User, api: HfApi, base_repo: str, box: HubBox, folders: dict[str, Path]
) -> None:
    api.create_repo("local/secret-llama", private=True, exist_ok=True)
    api.upload_folder(repo_id="local/secret-llama", folder_path=folders["llama"])
    ask = ("base", "add", "mine", "hf:local/secret-llama", "--remote", "team")
    refused = cut_off(*ask)
    assert refused.returncode == 1
    assert "hf:local/secret-llama cannot be resolved to a commit" in refused.stderr
    assert cut_off("login", "--remote", "team", typed=box.token + "\n").returncode == 0
    assert cut_off(*ask).returncode == 0
    assert pinned(cut_off)["mine"]["remote"] == "team"
    told = cut_off("run", "base:mine", "Q:", *ASK)
    assert told.returncode == 0, told.stderr


def test_two_hubs_with_a_repository_of_one_name(
    cut_off: User, second: HubBox, api: HfApi, base_repo: str, folders: dict[str, Path]
) -> None:
    """The second has other weights under the same name: neither is taken for the other."""
    other = HfApi(endpoint=second.endpoint, token=second.token)
    other.create_repo(base_repo)
    other.upload_folder(repo_id=base_repo, folder_path=folders["other"])
    with (cut_off.folder / "registry.toml").open("a") as file:
        file.write(f'\n[remotes.second]\nendpoint = "{second.endpoint}"\n')
    for remote in ("team", "second"):
        added = cut_off("base", "add", remote, f"hf:{base_repo}", "--remote", remote)
        assert added.returncode == 0, added.stderr
        told = cut_off.json("run", f"base:{remote}", "Q: 2 plus one?", *ASK)
        assert told["base_revision"] == pinned(cut_off)[remote]["revision"]
    hubs = cut_off.folder / "hf-home/assets/adapter-hub/hubs"
    for box, name in ((second, "other"), (None, "llama")):
        port = box.endpoint.rpartition(":")[2] if box else ""
        [weights] = hubs.glob(f"127.0.0.1-{port}*/models--*/snapshots/*/model.safetensors")
        assert weights.read_bytes() == (folders[name] / "model.safetensors").read_bytes()
        shutil.rmtree(weights.parents[3])
    # What the cache has of the one Hub's commit is not taken for the other's.
    text = (cut_off.folder / "registry.toml").read_text()
    commits = {name: each["revision"] for name, each in pinned(cut_off).items()}
    swapped = text.replace(commits["second"], commits["team"])
    (cut_off.folder / "registry.toml").write_text(swapped)
    refused = cut_off("run", "base:second", "Q:", *ASK)
    assert refused.returncode == 1
    assert f"at {second.endpoint}) " in refused.stderr


def test_a_base_that_the_remote_lacks_is_everybody_s(
    ann: User, cut_off: User, base_repo: str
) -> None:
    elsewhere = f"some/base@{'a' * 40}"
    ann.json("push", "sums", "local/elsewhere", "--base-repo", elsewhere)
    cut_off.json("pull", "local/elsewhere", "--remote", "team")
    assert pinned(cut_off)["base"] == {"source": "hf:some/base", "revision": "a" * 40}


def test_code_on_a_hub_is_fetched_and_run_only_where_it_is_trusted(
    cut_off: User, api: HfApi, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folders["llama"], tmp_path / "of-its-own"))
    (folder / "own.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'unheard_of'\n"
        "class OwnModel(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )
    workshop.edit_json(
        folder / "config.json",
        model_type="unheard_of",
        auto_map={"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"},
    )
    api.create_repo("local/of-its-own")
    api.upload_folder(repo_id="local/of-its-own", folder_path=folder)
    add = ("base", "add", "mine", "hf:local/of-its-own", "--remote", "team")
    assert cut_off(*add).returncode == 0
    refused = cut_off("run", "base:mine", "Q:", *ASK)
    assert refused.returncode == 1
    assert "needs code of its own, and adapter-hub runs none" in refused.stderr
    assert not list(cut_off.folder.rglob("own.py"))
    assert cut_off("base", "remove", "mine").returncode == 0
    assert cut_off(*add, "--trust-remote-code").returncode == 0
    assert pinned(cut_off)["mine"]["trust_remote_code"] is True
    told = cut_off("run", "base:mine", "Q:", *ASK)
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["path:rows", "--remote", "team"], "--remote goes with hf: sources"),
        (["hf:a/b", "--remote", "tea"], "has no remote 'tea' (did you mean 'team'?)"),
    ],
)
def test_refusals(cut_off: User, arguments: list[str], words: str) -> None:
    done = cut_off("base", "add", "mine", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
