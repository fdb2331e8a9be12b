"""diff with an adapter on a Hub, and lineage of what was pushed and what was pulled."""

from __future__ import annotations

from tests.hub.conftest import User


def test_a_repository_is_compared_with_a_version(ann: User, base_repo: str) -> None:
    ann.json("push", "sums", "local/compared", "--base-repo", base_repo)
    found = ann.json("diff", "sums", "hf:local/compared")
    assert found["b"]["recorded"] is True
    assert (found["options"], found["metrics"]) == ([], [])
    assert found["weights"]["same_file"] is True
    other = ann("diff", "sums", "hf:local/nowhere")
    assert other.returncode == 2
    assert "hf:local/nowhere is not there" in other.stderr


def test_lineage_knows_pushed_from_pulled(ann: User, ben: User, base_repo: str) -> None:
    pushed = ann.json("push", "sums", "local/lineage", "--base-repo", base_repo)
    ben.json("pull", "local/lineage")
    assert ann.json("lineage", "sums")["versions"][0]["from"] == []
    (origin,) = ben.json("lineage", "lineage")["versions"][0]["from"]
    revision = pushed["revision"]
    assert (origin["kind"], origin["reference"]) == ("pulled", f"hf:local/lineage@{revision}")
