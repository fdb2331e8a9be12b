"""Searches on a real Hub: what its tags tell, and what nobody can be asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from adapter_hub.hub.search import base_told
from tests.hub.conftest import User


@pytest.fixture
def pushed(ann: User, base_repo: str) -> str:
    """One of ours."""
    ann.json("push", "sums", "local/find-sums", "--base-repo", base_repo)
    return "local/find-sums"


@pytest.fixture
def plain(api: HfApi, trained: Path) -> str:
    """What plain PEFT makes: no card, or one that leaves out how it stands to its base."""
    if not api.repo_exists("local/find-plain"):
        api.create_repo("local/find-plain")
        config = json.loads((trained / "adapters/sums/1/adapter_config.json").read_text())
        config["base_model_name_or_path"] = "local/llama"
        add = CommitOperationAdd("adapter_config.json", json.dumps(config).encode())
        api.create_commit("local/find-plain", [add], commit_message="x")
    return "local/find-plain"


def test_adapters_by_name_and_by_base(
    ann: User, api: HfApi, base_repo: str, pushed: str, plain: str
) -> None:
    found = {each["repo"]: each for each in ann.json("search", "--base", base_repo)}
    assert {pushed, plain} <= set(found)
    assert base_repo not in found
    ours = found[pushed]
    assert (ours["base"], ours["method"], ours["private"]) == (base_repo, "lora", False)
    assert ours["updated"].endswith("Z")
    assert found[plain]["base"] == base_repo
    assert [each["repo"] for each in ann.json("search", "FIND su")] == [pushed]
    newest_first = [each["repo"] for each in ann.json("search", "find")]
    dates = [found[repo]["updated"] for repo in newest_first if repo in found]
    assert dates == sorted(dates, reverse=True)
    assert len(ann.json("search", "--limit", "1")) == 1
    assert ann.json("search", "--base", "somebody/else") == []


def test_a_base_by_the_name_it_has_here(ann: User, base_repo: str, pushed: str) -> None:
    with (ann.folder / "registry.toml").open("a") as file:
        file.write(f'\n[bases.mine]\nsource = "hf:{base_repo}"\nrevision = "{"0" * 40}"\n')
        file.write(f'\n[remotes.team]\nendpoint = "{ann.environment["HF_ENDPOINT"]}"\n')
    elsewhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    done = ann("search", "--base", "mine", "--remote", "team", **elsewhere)
    assert done.returncode == 0, done.stderr
    assert pushed in done.stdout
    assert "downloads" not in done.stdout  # this Hub counts none


def test_others_private_ones_are_not_found(ann: User, ben: User, base_repo: str) -> None:
    ann.json("push", "sums", "local/find-private", "--base-repo", base_repo, "--private")
    assert "local/find-private (private)" in ann("search", "find-private").stdout
    told = ben("search", "find-private", HF_TOKEN="")
    assert (told.returncode, told.stdout) == (0, "")
    assert "no adapter there fits" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--base", "llama"], 2, "is a folder here"),
        (["--base", "lama"], 2, "did you mean 'llama'?"),
        (["--base", "a/b/c"], 2, "does not name a repository"),
        (["--remote", "team"], 2, "has no remote 'team'"),
        (["--limit", "0"], 2, "--limit"),
    ],
)
def test_refusals(ann: User, arguments: list[str], code: int, words: str) -> None:
    done = ann("search", *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("offline", ["0", "1"])
def test_no_network_is_one_sentence(ben: User, offline: str) -> None:
    done = ben("search", HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE=offline)
    assert done.returncode == 1
    first, *hint = done.stderr.splitlines()
    assert first.startswith("Error: the list of adapters on http://127.0.0.1:9 cannot be ")
    assert len(hint) == 1


def test_bases_in_tags() -> None:
    assert base_told(["peft", "base_model:a/b", "base_model:adapter:c/d"]) == "c/d"
    assert base_told(["base_model:merge:a/b", "base_model:c/d"]) == "c/d"
    assert base_told(["lora", "plugin:tiny"]) == "plugin:tiny"
    assert base_told(["lora"]) is None
