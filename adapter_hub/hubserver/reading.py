"""What a repository holds: its description, trees, commits and refs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from html import escape
from itertools import islice
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, Response

from adapter_hub.hubserver import cards
from adapter_hub.hubserver.calls import Call
from adapter_hub.hubserver.records import Commit, File, State, Tree
from adapter_hub.hubserver.refusals import EntryNotFound, Refused
from adapter_hub.hubserver.repository import BRANCHES, TAGS, Repository, named

_TREE_PAGE = 1000
_COMMITS_PAGE = 50


def info(call: Call) -> Response:
    repository, state, commit = call.at_revision()
    return JSONResponse(describe(repository, state, commit, sizes=call.flag("blobs")))


def describe(
    repository: Repository, state: State, commit: Commit, *, sizes: bool = False
) -> dict[str, Any]:
    """A repository at a commit, as the Hub describes it."""
    card, _ = cards.read_card(repository, commit)
    tags = cards.tags(repository, commit)
    told = {
        "_id": hashlib.sha1(state.id.encode(), usedforsecurity=False).hexdigest()[:24],
        "id": state.id,
        "author": state.id.partition("/")[0],
        "sha": commit.id,
        "createdAt": state.created,
        "lastModified": commit.date,
        "private": state.private,
        "gated": state.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": tags,
        "cardData": card or None,
        "siblings": [_sibling(path, file, sizes) for path, file in commit.tree.items()],
    }
    if state.type == "model":
        told |= {
            "modelId": state.id,
            "library_name": card.get("library_name") or ("peft" if "peft" in tags else None),
            "pipeline_tag": card.get("pipeline_tag"),
        }
    return told


def _sibling(path: str, file: File, sizes: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"rfilename": path}
    if sizes:
        told |= {"size": file.size, "blobId": file.blob_id}
        if file.lfs:
            size = len(file.pointer)
            told["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": size}
    return told


# Trees -----------------------------------------------------------------------------------


def tree(call: Call) -> Response:
    """Files and folders below a folder, page by page."""
    repository, _, commit = call.at_revision()
    folder = call.part("path").strip("/") if "path" in call.request.path_params else ""
    paths = below(commit.tree, folder, recursive=call.flag("recursive"))
    if folder and not paths:
        raise EntryNotFound(folder, commit.id)
    limit = call.number("limit", _TREE_PAGE, _TREE_PAGE)
    after = call.request.query_params.get("cursor", "")
    page = [path for path in paths if path > after]
    headers = call.next_page(page[limit - 1]) if len(page) > limit else {}
    entries = _entries(repository, commit, page[:limit], expand=call.flag("expand"))
    return JSONResponse(entries, headers=headers)


def below(tree: Tree, folder: str, *, recursive: bool) -> list[str]:
    """The paths of files and folders in a folder, sorted."""
    prefix = f"{folder}/" if folder else ""
    paths = set()
    for path in tree:
        if path.startswith(prefix):
            parts = path.removeprefix(prefix).split("/")
            depths = range(1, len(parts) + 1) if recursive else (1,)
            paths |= {prefix + "/".join(parts[:depth]) for depth in depths}
    return sorted(paths)


def paths_info(call: Call) -> Response:
    """Files and folders by name; what is not there is left out."""
    repository, _, commit = call.at_revision()
    if call.request.headers.get("content-type", "").startswith("application/json"):
        asked, expand = call.json.get("paths", []), bool(call.json.get("expand"))
    else:
        form = parse_qs(call.content.decode("utf-8", "replace"))
        asked, expand = form.get("paths", []), form.get("expand", [""])[0].lower() == "true"
    if not isinstance(asked, list) or not all(isinstance(path, str) for path in asked):
        raise Refused('"paths" must be an array of texts.')
    there = set(below(commit.tree, "", recursive=True))
    paths = [path.strip("/") for path in asked if path.strip("/") in there]
    return JSONResponse(_entries(repository, commit, paths, expand=expand))


def _entries(
    repository: Repository, commit: Commit, paths: list[str], *, expand: bool
) -> list[dict[str, Any]]:
    last = _last_commits(repository, commit, paths) if expand else {}
    entries = []
    for path in paths:
        entry = _entry(commit.tree, path)
        if path in last:
            changed = last[path]
            entry["lastCommit"] = {
                "id": changed.id,
                "title": changed.title,
                "date": changed.date,
            }
        entries.append(entry)
    return entries


def _entry(tree: Tree, path: str) -> dict[str, Any]:
    if path not in tree:
        return {"type": "directory", "path": path, "size": 0, "oid": _folder_id(tree, path)}
    file = tree[path]
    entry: dict[str, Any] = {"type": "file", "path": path, "size": file.size, "oid": file.blob_id}
    if file.lfs:
        size = len(file.pointer)
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": size}
    return entry


def _folder_id(tree: Tree, folder: str) -> str:
    """Not git's, but like it the same for the same content."""
    inside = [f"{path} {file.git}" for path, file in tree.items() if path.startswith(f"{folder}/")]
    return hashlib.sha1("\n".join(inside).encode(), usedforsecurity=False).hexdigest()


def _last_commits(repository: Repository, commit: Commit, paths: list[str]) -> dict[str, Commit]:
    """The commit that last changed each of these files and folders."""
    last: dict[str, Commit] = {}
    wanted = dict.fromkeys(paths)
    for each in repository.history(commit.id):
        before = repository.commit(each.parent).tree if each.parent else {}
        changed = [
            path
            for path in each.tree.keys() | before.keys()
            if each.tree.get(path) != before.get(path)
        ]
        for path in below(dict.fromkeys(changed, _NO_FILE), "", recursive=True):
            if path in wanted:
                last[path] = each
                del wanted[path]
        if not wanted:
            break
    return last


_NO_FILE = File("", 0, "", False)


# Commits and refs ------------------------------------------------------------------------


def commits(call: Call) -> Response:
    """The history, newest first, page by page."""
    repository, _, commit = call.at_revision()
    limit = call.number("limit", _COMMITS_PAGE, 1000)
    # The cursor is the commit that the page begins with.
    start = call.request.query_params.get("cursor", commit.id)
    page = list(islice(repository.history(start), limit + 1))
    formatted = "formatted" in call.request.query_params.getlist("expand[]")
    headers = call.next_page(page[limit].id) if len(page) > limit else {}
    return JSONResponse(
        [_commit(each, formatted=formatted) for each in page[:limit]], headers=headers
    )


def _commit(commit: Commit, *, formatted: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": commit.id,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": commit.author}],
        "date": commit.date,
        "parents": [commit.parent] if commit.parent else [],
    }
    if formatted:
        told["formatted"] = {"title": escape(commit.title), "message": escape(commit.message)}
    return told


def refs(call: Call) -> Response:
    _, state = call.readable()
    told = {
        "branches": _refs(state, BRANCHES, sorted(named(state.refs, BRANCHES))),
        "converts": [],
        "tags": _refs(state, TAGS, sorted(named(state.refs, TAGS))),
    }
    if call.flag("include_prs"):
        numbers = sorted(named(state.refs, "refs/pr/"), key=int)
        told["pullRequests"] = _refs(state, "refs/pr/", numbers)
    return JSONResponse(told)


def _refs(state: State, prefix: str, names: Iterable[str]) -> list[dict[str, str]]:
    return [
        {"name": name, "ref": prefix + name, "targetCommit": state.refs[prefix + name]}
        for name in names
    ]


def create_tag(call: Call) -> Response:
    repository, _, _ = call.writable()
    name, message = call.text("tag"), call.text("message", "")
    repository.create_ref(TAGS, name, call.part("rev"), message)
    return JSONResponse({})


def delete_tag(call: Call) -> Response:
    repository, _, _ = call.writable()
    repository.delete_ref(TAGS, call.part("rev"))
    return JSONResponse({})


def create_branch(call: Call) -> Response:
    repository, _, _ = call.writable()
    repository.create_ref(BRANCHES, call.part("rev"), call.text("startingPoint", "main"))
    return JSONResponse({})


def delete_branch(call: Call) -> Response:
    repository, _, _ = call.writable()
    repository.delete_ref(BRANCHES, call.part("rev"))
    return JSONResponse({})
