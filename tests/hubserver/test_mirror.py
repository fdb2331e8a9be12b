"""A snapshot of the local cache, served under the commit id that it has on the Hub."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hubbox import HubBox
from huggingface_hub import HfApi

from adapter_hub.errors import UnknownNameError, UsageError, VerificationError
from adapter_hub.hubserver.mirror import mirror
from adapter_hub.hubserver.refusals import Refused


@pytest.fixture
def cache(tmp_path: Path, ann: HfApi, repo: str) -> Path:
    """A cache with two of a repository's files."""
    ann.upload_file(repo_id=repo, path_or_fileobj=os.urandom(5000), path_in_repo="w.safetensors")
    ann.upload_file(repo_id=repo, path_or_fileobj=b"{}", path_in_repo="sub/config.json")
    ann.upload_file(repo_id=repo, path_or_fileobj=b"more", path_in_repo="more.txt")
    for name in ("w.safetensors", "sub/config.json"):
        ann.hf_hub_download(repo, name, cache_dir=tmp_path / "cache")
    return tmp_path / "cache"


def test_a_base_is_found_by_its_commit(tmp_path: Path, cache: Path, ann: HfApi, repo: str) -> None:
    folder, commit = tmp_path / "box", ann.repo_info(repo).sha
    done = mirror(folder, cache, "model", repo, "main")
    assert (done.revision, done.files, done.bytes) == (commit, 2, 5002)
    ann.hf_hub_download(repo, "more.txt", cache_dir=cache)
    assert mirror(folder, cache, "model", repo, done.revision).files == 3
    with HubBox(folder) as box:
        api = HfApi(endpoint=box.endpoint, token=False)
        assert api.repo_info(repo).sha == commit
        got = Path(api.snapshot_download(repo, revision=commit, cache_dir=tmp_path / "other"))
    names = ["more.txt", "sub/config.json", "w.safetensors"]
    assert sorted(p.relative_to(got).as_posix() for p in got.rglob("*") if p.is_file()) == names
    for name in names:
        there = ann.hf_hub_download(repo, name, cache_dir=tmp_path / "third")
        assert (got / name).read_bytes() == Path(there).read_bytes()


def test_what_the_cache_has_not(tmp_path: Path, cache: Path, repo: str) -> None:
    for id, revision in ((repo, "nope"), ("ann/nope", "main"), (repo, "0" * 40)):
        with pytest.raises(UnknownNameError, match="no snapshot"):
            mirror(tmp_path / "box", cache, "model", id, revision)
    for id in ("gpt2", "a/b/c"):
        with pytest.raises(UsageError):
            mirror(tmp_path / "box", cache, "model", id, "main")
    with pytest.raises(Refused):
        mirror(tmp_path / "box", cache, "model", "../x", "main")
    assert not (tmp_path / "box").exists()


def test_a_damaged_cache_is_not_served(tmp_path: Path, cache: Path, repo: str) -> None:
    [weights] = cache.glob("*/snapshots/*/w.safetensors")
    weights.resolve().write_bytes(b"damaged")
    with pytest.raises(VerificationError, match="differs from its digest"):
        mirror(tmp_path / "box", cache, "model", repo, "main")
