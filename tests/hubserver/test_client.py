"""The stock client against the Hub, with hf_xet installed and no variable set for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hubbox import HubBox
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    hf_hub_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

Refused = Callable[[int], AbstractContextManager[None]]
Client = Callable[[str], HfApi]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An adapter of sorts."""
    made = tmp_path / "adapter"
    (made / "plots").mkdir(parents=True)
    (made / "README.md").write_text("---\nlicense: mit\nbase_model: team/base\n---\n# Sums\n")
    (made / "adapter_config.json").write_text("{}")
    (made / "adapter_model.safetensors").write_bytes(os.urandom(1_500_000))
    (made / "plots" / "loss.png").write_bytes(os.urandom(3000))
    (made / "empty.txt").write_bytes(b"")
    return made


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def add(path: str, content: bytes = b"x") -> CommitOperationAdd:
    return CommitOperationAdd(path, content)


def test_who_i_am(client: Client, ann: HfApi, refused: Refused) -> None:
    told = ann.whoami()
    assert (told["name"], [org["name"] for org in told["orgs"]]) == ("ann", ["team"])
    assert told["auth"]["accessToken"]["role"] == "write"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        client("nobody").whoami()


def test_a_folder_up_and_a_snapshot_down(
    ann: HfApi, repo: str, folder: Path, tmp_path: Path, box: HubBox
) -> None:
    made = ann.upload_folder(repo_id=repo, folder_path=folder)
    ann.create_tag(repo, tag="v1")
    ann.upload_file(repo_id=repo, path_or_fileobj=b"later", path_in_repo="later.txt")
    for revision in ("v1", made.oid):
        local = tmp_path / "local" / revision
        got = ann.snapshot_download(repo, revision=revision, local_dir=local)
        files = {path: c for path, c in contents(Path(got)).items() if not path.startswith(".")}
        assert files == contents(folder)
    before = box.log().count(f"/resolve/{made.oid}")
    cached = ann.snapshot_download(repo, revision="v1")
    between = box.log()
    assert between.count(f"/resolve/{made.oid}") > before
    assert ann.snapshot_download(repo, revision="v1") == cached
    # One request asks what the tag names; a commit that is here needs none.
    assert len(box.log().splitlines()) == len(between.splitlines()) + 1
    assert ann.snapshot_download(repo, revision=made.oid) == cached
    assert len(box.log().splitlines()) == len(between.splitlines()) + 1
    blob = Path(cached, "adapter_model.safetensors").resolve()
    assert len(blob.name) == 64
    assert "xet" not in box.log()


def test_a_dry_run_fetches_nothing(ann: HfApi, repo: str, folder: Path, box: HubBox) -> None:
    ann.upload_folder(repo_id=repo, folder_path=folder)
    would = ann.snapshot_download(repo, dry_run=True)
    assert {each.filename: each.file_size for each in would if each.filename[0] != "."} == {
        path: len(content) for path, content in contents(folder).items()
    }
    assert f"GET /{repo}/resolve" not in box.log()


def test_nothing_new_makes_no_commit(ann: HfApi, repo: str, folder: Path) -> None:
    first = ann.upload_folder(repo_id=repo, folder_path=folder)
    assert ann.upload_folder(repo_id=repo, folder_path=folder).oid == first.oid
    assert len(ann.list_repo_commits(repo)) == 2


def test_a_stale_parent_is_refused(ann: HfApi, repo: str, refused: Refused) -> None:
    parent = ann.repo_info(repo).sha
    made = ann.create_commit(repo, [add("a")], commit_message="a", parent_commit=parent)
    with refused(412):
        ann.create_commit(repo, [add("b")], commit_message="b", parent_commit=parent)
    assert ann.repo_info(repo).sha == made.oid


def test_of_eight_clients_with_one_parent_one_wins(ann: HfApi, repo: str) -> None:
    parent = ann.repo_info(repo).sha
    ended: list[int] = []
    start = threading.Barrier(8)

    def push(number: int) -> None:
        start.wait()
        operations = [add("same.txt", b"%d" % number), add(f"{number}.bin", os.urandom(200_000))]
        try:
            ann.create_commit(repo, operations, commit_message="c", parent_commit=parent)
            ended.append(200)
        except HfHubHTTPError as error:
            ended.append(error.response.status_code)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == [200] + [412] * 7
    assert len(ann.list_repo_commits(repo)) == 2
    winner = Path(ann.hf_hub_download(repo, "same.txt")).read_text()
    assert ann.file_exists(repo, f"{winner}.bin")


def test_branches_tags_and_refs(ann: HfApi, repo: str, refused: Refused) -> None:
    first = ann.repo_info(repo).sha
    ann.create_branch(repo, branch="exp/1")
    made = ann.upload_file(
        repo_id=repo, path_or_fileobj=b"x", path_in_repo="x.txt", revision="exp/1"
    )
    ann.create_tag(repo, tag="v1", revision="exp/1", tag_message="the first")
    ann.create_branch(repo, branch="again", revision="v1")
    with refused(409):
        ann.create_tag(repo, tag="v1")
    ann.create_tag(repo, tag="v1", exist_ok=True)
    with refused(409):
        ann.create_branch(repo, branch="main")
    refs = ann.list_repo_refs(repo)
    assert {each.name: each.target_commit for each in refs.branches} == {
        "main": first,
        "exp/1": made.oid,
        "again": made.oid,
    }
    assert [(each.name, each.ref) for each in refs.tags] == [("v1", "refs/tags/v1")]
    assert ann.repo_info(repo, revision="exp/1").sha == made.oid
    assert ann.revision_exists(repo, "v1")
    ann.delete_tag(repo, tag="v1")
    ann.delete_branch(repo, branch="exp/1")
    assert not ann.revision_exists(repo, "v1")
    with pytest.raises(RevisionNotFoundError):
        ann.delete_branch(repo, branch="exp/1")
    with refused(403):
        ann.delete_branch(repo, branch="main")


def test_trees_paths_and_history(ann: HfApi, repo: str, folder: Path) -> None:
    ann.upload_folder(repo_id=repo, folder_path=folder, commit_message="all of it")
    ann.upload_file(repo_id=repo, path_or_fileobj=b"2", path_in_repo="plots/note.txt")
    top = {each.path: each for each in ann.list_repo_tree(repo)}
    assert set(top) == {
        ".gitattributes",
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "empty.txt",
        "plots",
    }
    assert top["adapter_model.safetensors"].lfs.size == 1_500_000
    assert top["README.md"].lfs is None
    inside = {each.path for each in ann.list_repo_tree(repo, "plots")}
    assert inside == {"plots/loss.png", "plots/note.txt"}
    with pytest.raises(EntryNotFoundError):
        list(ann.list_repo_tree(repo, "nope"))
    asked = ["plots", "plots/loss.png", "nope"]
    told = ann.get_paths_info(repo, asked, expand=True)
    assert [each.path for each in told] == ["plots", "plots/loss.png"]
    assert told[1].last_commit.title == "all of it"
    assert told[0].last_commit.title != "all of it"
    titles = [each.title for each in ann.list_repo_commits(repo, formatted=True)]
    assert titles[1:] == ["all of it", "initial commit"]
    info = ann.model_info(repo, files_metadata=True)
    assert info.card_data.license == "mit"
    assert {"license:mit", "base_model:team/base"} <= set(info.tags)
    assert {each.rfilename: each.size for each in info.siblings}["plots/loss.png"] == 3000
    ann.super_squash_history(repo)
    assert len(ann.list_repo_commits(repo)) == 1
    assert ann.file_exists(repo, "plots/note.txt")


def test_long_lists_come_in_pages(ann: HfApi, repo: str, box: HubBox) -> None:
    operations = [add(f"files/{number:04}.txt", b"%d" % number) for number in range(1100)]
    ann.create_commit(repo, operations, commit_message="many")
    assert len(ann.list_repo_files(repo)) == 1101
    assert box.log().count(f"GET /api/models/{repo}/tree/main 200") == 2


def test_a_long_history_comes_in_pages(ann: HfApi, repo: str, box: HubBox) -> None:
    for number in range(55):
        operations = [add("counter", b"%d" % number)]
        ann.create_commit(repo, operations, commit_message=f"{number}")
    titles = [each.title for each in ann.list_repo_commits(repo)]
    assert titles == [f"{number}" for number in reversed(range(55))] + ["initial commit"]
    assert box.log().count(f"GET /api/models/{repo}/commits/main 200") == 2


def test_files_are_deleted_and_copied(ann: HfApi, repo: str, folder: Path) -> None:
    ann.upload_folder(repo_id=repo, folder_path=folder)
    ann.delete_file("empty.txt", repo)
    ann.delete_folder("plots", repo)
    ann.create_commit(
        repo,
        [
            CommitOperationCopy("adapter_model.safetensors", "copy.safetensors"),
            CommitOperationDelete("adapter_config.json"),
        ],
        commit_message="copy",
    )
    assert set(ann.list_repo_files(repo)) == {
        ".gitattributes",
        "README.md",
        "adapter_model.safetensors",
        "copy.safetensors",
    }
    with pytest.raises(EntryNotFoundError):
        ann.delete_file("nope", repo)
    ann.create_commit(repo, [add("dir/a"), add("dir/b/c")], commit_message="a folder")
    ann.create_commit(repo, [CommitOperationDelete("dir", is_folder=False)], commit_message="gone")
    assert not [path for path in ann.list_repo_files(repo) if path.startswith("dir")]
    assert not ann.file_exists(repo, "empty.txt")
    assert ann.file_exists(repo, "copy.safetensors")


def test_a_copy_from_another_repository(client: Client, ann: HfApi, repo: str) -> None:
    ann.create_repo("ann/source", private=True)
    ann.upload_file(repo_id="ann/source", path_or_fileobj=b"words", path_in_repo="w.txt")
    copy = CommitOperationCopy("w.txt", "mine.txt", src_repo_id="ann/source", src_repo_type="model")
    ann.create_commit(repo, [copy], commit_message="copy")
    assert Path(ann.hf_hub_download(repo, "mine.txt")).read_bytes() == b"words"


def test_bad_paths_and_bad_cards_are_refused(ann: HfApi, repo: str) -> None:
    ann.create_commit(repo, [add("a.txt")], commit_message="a")
    ann.create_commit(repo, [add("empty.bin", b"")], commit_message="no bytes, so no LFS")
    assert ann.get_paths_info(repo, "empty.bin")[0].lfs is None
    for path in ("A.TXT", "a.txt/b", "con/x", "x\\y"):
        with pytest.raises(BadRequestError):
            ann.create_commit(repo, [add(path)], commit_message="bad")
    for card in (b"---\na: [\n---\n", b"\n---\nmodel-index: foo\n---\n"):
        with pytest.raises(ValueError, match="metadata"):
            ann.create_commit(repo, [add("README.md", card)], commit_message="bad")


def test_a_private_repository_is_not_there_for_others(client: Client, ann: HfApi) -> None:
    ann.create_repo("team/secret", private=True)
    ann.upload_file(repo_id="team/secret", path_or_fileobj=b"s", path_in_repo="s.txt")
    for user in ("ann", "ben", "rob"):
        assert client(user).file_exists("team/secret", "s.txt")
        assert "team/secret" in [each.id for each in client(user).list_models()]
    for user in ("", "eve", "unknown"):
        other = client(user)
        assert not other.repo_exists("team/secret")
        assert "team/secret" not in [each.id for each in other.list_models()]
        for call in (
            lambda api: api.model_info("team/secret"),
            lambda api: api.list_repo_files("team/secret"),
            lambda api: api.list_repo_refs("team/secret"),
            lambda api: api.create_commit("team/secret", [add("x")], commit_message="x"),
            lambda api: api.snapshot_download("team/secret"),
            lambda api: api.delete_repo("team/secret"),
        ):
            with pytest.raises(RepositoryNotFoundError):
                call(other)
    client("ben").update_repo_settings("team/secret", visibility="public")
    assert client("").file_exists("team/secret", "s.txt")


def test_who_may_write(client: Client, ann: HfApi, refused: Refused) -> None:
    ann.create_repo("team/shared")
    client("ben").upload_file(repo_id="team/shared", path_or_fileobj=b"b", path_in_repo="b.txt")
    for user, status in (("eve", 403), ("rob", 403), ("", 401), ("unknown", 401)):
        with refused(status):
            client(user).create_commit("team/shared", [add("x")], commit_message="x")
    with refused(403):
        client("eve").create_repo("team/another")
    with refused(403):
        client("rob").create_repo("rob/own")
    assert ann.list_repo_commits("team/shared")[0].authors == ["ben"]


def test_repositories_come_and_go(client: Client, ann: HfApi, refused: Refused) -> None:
    url = ann.create_repo("short")
    assert url.repo_id == "ann/short"
    with refused(409):
        ann.create_repo("ann/short")
    assert ann.create_repo("ann/short", exist_ok=True).repo_id == "ann/short"
    ann.move_repo("ann/short", "team/long")
    assert ann.repo_info("team/long").id == "team/long"
    with refused(403):
        client("eve").delete_repo("team/long")
    ann.delete_repo("team/long")
    with pytest.raises(RepositoryNotFoundError):
        ann.delete_repo("team/long")
    ann.delete_repo("team/long", missing_ok=True)
    with pytest.raises(RepositoryNotFoundError):
        ann.model_info("gpt2")


def test_a_repository_that_moved_is_found_by_its_old_name(
    client: Client, ann: HfApi, repo: str, folder: Path, box: HubBox
) -> None:
    ann.upload_folder(repo_id=repo, folder_path=folder)
    ann.move_repo(repo, f"{repo}-b")
    ann.move_repo(f"{repo}-b", f"{repo}-c")
    assert ann.repo_info(repo).id == f"{repo}-c"
    assert contents(folder).items() <= contents(Path(ann.snapshot_download(repo))).items()
    assert f"HEAD /{repo}/resolve/{ann.repo_info(repo).sha}/README.md 307" in box.log()
    assert ann.get_paths_info(repo, "README.md")[0].path == "README.md"
    ann.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x #1.txt")
    ann.create_branch(repo, branch="exp/1")
    assert ann.file_exists(f"{repo}-c", "x #1.txt", revision="exp/1")
    assert Path(ann.hf_hub_download(repo, "x #1.txt", revision="exp/1")).read_bytes() == b"x"
    # Whoever may not see it learns nothing of it.
    ann.update_repo_settings(f"{repo}-c", visibility="private")
    assert ann.repo_exists(repo)
    assert not client("eve").repo_exists(repo)
    # A new repository takes the old name, and keeps it when it goes.
    ann.create_repo(repo)
    assert ann.list_repo_files(repo) == [".gitattributes"]
    ann.delete_repo(repo)
    assert not ann.repo_exists(repo)
    ann.move_repo(f"{repo}-c", f"{repo}-b")
    assert ann.repo_info(f"{repo}-c").id == f"{repo}-b"


def test_lists_are_filtered_and_sorted(client: Client) -> None:
    ben = client("ben")
    for name, base in (("first", "team/a"), ("second", "team/a"), ("third", "team/b")):
        ben.create_repo(f"ben/{name}")
        card = f"---\nbase_model: {base}\nbase_model_relation: adapter\nlibrary_name: peft\n---\n"
        ben.upload_file(
            repo_id=f"ben/{name}", path_or_fileobj=card.encode(), path_in_repo="README.md"
        )

    def found(**query: object) -> list[str]:
        return [each.id for each in ben.list_models(author="ben", **query)]

    assert found() == ["ben/first", "ben/second", "ben/third"]
    assert found(filter="base_model:adapter:team/a") == ["ben/first", "ben/second"]
    assert found(filter=["peft", "base_model:team/b"]) == ["ben/third"]
    assert found(search="IR") == ["ben/first", "ben/third"]
    assert found(limit=2) == ["ben/first", "ben/second"]
    assert found(sort="last_modified") == ["ben/third", "ben/second", "ben/first"]
    [full] = ben.list_models(author="ben", search="first", full=True, cardData=True)
    assert full.card_data.base_model == "team/a"
    assert {each.rfilename for each in full.siblings} == {".gitattributes", "README.md"}
    assert found(search="ben IR") == ["ben/first", "ben/third"]
    assert found(sort="downloads") == ["ben/third", "ben/second", "ben/first"]
    assert found(gated=True) == []
    assert len(found(gated=False)) == 3
    assert found(inference="warm") == []


def test_an_adapter_without_a_card_is_found_by_its_base(ann: HfApi, repo: str) -> None:
    def tags(config: bytes) -> list[str]:
        ann.upload_file(repo_id=repo, path_or_fileobj=config, path_in_repo="adapter_config.json")
        [found] = [each for each in ann.list_models(filter="peft") if each.id == repo]
        assert found.library_name == "peft"
        return sorted(found.tags)

    assert tags(b'{"base_model_name_or_path": "team/base"}') == [
        "base_model:adapter:team/base",
        "base_model:team/base",
        "peft",
    ]
    for config in (b'{"base_model_name_or_path": "/home/ann/base"}', b"{}", b"[]", b"no JSON"):
        assert tags(config) == ["peft"]
    card = b"---\nbase_model: team/b\n---\n"
    ann.upload_file(repo_id=repo, path_or_fileobj=card, path_in_repo="README.md")
    ann.upload_file(repo_id=repo, path_or_fileobj=b"", path_in_repo="adapter_model.safetensors")
    found = ann.list_models(filter="base_model:adapter:team/b")
    assert "safetensors" in next(each.tags for each in found if each.id == repo)


def test_names_are_the_same_in_other_letters(ann: HfApi, repo: str) -> None:
    ann.upload_file(repo_id=repo.upper(), path_or_fileobj=b"x", path_in_repo="x.txt")
    assert ann.repo_info(repo.title()).id == repo
    assert ann.file_exists(repo, "x.txt")


def test_a_short_id_is_a_revision(ann: HfApi, repo: str) -> None:
    commit = ann.repo_info(repo).sha
    ann.create_tag(repo, tag="first", revision=commit[:7])
    assert ann.repo_info(repo, revision="first").sha == commit
    for revision in (commit[:6], "0123456"):
        with pytest.raises(RevisionNotFoundError):
            ann.create_tag(repo, tag="bad name", revision=revision)


def test_a_gated_repository_is_seen_but_not_read(client: Client, ann: HfApi, repo: str) -> None:
    ann.update_repo_settings(repo, gated="auto")
    assert client("eve").repo_info(repo).gated == "auto"
    for call in (
        lambda api: api.auth_check(repo),
        lambda api: api.hf_hub_download(repo, ".gitattributes"),
        lambda api: api.snapshot_download(repo),
    ):
        for user in ("", "eve"):
            with pytest.raises(GatedRepoError, match="not in the authorized list"):
                call(client(user))
    assert ann.file_exists(repo, ".gitattributes")


def test_anybody_may_propose_a_change(client: Client, ann: HfApi, repo: str, folder: Path) -> None:
    eve, ben = client("eve"), client("ben")
    made = eve.create_commit(repo, [add("a.txt")], commit_message="mine", create_pr=True)
    assert made.pr_revision == "refs/pr/1"
    eve.upload_folder(repo_id=repo, folder_path=folder, revision="refs/pr/1")
    assert eve.upload_folder(repo_id=repo, folder_path=folder, create_pr=True).pr_num == 2
    eve.comment_discussion(repo, 1, "please")
    for user, revision in ((ben, "refs/pr/1"), (eve, "main")):
        with pytest.raises(HfHubHTTPError, match="may not write"):
            user.create_commit(repo, [add("b")], commit_message="b", revision=revision)
    with pytest.raises(HfHubHTTPError, match="may not write"):
        eve.merge_pull_request(repo, 1)
    with pytest.raises(HfHubHTTPError, match="may read only"):
        client("rob").create_commit(repo, [add("b")], commit_message="b", create_pr=True)
    assert ann.list_repo_files(repo) == [".gitattributes"]
    ann.merge_pull_request(repo, 1)
    assert ann.file_exists(repo, "a.txt")


def test_datasets_are_repositories_too(ann: HfApi, folder: Path) -> None:
    ann.create_repo("ann/rows", repo_type="dataset")
    ann.upload_folder(repo_id="ann/rows", folder_path=folder, repo_type="dataset")
    ann.create_tag("ann/rows", tag="v1", repo_type="dataset")
    got = ann.snapshot_download("ann/rows", repo_type="dataset", revision="v1")
    assert contents(folder).items() <= contents(Path(got)).items()
    assert ann.dataset_info("ann/rows").id == "ann/rows"
    assert "ann/rows" in [each.id for each in ann.list_datasets(author="ann")]
    assert not ann.repo_exists("ann/rows")
    ann.delete_repo("ann/rows", repo_type="dataset")


def test_pull_requests(ann: HfApi, repo: str, refused: Refused) -> None:
    ann.create_commit(repo, [add("a.txt", b"1\n")], commit_message="start")
    made = ann.create_commit(
        repo, [add("a.txt", b"2\n"), add("n.txt")], commit_message="change", create_pr=True
    )
    assert made.pr_num == 1
    assert Path(ann.hf_hub_download(repo, "a.txt")).read_text() == "1\n"
    assert ann.file_exists(repo, "n.txt", revision="refs/pr/1")
    ann.create_commit(repo, [add("m.txt")], commit_message="more", revision="refs/pr/1")
    told = ann.get_discussion_details(repo, 1)
    assert (told.status, told.conflicting_files) == ("open", [])
    assert told.diff
    assert "-1\n+2\n" in told.diff
    assert [each.type for each in told.events] == ["comment", "commit", "commit"]
    refs = ann.list_repo_refs(repo, include_pull_requests=True)
    assert refs.pull_requests
    assert [each.ref for each in refs.pull_requests] == ["refs/pr/1"]
    ann.create_commit(repo, [add("main.txt")], commit_message="meanwhile")
    ann.merge_pull_request(repo, 1)
    assert {"a.txt", "n.txt", "m.txt", "main.txt"} <= set(ann.list_repo_files(repo))
    told = ann.get_discussion_details(repo, 1)
    assert told.status == "merged"
    assert told.merge_commit_oid == ann.repo_info(repo).sha
    with refused(400):
        ann.merge_pull_request(repo, 1)


def test_a_pull_request_that_conflicts(ann: HfApi, repo: str, refused: Refused) -> None:
    ann.create_commit(repo, [add("a.txt", b"mine")], commit_message="mine", create_pr=True)
    ann.create_commit(repo, [add("a.txt", b"theirs")], commit_message="theirs")
    told = ann.get_discussion_details(repo, 1)
    assert told.conflicting_files == ["a.txt"]
    with refused(409):
        ann.merge_pull_request(repo, 1)
    assert Path(ann.hf_hub_download(repo, "a.txt")).read_bytes() == b"theirs"


def test_a_folder_as_a_pull_request(ann: HfApi, repo: str, folder: Path) -> None:
    made = ann.upload_folder(repo_id=repo, folder_path=folder, create_pr=True)
    assert made.pr_revision == "refs/pr/1"
    assert ann.list_repo_files(repo) == [".gitattributes"]
    assert "README.md" in ann.list_repo_files(repo, revision="refs/pr/1")


def test_discussions(ann: HfApi, repo: str) -> None:
    made = ann.create_discussion(repo, "a question", description="why?")
    comment = ann.comment_discussion(repo, made.num, "because")
    ann.edit_discussion_comment(repo, made.num, comment.id, "because of this")
    ann.rename_discussion(repo, made.num, "a good question")
    assert ann.change_discussion_status(repo, made.num, "closed").new_status == "closed"
    pull = ann.create_pull_request(repo, "a change")
    assert pull.status == "draft"
    told = ann.get_discussion_details(repo, made.num)
    assert (told.title, told.status) == ("a good question", "closed")
    assert [getattr(each, "content", None) for each in told.events[:2]] == [
        "why?",
        "because of this",
    ]
    with pytest.warns(UserWarning, match="irreversible"):
        assert ann.hide_discussion_comment(repo, made.num, comment.id).hidden
    assert [each.num for each in ann.get_repo_discussions(repo)] == [2, 1]
    assert [
        each.num for each in ann.get_repo_discussions(repo, discussion_type="pull_request")
    ] == [2]


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_a_client_that_uploads_by_lfs(
    ann: HfApi, repo: str, folder: Path, box: HubBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    api = HfApi(box.endpoint, token="token-of-ann", library_name="adapter-hub", library_version="1")
    made = api.upload_folder(repo_id=repo, folder_path=folder)
    assert f"PUT /lfs/models/{repo}/" in box.log()
    assert api.upload_folder(repo_id=repo, folder_path=folder).oid == made.oid
    # The same repository in the eyes of a client that does not.
    assert ann.upload_folder(repo_id=repo, folder_path=folder).oid == made.oid
    assert contents(folder).items() <= contents(Path(ann.snapshot_download(repo))).items()


def test_a_single_file_and_what_is_not_there(ann: HfApi, repo: str, box: HubBox) -> None:
    ann.upload_file(repo_id=repo, path_or_fileobj=b"hello", path_in_repo="a dir/größe +#%.txt")
    path = hf_hub_download(
        repo, "a dir/größe +#%.txt", endpoint=box.endpoint, token=False, revision="main"
    )
    assert Path(path).read_bytes() == b"hello"
    with pytest.raises(EntryNotFoundError):
        ann.hf_hub_download(repo, "nope.txt")
    assert list(Path(path).parents[3].glob(".no_exist/*/nope.txt"))
    with pytest.raises(RevisionNotFoundError):
        ann.hf_hub_download(repo, "nope.txt", revision="nope")
    with pytest.raises(RepositoryNotFoundError):
        ann.hf_hub_download("ann/nope", "nope.txt")
