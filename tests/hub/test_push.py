"""Pushes to a real Hub: what arrives, when nothing does, and what is never overwritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli
import workshop
from hubbox import HubBox
from huggingface_hub import CommitOperationAdd, HfApi

from tests.hub.conftest import User


def hub_entry(user: User, name: str = "sums", number: str = "1") -> dict[str, Any]:
    document = tomli.loads((user.folder / "registry.toml").read_text())
    entry: dict[str, Any] = document["adapters"][name]["versions"][number].get("hub", {})
    return entry


def read(api: HfApi, repo: str, path: str, tmp_path: Path, revision: str | None = None) -> bytes:
    found = api.hf_hub_download(repo, path, revision=revision, cache_dir=tmp_path / "cache")
    return Path(found).read_bytes()


def commits(api: HfApi, repo: str) -> list[str]:
    return [each.commit_id for each in api.list_repo_commits(repo)]


def test_a_version_travels_and_is_remembered(
    ann: User, api: HfApi, base_repo: str, tmp_path: Path
) -> None:
    done = ann.json("push", "sums", "local/travels", "--base-repo", base_repo, "--tag", "best")
    assert done["committed"]
    assert {each["state"] for each in done["files"]} == {"new"}
    head = api.model_info("local/travels").sha
    assert hub_entry(ann)["revision"] == done["revision"] == head
    folder = ann.folder / "adapters/sums/1"
    weights = read(api, "local/travels", "adapter_model.safetensors", tmp_path)
    assert weights == (folder / "adapter_model.safetensors").read_bytes()
    config = json.loads(read(api, "local/travels", "adapter_config.json", tmp_path))
    assert config["base_model_name_or_path"] == base_repo
    assert config["revision"] == api.model_info(base_repo).sha
    card = read(api, "local/travels", "README.md", tmp_path).decode()
    assert "base_model: local/llama" in card
    tags = {each.name: each.target_commit for each in api.list_repo_refs("local/travels").tags}
    assert tags == {"v1": head, "best": head}
    everything = b"".join(
        read(api, "local/travels", name, tmp_path)
        for name in api.list_repo_files("local/travels")
        if name != ".gitattributes"
    )
    for secret in (str(ann.folder), str(Path.home()) + "/", ann.environment["HF_TOKEN"]):
        assert secret.encode() not in everything


def test_a_second_push_sends_nothing(ann: User, api: HfApi, base_repo: str) -> None:
    ann.json("push", "sums", "local/twice", "--base-repo", base_repo)
    before = commits(api, "local/twice")
    again = ann.json("push", "sums", "--base-repo", base_repo)
    assert (again["committed"], again["bytes"], again["repo"]) == (False, 0, "local/twice")
    assert commits(api, "local/twice") == before


def test_a_dry_run_writes_nothing(ann: User, api: HfApi, base_repo: str) -> None:
    before = (ann.folder / "registry.toml").read_bytes()
    told = ann.json("push", "sums", "local/dry", "--base-repo", base_repo, "--dry-run")
    assert told["bytes"] > 0
    assert told["revision"] is None
    assert not api.repo_exists("local/dry")
    assert (ann.folder / "registry.toml").read_bytes() == before


def test_the_next_version_goes_on_top(
    ann: User, api: HfApi, base_repo: str, tmp_path: Path
) -> None:
    first = ann.json("push", "sums", "local/next", "--base-repo", base_repo)
    workshop.run_training(ann.folder, "sums", seed=5)
    second = ann.json("push", "sums", "--base-repo", base_repo)
    assert second["version"] == 2
    assert commits(api, "local/next")[:2] == [second["revision"], first["revision"]]
    weights = read(api, "local/next", "adapter_model.safetensors", tmp_path, "v1")
    assert weights == (ann.folder / "adapters/sums/1/adapter_model.safetensors").read_bytes()


def test_a_commit_of_somebody_else_is_not_overwritten(
    ann: User, api: HfApi, base_repo: str
) -> None:
    ann.json("push", "sums", "local/shared", "--base-repo", base_repo)
    operation = CommitOperationAdd("adapter_config.json", b"{}")
    api.create_commit("local/shared", [operation], commit_message="mine")
    workshop.run_training(ann.folder, "sums", seed=6)
    refused = ann("push", "sums", "--base-repo", base_repo)
    assert refused.returncode == 4
    pull, push = "pull local/shared --as sums", "push sums@2 local/shared"
    assert f"pull, then push again: adapter-hub {pull} && adapter-hub {push}\n" in refused.stderr
    assert commits(api, "local/shared")[0] not in (hub_entry(ann)["revision"], "")
    assert not hub_entry(ann, number="2")


def test_what_a_refused_push_advises_works(
    ann: User, ben: User, api: HfApi, base_repo: str
) -> None:
    """The newest version is then the pulled one, so the advice names one's own by its number."""
    ann.json("push", "sums", "local/advised", "--base-repo", base_repo)
    ben.json("pull", "local/advised", "--as", "theirs")
    workshop.run_training(ann.folder, "sums", seed=6)
    ann.json("push", "sums")
    refused = ben("push", "theirs", "local/advised")
    assert refused.returncode == 4
    advice = refused.stderr.splitlines()[-1].partition(": ")[2]
    for command in advice.split(" && "):
        done = ben(*command.split()[1:])
        assert done.returncode == 0, done.stderr
    assert hub_entry(ben, "theirs", "1")["revision"] == api.model_info("local/advised").sha


def test_where_the_base_lies_is_said_once(ann: User, api: HfApi, base_repo: str) -> None:
    ann.json("push", "sums", "local/told-once", "--base-repo", base_repo)
    workshop.run_training(ann.folder, "sums", seed=5)
    told = ann.json("push", "sums")
    assert (told["version"], told["committed"]) == (2, True)
    assert hub_entry(ann, number="2")["base"] == f"{base_repo}@{api.model_info(base_repo).sha}"
    # Said of that base, and of no other.
    workshop.run_training(ann.folder, "sums", base="gpt2", method="lora")
    refused = ann("push", "sums")
    assert refused.returncode == 2
    assert "base 'gpt2' exists on this machine only" in refused.stderr


def test_an_edited_card_is_no_conflict(
    ann: User, api: HfApi, base_repo: str, tmp_path: Path
) -> None:
    ann.json("push", "sums", "local/card", "--base-repo", base_repo)
    card = read(api, "local/card", "README.md", tmp_path).decode()
    edited = card.replace("# sums\n", "# Sums\n\nFor my cat.\n")
    api.upload_file(path_or_fileobj=edited.encode(), path_in_repo="README.md", repo_id="local/card")
    workshop.run_training(ann.folder, "sums", seed=7)
    ann.json("push", "sums", "--base-repo", base_repo)
    renewed = read(api, "local/card", "README.md", tmp_path).decode()
    assert "For my cat." in renewed
    assert "version 2 of" in renewed


def test_a_pull_request_leaves_the_branch(ann: User, api: HfApi, base_repo: str) -> None:
    ann.json("push", "sums", "local/asked", "--base-repo", base_repo)
    head = api.model_info("local/asked").sha
    workshop.run_training(ann.folder, "sums", seed=8)
    told = ann.json("push", "sums", "--base-repo", base_repo, "--create-pr")
    assert told["pull_request"].endswith("/local/asked/discussions/1")
    assert api.model_info("local/asked").sha == head
    assert not hub_entry(ann, number="2")


def test_tags_are_told_also_where_nothing_was_sent(ann: User, api: HfApi, base_repo: str) -> None:
    ann.json("push", "sums", "local/tagged", "--base-repo", base_repo)
    done = ann("push", "sums", "--tag", "best", "--private")
    assert "local/tagged is there already, and stays as open as it is" in done.stderr
    assert "nothing was sent\ntags: v1, best\n" in done.stdout
    assert {each.name for each in api.list_repo_refs("local/tagged").tags} == {"v1", "best"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["sums", "local/x", "--tag", "a", "--create-pr"], 2, "--tag goes with a commit on the br"),
        (["sums"], 2, "has not been pushed yet, so say where to"),
        (["summs", "local/x"], 2, "did you mean 'sums'?"),
        (["sums", "local/x"], 2, "exists on this machine only"),
        (["sums", "local/x", "--remote", "team"], 2, "has no remote 'team'"),
        (["sums", "a/b/c", "--base-repo", "local/llama"], 2, "a/b/c"),
        (["sums", "other/x", "--base-repo", "local/llama"], 1, "403"),
        (["sums", "local/x", "--base-repo", "local/nothing"], 2, "base local/nothing"),
    ],
)
def test_refusals(ann: User, base_repo: str, arguments: list[str], code: int, words: str) -> None:
    before = (ann.folder / "registry.toml").read_bytes()
    done = ann("push", *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert (ann.folder / "registry.toml").read_bytes() == before


def test_a_name_alone_is_in_ones_own_account(ann: User, base_repo: str) -> None:
    told = ann.json("push", "sums", "short", "--base-repo", base_repo, "--dry-run")
    assert told["repo"] == "local/short"
    refused = ann("push", "sums", "short", "--base-repo", base_repo, HF_TOKEN="")
    assert refused.returncode == 1
    assert "there is no token for" in refused.stderr


def test_a_damaged_version_stays_here(ann: User, base_repo: str) -> None:
    workshop.flip_byte(ann.folder / "adapters/sums/1/adapter_model.safetensors")
    done = ann("push", "sums", "local/damaged", "--base-repo", base_repo)
    assert done.returncode == 3
    assert "adapter_model.safetensors was changed" in done.stderr


def test_a_dead_hub_is_said(ann: User, base_repo: str) -> None:
    done = ann(
        "push", "sums", "local/x", "--base-repo", base_repo, HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr


def test_the_environment_s_token_is_the_one_that_counts(ann: User, box: HubBox) -> None:
    """Who sets HF_TOKEN wants to be somebody else than whoever logged in here."""
    assert ann("login", typed=box.token + "\n").returncode == 0
    assert ann.json("whoami")["name"] == "local"
    refused = ann("whoami", HF_TOKEN="hf_of_somebody_else")
    assert refused.returncode == 1
    assert "Invalid user token" in refused.stderr
    assert ann("whoami", HF_TOKEN="").returncode == 0
    # Without HF_ENDPOINT that token is the public Hub's, and what was stored goes to this one.
    nobody = ann("whoami", HF_ENDPOINT="http://127.0.0.1:9", HF_TOKEN="")
    assert "there is no token for http://127.0.0.1:9" in nobody.stderr


def test_who_has_no_token_for_a_remembered_hub_is_told_how(
    ann: User, box: HubBox, base_repo: str
) -> None:
    ann.json("push", "sums", "local/remembered", "--base-repo", base_repo)
    workshop.run_training(ann.folder, "sums", seed=5)
    refused = ann("push", "sums", HF_ENDPOINT="http://127.0.0.1:9")
    assert refused.returncode == 1
    assert "needs a token, and there is none for it here" in refused.stderr
    assert f"HF_ENDPOINT={box.endpoint} adapter-hub login" in refused.stderr


def test_a_token_goes_to_its_own_hub_only(ann: User, base_repo: str) -> None:
    with (ann.folder / "registry.toml").open("a") as file:
        file.write(f'\n[remotes.team]\nendpoint = "{ann.environment["HF_ENDPOINT"]}"\n')
    elsewhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    asked = ann("whoami", "--remote", "team", **elsewhere)
    assert "there is no token for" in asked.stderr
