"""Another machine made equal to registry.lock, from a real Hub."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import workshop
from huggingface_hub import HfApi

from adapter_hub.registry.lockfile import lock_path, resolve_registry, write_lock
from adapter_hub.registry.store import Registry
from adapter_hub.registry.verify import verify
from adapter_hub.registry.versions import REPORTS
from tests.hub.conftest import User, make_user

ASK = ("Q: 2 plus one?", "--greedy", "--max-new-tokens", "8", "--dtype", "float32")


def belonging(folder: Path) -> list[Path]:
    """The files of a version, without its reports, which stay where it was trained."""
    return [path for path in folder.iterdir() if path.name not in REPORTS]


def clone(user: User, folder: Path, box: Any) -> User:
    """Another machine, with what git has of somebody's project."""
    other = make_user(folder, box)
    for name in ("registry.toml", "registry.lock"):
        shutil.copy(user.folder / name, folder / name)
    return other


def states(told: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["state"] for each in (*told["bases"], *told["versions"])}


@pytest.fixture
def hers(ann: User, base_repo: str, api: HfApi) -> User:
    """Ann's ``sums`` alone, retrained on the Hub's base."""
    sha = api.model_info(base_repo).sha
    (ann.folder / "registry.toml").write_text(
        f'schema = 1\n\n[bases.llama]\nsource = "hf:{base_repo}"\nrevision = "{sha}"\n'
    )
    shutil.rmtree(ann.folder / "adapters")
    done = ann("train", "sums", "--base", "llama", "--data", "rows.jsonl", "--steps", "3")
    assert done.returncode == 0, done.stderr
    return ann


def test_what_was_trained_and_pushed_comes_as_it_was(hers: User, box: Any, tmp_path: Path) -> None:
    hers.json("push", "sums", "local/locked")
    assert hers("lock").returncode == 0
    cid = clone(hers, tmp_path / "cid", box)
    before = (cid.folder / "registry.toml").read_bytes()
    assert states(cid.json("sync", "--frozen")) == {"llama": "fetched", "sums@1": "fetched"}
    assert [each.problems for each in verify(registry=Registry.open(cid.folder))] == [[]]
    for path in belonging(hers.folder / "adapters/sums/1"):
        assert (cid.folder / "adapters/sums/1" / path.name).read_bytes() == path.read_bytes()
    assert (cid.folder / "registry.toml").read_bytes() == before
    assert sorted(each.name for each in (cid.folder / "adapters").iterdir()) == ["sums"]
    answers = [each.json("run", "sums", *ASK)["text"] for each in (hers, cid)]
    assert answers[0] == answers[1]
    # All is there: nothing is asked for.
    lines = len(box.log().splitlines())
    assert states(cid.json("sync", "--frozen")) == {"llama": "here", "sums@1": "here"}
    assert len(box.log().splitlines()) == lines


def test_a_base_that_was_a_folder_where_it_was_trained(
    ann: User, box: Any, base_repo: str, tmp_path: Path
) -> None:
    """Its config and record name the folder; those on the Hub the repository."""
    ann.json("push", "sums", "local/foldered", "--base-repo", base_repo)
    ann("lock")
    cid = clone(ann, tmp_path / "cid", box)
    told = cid("sync", "--json")
    assert told.returncode == 1
    assert "bundle create FILE REF --with-bases" in told.stderr
    shutil.copytree(ann.folder / "bases", cid.folder / "bases")
    done = cid("sync")
    assert done.returncode == 1, "conv and talk are on no Hub"
    assert "conv@1 is on no Hub, and its files are not here." in done.stderr
    assert "adapter-hub push conv@1 OWNER/REPO" in done.stderr
    for path in belonging(ann.folder / "adapters/sums/1"):
        assert (cid.folder / "adapters/sums/1" / path.name).read_bytes() == path.read_bytes()


def test_what_was_pulled_comes_at_its_commit(
    ann: User, ben: User, api: HfApi, box: Any, base_repo: str, tmp_path: Path
) -> None:
    ann.json("push", "sums", "local/moved", "--base-repo", base_repo)
    ben.json("pull", "local/moved")
    ben("lock")
    workshop.run_training(ann.folder, "sums", seed=5)
    ann.json("push", "sums")
    cid = clone(ben, tmp_path / "cid", box)
    assert states(cid.json("sync", "--frozen"))["moved@1"] == "fetched"
    his, hers = (each.folder / "adapters/moved/1" for each in (ben, cid))
    for path in his.iterdir():
        assert (hers / path.name).read_bytes() == path.read_bytes()


def test_what_plain_peft_pushed(
    ann: User, ben: User, api: HfApi, box: Any, base_repo: str, tmp_path: Path
) -> None:
    """No record came with it: the one that the pull wrote is made again."""
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(ann.folder / "adapters/sums/1" / name, plain)
    workshop.edit_json(plain / "adapter_config.json", base_model_name_or_path=base_repo)
    api.create_repo("local/plain", exist_ok=True)
    api.upload_folder(repo_id="local/plain", folder_path=plain)
    ben.json("pull", "local/plain")
    ben("lock")
    cid = clone(ben, tmp_path / "cid", box)
    assert states(cid.json("sync", "--frozen"))["plain@1"] == "fetched"
    assert [each.problems for each in verify(registry=Registry.open(cid.folder))] == [[]]


def test_frozen_refuses_a_lock_that_is_out_of_date(hers: User, box: Any) -> None:
    hers.json("push", "sums", "local/frozen")
    lines = len(box.log().splitlines())
    assert hers("sync", "--frozen").returncode == 4
    hers("lock")
    assert hers("sync", "--frozen").returncode == 0
    Registry.open(hers.folder).edit_adapter("sums", lambda entry: entry.update(aliases={"prod": 1}))
    lock = lock_path(Registry.open(hers.folder)).read_bytes()
    refused = hers("sync", "--frozen")
    assert refused.returncode == 4
    assert "disagree: adapter sums has another aliases" in refused.stderr
    assert lock_path(Registry.open(hers.folder)).read_bytes() == lock
    told = hers.json("sync")
    assert told["locked"] is True
    assert "prod" in lock_path(Registry.open(hers.folder)).read_text()
    assert len(box.log().splitlines()) == lines


def test_what_is_not_what_was_recorded_does_not_come(
    hers: User, api: HfApi, box: Any, tmp_path: Path
) -> None:
    pushed = hers.json("push", "sums", "local/other")
    registry = Registry.open(hers.folder)
    registry.edit_adapter(
        "sums",
        lambda entry: entry["versions"]["1"]["files"].update(
            {"adapter_model.safetensors": "sha256:" + "0" * 64}
        ),
    )
    write_lock(registry, resolve_registry(registry))
    cid = clone(hers, tmp_path / "cid", box)
    done = cid("sync", "--frozen")
    assert done.returncode == 1
    assert f"local/other at {pushed['revision']} does not hold sums@1" in done.stderr
    assert "adapter_model.safetensors is not what was recorded" in done.stderr
    assert not (cid.folder / "adapters/sums/1").exists()


def test_files_that_were_changed_here_stay(hers: User, box: Any) -> None:
    hers.json("push", "sums", "local/changed")
    hers("lock")
    weights = hers.folder / "adapters/sums/1/adapter_model.safetensors"
    workshop.flip_byte(weights)
    content = weights.read_bytes()
    done = hers("sync", "--frozen")
    assert done.returncode == 1
    assert "adapter_model.safetensors was changed" in done.stderr
    assert weights.read_bytes() == content
