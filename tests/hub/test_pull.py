"""Pulls from a real Hub: verified, resumed, and never half there."""

from __future__ import annotations

import json
import shutil
from typing import Any

import tomli
import workshop
from huggingface_hub import CommitOperationAdd, HfApi

from tests.hub.conftest import User


def registry(user: User) -> dict[str, Any]:
    return tomli.loads((user.folder / "registry.toml").read_text())


def test_what_one_pushes_another_pulls_and_runs(
    ann: User, ben: User, api: HfApi, base_repo: str
) -> None:
    pushed = ann.json("push", "sums", "local/story", "--base-repo", base_repo)
    pulled = ben.json("pull", "local/story", "--as", "adding")
    assert (pulled["name"], pulled["version"], pulled["new"]) == ("adding", 1, True)
    assert pulled["revision"] == pushed["revision"]
    found = registry(ben)
    assert found["bases"]["llama"] == {
        "source": f"hf:{base_repo}",
        "revision": api.model_info(base_repo).sha,
    }
    entry = found["adapters"]["adding"]
    assert entry["training"]["steps"] == 6
    assert entry["versions"]["1"]["hub"]["repo"] == "local/story"
    hers = ann.folder / "adapters/sums/1/adapter_model.safetensors"
    his = ben.folder / "adapters/adding/1/adapter_model.safetensors"
    assert his.read_bytes() == hers.read_bytes()
    ask = ("--greedy", "--max-new-tokens", "8", "--dtype", "float32")
    answers = [
        ann.json("run", "sums", "Q: 2 plus one?", *ask)["text"],
        ben.json("run", "adding", "Q: 2 plus one?", *ask)["text"],
    ]
    assert answers[0] == answers[1]
    place = {"repo": "local/story", "revision": pushed["revision"]}
    assert workshop.journal(ann.folder)[-1] == {
        "event": "push",
        "adapter": "sums",
        "version": 1,
        **place,
    }
    assert workshop.journal(ben.folder) == [
        {"event": "pull", "adapter": "adding", "version": 1, **place}
    ]
    assert not (ben.folder / "adapters/.pulls").exists()


def test_a_commit_is_fetched_once(ann: User, ben: User, base_repo: str, box: Any) -> None:
    pushed = ann.json("push", "sums", "local/once", "--base-repo", base_repo)
    ben.json("pull", "local/once")
    before = len(box.log().splitlines())
    again = ben.json("pull", "local/once")
    assert (again["new"], again["version"]) == (False, 1)
    assert len(box.log().splitlines()) == before + 1
    exact = ben.json("pull", f"local/once@{pushed['revision']}")
    assert exact["new"] is False
    assert len(box.log().splitlines()) == before + 1


def test_one_commit_under_two_names(ann: User, ben: User, base_repo: str) -> None:
    ann.json("push", "sums", "local/names", "--base-repo", base_repo)
    ben.json("pull", "local/names")
    again = ben.json("pull", "local/names", "--as", "other")
    assert (again["name"], again["version"], again["new"]) == ("other", 1, True)
    assert ben.json("pull", "local/names", "--as", "other")["new"] is False


def test_a_new_commit_is_the_next_version(ann: User, ben: User, base_repo: str) -> None:
    ann.json("push", "sums", "local/grows", "--base-repo", base_repo)
    ben.json("pull", "local/grows")
    workshop.run_training(ann.folder, "sums", seed=5)
    ann.json("push", "sums", "--base-repo", base_repo)
    assert ben.json("pull", "local/grows")["version"] == 2
    assert ben.json("pull", "local/grows@v1")["version"] == 1


def test_a_repository_is_the_adapter_that_it_became(ann: User, ben: User, base_repo: str) -> None:
    ann.json("push", "sums", "local/known", "--base-repo", base_repo)
    ben.json("pull", "local/known", "--as", "adding")
    workshop.run_training(ann.folder, "sums", seed=5)
    ann.json("push", "sums")
    told = ben.json("pull", "local/known")
    assert (told["name"], told["version"], told["new"]) == ("adding", 2, True)
    ben.json("pull", "local/known", "--as", "again")
    workshop.run_training(ann.folder, "sums", seed=6)
    ann.json("push", "sums")
    refused = ben("pull", "local/known")
    assert refused.returncode == 2
    assert "local/known is several adapters here: adding, again." in refused.stderr
    assert ben.json("pull", "local/known", "--as", "again")["version"] == 2


def test_a_commit_that_edits_the_card_is_the_same_version(
    ann: User, ben: User, api: HfApi, base_repo: str
) -> None:
    first = ann.json("push", "sums", "local/worded", "--base-repo", base_repo)
    ben.json("pull", "local/worded")
    for user in ("ann", "ben"):
        api.upload_file(
            path_or_fileobj=f"# Of {user}\n".encode(),
            path_in_repo="README.md",
            repo_id="local/worded",
        )
    head = api.model_info("local/worded").sha
    told = ben.json("pull", "local/worded")
    assert (told["version"], told["new"], told["revision"]) == (1, False, head)
    # Also to the one who pushed it, whose files name the base in another way.
    back = ann.json("pull", "local/worded", "--as", "sums")
    assert (back["version"], back["new"], back["revision"]) == (1, False, head)
    older = ann.json("pull", f"local/worded@{first['revision']}", "--as", "sums")
    assert (older["version"], older["new"]) == (1, False)
    assert not (ben.folder / "adapters/.pulls").exists()
    config = json.loads((ann.folder / "adapters/sums/1/adapter_config.json").read_text())
    changed = json.dumps({**config, "lora_alpha": 99}).encode()
    api.upload_file(
        path_or_fileobj=changed, path_in_repo="adapter_config.json", repo_id="local/worded"
    )
    assert ben.json("pull", "local/worded", "--dry-run")["new"] is True


def test_a_base_that_only_i_know(ann: User, ben: User, api: HfApi, bases: Any) -> None:
    """A repository of plain PEFT often names a folder of somebody's machine."""
    api.create_repo("local/unplaced")
    api.upload_folder(
        repo_id="local/unplaced",
        folder_path=ann.folder / "adapters/sums/1",
        ignore_patterns=["adapter_hub.json"],
    )
    shutil.copytree(bases["llama"], ben.folder / "llama")
    assert ben("base", "add", "mine", "path:llama").returncode == 0
    refused = ben("pull", "local/unplaced")
    assert refused.returncode == 2
    assert "if it is a base of yours: adapter-hub pull local/unplaced --base BASE" in refused.stderr
    assert not (ben.folder / "adapters/.pulls").exists()
    assert ben("pull", "local/unplaced", "--base", "mime").returncode == 2
    told = ben.json("pull", "local/unplaced", "--base", "mine")
    assert (told["base"], told["version"]) == ("mine", 1)


def test_what_is_wrong_with_a_file_is_told_of_the_repository(
    ben: User, api: HfApi, base_repo: str
) -> None:
    api.create_repo("local/garbled")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        api.upload_file(path_or_fileobj=b"{", path_in_repo=name, repo_id="local/garbled")
    for command in (("pull", "local/garbled"), ("check", "hf:local/garbled")):
        refused = ben(*command)
        assert refused.returncode == 1
        assert "local/garbled/adapter_config.json is not JSON" in refused.stderr
    assert not (ben.folder / "adapters/.pulls").exists()


def test_a_recipe_cannot_name_files_of_this_machine(
    ann: User, ben: User, api: HfApi, base_repo: str
) -> None:
    ann.json("push", "sums", "local/reaching", "--base-repo", base_repo)
    record = json.loads((ann.folder / "adapters/sums/1/adapter_hub.json").read_text())
    record["recipe"] |= {"data": "/etc/passwd", "eval_data": "..\\..\\secret"}
    record["base"] = {}
    api.upload_file(
        path_or_fileobj=json.dumps(record).encode(),
        path_in_repo="adapter_hub.json",
        repo_id="local/reaching",
    )
    ben.json("pull", "local/reaching")
    recipe = tomli.loads((ben.folder / "registry.toml").read_text())["adapters"]["reaching"]
    assert (recipe["data"], recipe["eval_data"]) == ("passwd", "secret")


def test_pull_then_push_again(ann: User, ben: User, api: HfApi, base_repo: str) -> None:
    ann.json("push", "sums", "local/both", "--base-repo", base_repo)
    ben.json("pull", "local/both")
    workshop.run_training(ann.folder, "sums", seed=5)
    ann.json("push", "sums", "--base-repo", base_repo)
    # Ben's own next version: the first one's files under another commit would be no change.
    refused = ben("push", "both@1")
    assert refused.returncode == 4, refused.stderr
    ben.json("pull", "local/both")
    assert ben.json("push", "both@1")["committed"]


def test_a_dry_run_writes_nothing(ann: User, ben: User, base_repo: str) -> None:
    ann.json("push", "sums", "local/drypull", "--base-repo", base_repo)
    before = (ben.folder / "registry.toml").read_bytes()
    told = ben.json("pull", "local/drypull", "--dry-run")
    assert told["version"] is None
    assert told["bytes"] > 0
    assert (ben.folder / "registry.toml").read_bytes() == before
    assert not list((ben.folder / "adapters").rglob("*.safetensors"))


def test_another_pin_of_the_base(ann: User, ben: User, base_repo: str) -> None:
    ann.json("push", "sums", "local/drift", "--base-repo", base_repo)
    other = "0" * 40
    with (ben.folder / "registry.toml").open("a") as file:
        file.write(f'\n[bases.mine]\nsource = "hf:{base_repo}"\nrevision = "{other}"\n')
    refused = ben("pull", "local/drift")
    assert refused.returncode == 5
    assert other in refused.stderr
    taken = ben("pull", "local/drift", "--allow-base-drift")
    assert taken.returncode == 0, taken.stderr
    assert f"it is checked against, and runs on, hf:{base_repo} at " in taken.stderr


def test_a_taken_name(ann: User, ben: User, base_repo: str) -> None:
    ann.json("push", "sums", "local/first", "--base-repo", base_repo)
    ann.json("push", "sums", "local/second", "--base-repo", base_repo)
    ben.json("pull", "local/first", "--as", "mine")
    refused = ben("pull", "local/second", "--as", "mine")
    assert refused.returncode == 4
    assert "--as NAME" in refused.stderr


def test_no_pickle_and_no_other_file(ann: User, ben: User, api: HfApi, base_repo: str) -> None:
    api.create_repo("local/pickle")
    config = CommitOperationAdd("adapter_config.json", b'{"peft_type": "LORA"}')
    pickle = CommitOperationAdd("adapter_model.bin", b"\x80\x04")
    api.create_commit("local/pickle", [config, pickle], commit_message="x")
    refused = ben("pull", "local/pickle")
    assert refused.returncode == 2
    assert "only adapter_model.bin, a pickle" in refused.stderr
    ann.json("push", "sums", "local/more", "--base-repo", base_repo)
    more = CommitOperationAdd("sub/adapter_config.json", b"{}")
    api.create_commit("local/more", [more], commit_message="x")
    pulled = ben.json("pull", "local/more")
    assert "sub/adapter_config.json" not in pulled["files"]
