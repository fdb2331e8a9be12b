"""How versions here stand to a real Hub, with few requests and nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import workshop
from hubbox import HubBox
from huggingface_hub import CommitOperationAdd, HfApi

from tests.hub.conftest import User


def stands(user: User, *arguments: str) -> Any:
    before = (user.folder / "registry.toml").read_bytes()
    told = user.json("push", "--status", *arguments)
    assert (user.folder / "registry.toml").read_bytes() == before
    return told


def state(user: User, name: str) -> tuple[str, int | None]:
    [told] = stands(user, name)
    return told["state"], told["ahead"]


def commit(api: HfApi, repo: str, path: str, content: bytes) -> None:
    api.create_commit(repo, [CommitOperationAdd(path, content)], commit_message="x")


def test_the_life_of_an_adapter(
    ann: User, ben: User, api: HfApi, base_repo: str, box: HubBox
) -> None:
    repo = "local/stands"
    assert state(ann, "sums") == ("never pushed", None)
    assert stands(ann) == []
    ann.json("push", "sums", repo, "--base-repo", base_repo)
    before = len(box.log().splitlines())
    [told] = stands(ann)
    assert (told["name"], told["state"], told["ahead"]) == ("sums", "same", 0)
    assert (told["repo"], told["head"]) == (repo, api.model_info(repo).sha)
    # One of them is that of this test.
    assert len(box.log().splitlines()) == before + 2
    ben.json("pull", repo)
    workshop.run_training(ann.folder, "sums", seed=5)
    workshop.run_training(ann.folder, "sums", seed=6)
    assert state(ann, "sums") == ("ahead", 2)
    assert "ahead by 2 versions" in ann("push", "--status").stdout
    [offline] = ann.json("status", "sums")
    assert (offline["state"], offline["ahead"]) == ("ahead of the Hub", 2)
    assert offline["why"] == f"{repo} has version 1"
    ann.json("push", "sums", "--base-repo", base_repo)
    assert state(ann, "sums") == ("same", 0)
    assert state(ben, "stands") == ("behind", 0)
    ben.json("pull", repo)
    assert state(ben, "stands") == ("same", 0)
    commit(api, repo, "README.md", b"# mine\n")
    assert state(ann, "sums") == ("same", 0)
    commit(api, repo, "adapter_config.json", b"{}")
    workshop.run_training(ann.folder, "sums", seed=7)
    assert state(ann, "sums") == ("diverged", 1)
    assert ann("push", "sums", "--base-repo", base_repo).returncode == 4
    api.delete_repo(repo)
    assert state(ann, "sums") == ("gone", None)


def test_a_version_that_was_pushed_again(ann: User, base_repo: str) -> None:
    ann.json("push", "sums", "local/again", "--base-repo", base_repo)
    workshop.run_training(ann.folder, "sums", seed=5)
    ann.json("push", "sums", "--base-repo", base_repo)
    ann.json("push", "sums@1", "--base-repo", base_repo)
    assert state(ann, "sums") == ("ahead", 1)


def test_a_history_that_was_made_anew(ann: User, api: HfApi, base_repo: str) -> None:
    ann.json("push", "sums", "local/anew", "--base-repo", base_repo)
    api.delete_repo("local/anew")
    api.create_repo("local/anew")
    assert state(ann, "sums") == ("ahead", 1)
    commit(api, "local/anew", "adapter_config.json", b"{}")
    [told] = stands(ann, "sums")
    assert (told["state"], told["why"]) == ("diverged", "version 1 is not in its history any more")


def test_two_adapters_of_one_repository_are_one_request(
    ann: User, ben: User, base_repo: str, box: HubBox
) -> None:
    ann.json("push", "sums", "local/shared-by-two", "--base-repo", base_repo)
    ben.json("pull", "local/shared-by-two", "--as", "one")
    ben.json("pull", "local/shared-by-two", "--as", "two")
    before = len(box.log().splitlines())
    assert [each["state"] for each in stands(ben)] == ["same", "same"]
    assert len(box.log().splitlines()) == before + 1


def test_one_hub_that_is_dead_hides_no_other(ann: User, ben: User, base_repo: str) -> None:
    ann.json("push", "sums", "local/alive", "--base-repo", base_repo)
    ben.json("pull", "local/alive", "--as", "one")
    ben.json("pull", "local/alive", "--as", "two")
    path = ben.folder / "registry.toml"
    head, two, rest = path.read_text().partition("[adapters.two.versions.1]")
    path.write_text(head + two + rest.replace(ben.environment["HF_ENDPOINT"], "http://127.0.0.1:9"))
    told = ben("push", "--status")
    assert told.returncode == 1
    rows = {line.split()[0]: line for line in told.stdout.splitlines()}
    assert " same " in rows["one"]
    assert " unknown " in rows["two"]
    assert "cannot be reached" in rows["two"]
    assert "Error: not every Hub could be asked." in told.stderr
    with path.open("a") as file:
        file.write(f'\n[remotes.team]\nendpoint = "{ben.environment["HF_ENDPOINT"]}"\n')
    [only] = stands(ben, "--remote", "team")
    assert (only["name"], only["state"]) == ("one", "same")
    [absent] = stands(ben, "two", "--remote", "team")
    assert absent["state"] == "never pushed"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sums", "local/x"], "it pushes nothing"),
        (["sums", "--dry-run"], "it pushes nothing"),
        (["sums@1"], "of an adapter as a whole"),
        (["hf:a/b"], "of an adapter as a whole"),
        (["summs"], "did you mean 'sums'?"),
        (["--remote", "team"], "has no remote 'team'"),
    ],
)
def test_refusals(ann: User, arguments: list[str], words: str) -> None:
    done = ann("push", "--status", *arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr


def test_a_push_of_nothing(ann: User, tmp_path: Path) -> None:
    done = ann("push")
    assert done.returncode == 2
    assert "say what to push" in done.stderr
