"""What a person does with the stock client, from the first login to the last delete.

    python client_story.py NAME           everything but models; NAME is of repositories that are new
    python client_story.py --load REPO    an adapter, by PEFT

Run by the Python of an environment that has a huggingface_hub of some version and nothing of ours;
HF_ENDPOINT, HF_TOKEN and HF_HOME say where and who. Prints a line of JSON at the end.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import huggingface_hub
from huggingface_hub import CommitOperationAdd, HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

MANY = 1010
"""Files, more than the Hub tells of in one page."""


def main(name: str) -> list[str]:
    """Live through all of it; the names of the chapters."""
    api, done = HfApi(), []
    user = api.whoami()["name"]
    repo = f"{user}/{name}"
    with tempfile.TemporaryDirectory() as folder:
        for chapter in (create, upload, stale, refs, paths, pages, snapshots, delete, private):
            chapter(api, repo, Path(folder))
            done.append(chapter.__name__)
    return done


def create(api: HfApi, repo: str, folder: Path) -> None:
    assert api.create_repo(repo).repo_id == repo
    assert api.create_repo(repo, exist_ok=True).repo_id == repo
    assert api.repo_exists(repo)
    with refused(409):
        api.create_repo(repo)


def upload(api: HfApi, repo: str, folder: Path) -> None:
    made = api.upload_file(repo_id=repo, path_or_fileobj=b"one", path_in_repo="one.txt")
    assert api.repo_info(repo).sha == made.oid
    (folder / "files" / "plots").mkdir(parents=True)
    (folder / "files" / "README.md").write_text("---\nlicense: mit\n---\n# Sums\n")
    (folder / "files" / "weights.safetensors").write_bytes(os.urandom(3 << 20))
    (folder / "files" / "plots" / "loss.png").write_bytes(os.urandom(3000))
    made = api.upload_folder(repo_id=repo, folder_path=folder / "files")
    again = api.upload_folder(repo_id=repo, folder_path=folder / "files")
    assert api.repo_info(repo).sha == made.oid == again.oid
    assert len(api.list_repo_commits(repo)) == 3
    api.create_tag(repo, tag="v1")


def stale(api: HfApi, repo: str, folder: Path) -> None:
    parent = api.repo_info(repo).sha
    one, other = (CommitOperationAdd(each, each.encode()) for each in ("two.txt", "three.txt"))
    made = api.create_commit(repo, [one], commit_message="two", parent_commit=parent)
    with refused(412):
        api.create_commit(repo, [other], commit_message="three", parent_commit=parent)
    assert api.repo_info(repo).sha == made.oid


def refs(api: HfApi, repo: str, folder: Path) -> None:
    api.create_branch(repo, branch="exp/1", revision="v1")
    made = api.upload_file(
        repo_id=repo, path_or_fileobj=b"x", path_in_repo="x.txt", revision="exp/1"
    )
    api.create_tag(repo, tag="v2", revision="exp/1", tag_message="the second")
    told = api.list_repo_refs(repo)
    assert {each.name for each in told.branches} == {"main", "exp/1"}
    assert {each.name: each.target_commit for each in told.tags}["v2"] == made.oid
    assert api.revision_exists(repo, "v2")
    with refused(409):
        api.create_tag(repo, tag="v2")
    api.delete_tag(repo, tag="v2")
    api.delete_branch(repo, branch="exp/1")
    assert not api.revision_exists(repo, "v2")


def paths(api: HfApi, repo: str, folder: Path) -> None:
    told = api.get_paths_info(repo, ["plots", "weights.safetensors", "nope"], expand=True)
    assert [each.path for each in told] == ["plots", "weights.safetensors"]
    assert told[1].lfs.size == 3 << 20
    assert {each.path for each in api.list_repo_tree(repo, "plots")} == {"plots/loss.png"}
    assert api.file_exists(repo, "one.txt")
    assert not api.file_exists(repo, "nope.txt")
    with raised(EntryNotFoundError):
        api.hf_hub_download(repo, "nope.txt")
    with raised(RevisionNotFoundError):
        api.hf_hub_download(repo, "one.txt", revision="nope")


def pages(api: HfApi, repo: str, folder: Path) -> None:
    files = [CommitOperationAdd(f"many/{n:04}.txt", b"%d" % n) for n in range(MANY)]
    api.create_branch(repo, branch="many")
    api.create_commit(repo, files, commit_message="many", revision="many")
    tree = list(api.list_repo_tree(repo, "many", revision="many"))
    assert len({each.path for each in tree}) == len(tree) == MANY


def snapshots(api: HfApi, repo: str, folder: Path) -> None:
    commit = api.repo_info(repo, revision="v1").sha
    would = snapshot_download(repo, revision="v1", dry_run=True)
    assert {each.filename for each in would} == set(api.list_repo_files(repo, revision="v1"))
    assert all(each.will_download for each in would)
    got = Path(snapshot_download(repo, revision="v1"))
    assert got.name == commit
    assert snapshot_download(repo, revision=commit) == snapshot_download(repo, revision="v1")
    assert snapshot_download(repo, revision="v1", local_files_only=True) == str(got)
    for path in ("weights.safetensors", "plots/loss.png", "README.md"):
        assert (got / path).read_bytes() == (folder / "files" / path).read_bytes()
    # The digest, not an id of Xet's, is the file's name in the cache.
    assert len((got / "weights.safetensors").resolve().name) == 64
    newest = snapshot_download(repo, local_dir=folder / "local", allow_patterns="*.txt")
    assert (Path(newest) / "two.txt").read_bytes() == b"two.txt"


def delete(api: HfApi, repo: str, folder: Path) -> None:
    api.delete_file("one.txt", repo)
    api.delete_folder("plots", repo)
    left = {".gitattributes", "README.md", "two.txt", "weights.safetensors"}
    assert set(api.list_repo_files(repo)) == left
    api.delete_repo(repo)
    assert not api.repo_exists(repo)


def private(api: HfApi, repo: str, folder: Path) -> None:
    repo, nobody = f"{repo}-private", HfApi(token=False)
    api.create_repo(repo, private=True)
    api.upload_file(repo_id=repo, path_or_fileobj=b"s", path_in_repo="s.txt")
    assert not nobody.repo_exists(repo)
    for call in (nobody.model_info, nobody.list_repo_files, nobody.snapshot_download):
        with raised(RepositoryNotFoundError):
            call(repo)
    assert Path(api.hf_hub_download(repo, "s.txt")).read_bytes() == b"s"
    api.delete_repo(repo)


class raised:
    """``with raised(ERROR):`` must end in it. There is no pytest in the environment."""

    def __init__(self, expected: type[Exception], status: int | None = None) -> None:
        self.expected, self.status = expected, status

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        assert isinstance(error, self.expected), f"not {self.expected.__name__} but {error!r}"
        if self.status is not None:
            assert error.response.status_code == self.status
        return True


def refused(status: int) -> raised:
    return raised(HfHubHTTPError, status)


def load(repo: str) -> list[str]:
    """An adapter and its base from the Hub, and a token by them."""
    import torch
    from peft import AutoPeftModelForCausalLM

    model = AutoPeftModelForCausalLM.from_pretrained(repo)
    made = model.generate(input_ids=torch.tensor([[5, 6, 7]]), max_new_tokens=1, do_sample=False)
    assert made.shape[1] <= 4
    return ["load", type(model.base_model).__name__]


if __name__ == "__main__":
    chapters = load(sys.argv[2]) if sys.argv[1] == "--load" else main(sys.argv[1])
    told = {
        "huggingface_hub": huggingface_hub.__version__,
        "xet": bool(find_spec("hf_xet")) and not constants.HF_HUB_DISABLE_XET,
        "chapters": chapters,
    }
    print(json.dumps(told))
