"""Bad days: a transfer ends with the right bytes or with a clear error, and a repeat succeeds."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomli
import workshop
from huggingface_hub import HfApi

from tests.hub.conftest import User
from tests.hub.faults import Fault, FaultyProxy

WEIGHTS = "adapter_model.safetensors"


@dataclass
class Story:
    """An adapter of Ann's on the Hub, and what Ben is to get."""

    repo: str
    expected: bytes


@pytest.fixture
def story(ann: User, base_repo: str, request: pytest.FixtureRequest) -> Story:
    repo = f"local/f{abs(hash(request.node.name))}"
    ann.json("push", "sums", repo, "--base-repo", base_repo)
    return Story(repo, (ann.folder / "adapters/sums/1" / WEIGHTS).read_bytes())


def versions(user: User) -> dict[str, Any]:
    adapters: dict[str, Any] = tomli.loads((user.folder / "registry.toml").read_text()).get(
        "adapters", {}
    )
    return {name: each["versions"] for name, each in adapters.items()}


def pulled(user: User) -> Path:
    return user.folder / "adapters/mine/1" / WEIGHTS


@pytest.mark.parametrize("whole", [False, True], ids=["header", "file"])
@pytest.mark.parametrize("kind", ["drop", "truncate", "corrupt", "delay", "busy", "broken"])
def test_one_bad_answer_does_not_matter(ben: User, story: Story, kind: Any, whole: bool) -> None:
    fault = Fault(kind, WEIGHTS, whole=whole)
    with FaultyProxy(ben.environment["HF_ENDPOINT"], fault) as proxy:
        done = ben("pull", story.repo, "--as", "mine", HF_ENDPOINT=proxy.endpoint)
    assert done.returncode == 0, done.stderr
    assert pulled(ben).read_bytes() == story.expected


def test_a_broken_download_goes_on(ben: User, story: Story) -> None:
    fault = Fault("truncate", WEIGHTS, whole=True)
    with FaultyProxy(ben.environment["HF_ENDPOINT"], fault) as proxy:
        ben("pull", story.repo, "--as", "mine", HF_ENDPOINT=proxy.endpoint)
    assert downloads(proxy) == ["", f"bytes={len(story.expected) // 2}-"]


def downloads(proxy: FaultyProxy) -> list[str]:
    """The ranges that were asked for of the weights, headers aside."""
    asked = [each for _, path, each in proxy.requests if WEIGHTS in path]
    return [each for each in asked if not each or each.endswith("-")]


def test_a_killed_pull_goes_on_in_another_process(ben: User, story: Story) -> None:
    stall = Fault("stall", WEIGHTS, whole=True)
    with FaultyProxy(ben.environment["HF_ENDPOINT"], stall) as proxy:
        command = [*workshop.ADAPTER_HUB, "pull", story.repo, "--as", "mine"]
        environment = {**os.environ, **ben.environment, "HF_ENDPOINT": proxy.endpoint}
        with subprocess.Popen(command, cwd=ben.folder, env=environment) as killed:
            half = len(story.expected) // 2
            wait_for(lambda: [each.stat().st_size for each in parts(ben)] == [half])
            killed.kill()
        assert not versions(ben)
        done = ben("pull", story.repo, "--as", "mine", HF_ENDPOINT=proxy.endpoint)
    assert done.returncode == 0, done.stderr
    assert pulled(ben).read_bytes() == story.expected
    assert downloads(proxy) == ["", f"bytes={half}-"]
    assert not (ben.folder / "adapters/.pulls").exists()


def parts(user: User) -> list[Path]:
    return list((user.folder / "adapters").glob(f".pulls/*/*/{WEIGHTS}.part"))


def wait_for(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_digest_that_stays_wrong_is_said_and_kept(ben: User, story: Story) -> None:
    fault = Fault("corrupt", WEIGHTS, times=100)
    with FaultyProxy(ben.environment["HF_ENDPOINT"], fault) as proxy:
        refused = ben("pull", story.repo, "--as", "mine", HF_ENDPOINT=proxy.endpoint)
        assert refused.returncode == 1
        assert f"{WEIGHTS} of {story.repo} came with a wrong digest twice" in refused.stderr
        assert not versions(ben)
        assert list((ben.folder / "adapters/.pulls").rglob(f"{WEIGHTS}.wrong"))
        fault.times = 0
        done = ben("pull", story.repo, "--as", "mine", HF_ENDPOINT=proxy.endpoint)
    assert done.returncode == 0, done.stderr
    assert pulled(ben).read_bytes() == story.expected


# The client itself asks for a tree five times, over twenty seconds.
@pytest.mark.parametrize(
    "part", ["/revision/", pytest.param("/tree/", marks=pytest.mark.slow), "/api/models/"]
)
def test_a_hub_that_stays_broken_is_said(ben: User, story: Story, part: str) -> None:
    fault = Fault("drop", part, times=100)
    with FaultyProxy(ben.environment["HF_ENDPOINT"], fault) as proxy:
        arguments = ("pull", f"{story.repo}@main", "--as", "mine")
        refused = ben(*arguments, HF_ENDPOINT=proxy.endpoint)
        assert refused.returncode == 1
        assert "cannot be reached" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert not versions(ben)
        fault.times = 0
        assert ben(*arguments, HF_ENDPOINT=proxy.endpoint).returncode == 0


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [("stale", 4, "pull, then push again"), ("drop", 1, "cannot be reached"), ("broken", 1, "500")],
)
def test_a_commit_that_fails_is_said_and_can_be_repeated(
    ann: User, api: HfApi, base_repo: str, kind: Any, code: int, words: str
) -> None:
    repo, fault = f"local/commit-{kind}", Fault(kind, "/commit/", times=1, method="POST")
    with FaultyProxy(ann.environment["HF_ENDPOINT"], fault) as proxy:
        arguments = ("push", "sums", repo, "--base-repo", base_repo)
        refused = ann(*arguments, HF_ENDPOINT=proxy.endpoint)
        assert refused.returncode == code, refused.stderr
        assert words in refused.stderr
        assert "hub" not in versions(ann)["sums"]["1"]
        done = ann(*arguments, HF_ENDPOINT=proxy.endpoint)
    assert done.returncode == 0, done.stderr
    assert versions(ann)["sums"]["1"]["hub"]["revision"] == api.model_info(repo).sha


def test_an_answer_that_was_lost_is_no_second_commit(ann: User, api: HfApi, base_repo: str) -> None:
    # The commit was made, and its answer did not arrive.
    fault = Fault("truncate", "/commit/", method="POST")
    with FaultyProxy(ann.environment["HF_ENDPOINT"], fault) as proxy:
        arguments = ("push", "sums", "local/lost", "--base-repo", base_repo)
        assert ann(*arguments, HF_ENDPOINT=proxy.endpoint).returncode == 1
        made = [each.commit_id for each in api.list_repo_commits("local/lost")]
        done = ann(*arguments, HF_ENDPOINT=proxy.endpoint)
    assert done.returncode == 0, done.stderr
    assert [each.commit_id for each in api.list_repo_commits("local/lost")] == made
    assert versions(ann)["sums"]["1"]["hub"]["revision"] == made[0]
