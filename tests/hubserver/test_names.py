"""Names from clients: safe on any file system, and nothing that is safe is refused for long."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_hub.hubserver.names import (
    check_collisions,
    check_path,
    check_ref_name,
    check_repo_id,
    folded,
)
from adapter_hub.hubserver.refusals import Refused

ODD = ["..", ".", "", "/", "\\", "\0", ".git", "con", "a", "A", "é", "e\u0301", " ", ":", "\ud800"]


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "a/b/c.txt",
        ".gitattributes",
        "a b",
        "größe/模型.bin",
        "a..b",
        "conx",
        "x/.github",
    ],
)
def test_a_usual_path_is_taken(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a/./b",
        "a//b",
        "a/",
        "a\\b",
        "a\0b",
        "a\nb",
        "C:x",
        ".git/config",
        "a/.GIT/config",
        "con",
        "a/NUL.txt",
        "com¹",
        "a.",
        "a ",
        "a/b /c",
        "x" * 256,
        "a/" * 600 + "b",
        "\ud800",
    ],
)
def test_a_dangerous_path_is_refused(path: str) -> None:
    with pytest.raises(Refused):
        check_path(path)


@given(st.lists(st.one_of(st.sampled_from(ODD), st.text(max_size=6)), max_size=5))
def test_a_path_that_is_taken_stays_in_its_folder(segments: list[str]) -> None:
    path = "/".join(segments)
    try:
        check_path(path)
    except Refused:
        return
    for kind in (PurePosixPath, PureWindowsPath):
        pure = kind(path)
        assert not pure.is_absolute()
        assert not pure.drive
        assert ".." not in pure.parts
        assert len(pure.parts) == path.count("/") + 1
    root = Path("/srv/hub").resolve()
    assert (root / path).is_relative_to(root)
    path.encode()


@pytest.mark.parametrize(
    "paths",
    [
        ["a", "A"],
        ["a/b", "A/c"],
        ["a", "a/b"],
        ["a/b", "a"],
        ["é", "e\u0301"],
        ["x/straße", "x/STRASSE"],
    ],
)
def test_names_that_some_file_system_takes_for_one_are_refused(paths: list[str]) -> None:
    with pytest.raises(Refused, match="collides"):
        check_collisions(paths)


@given(st.lists(st.lists(st.sampled_from("aAbBé"), min_size=1, max_size=3), max_size=6))
def test_what_does_not_collide_can_be_stored_without_case(parts: list[list[str]]) -> None:
    paths = ["/".join(each) for each in parts]
    try:
        check_collisions(paths)
    except Refused:
        return
    files = {folded(path) for path in paths}
    assert len(files) == len(paths)
    folders = {folded(str(up)) for path in paths for up in PurePosixPath(path).parents}
    assert not files & folders


@pytest.mark.parametrize("name", ["v1", "exp/1", "release-1.0", "a+b", "feature_x"])
def test_a_usual_branch_is_taken(name: str) -> None:
    assert check_ref_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "a b", "refs/pr/1", "../x", "a//b", "/a", "-x", "a.lock", "@", "a~1", "0" * 40, ".a"],
)
def test_what_could_be_another_ref_is_no_branch(name: str) -> None:
    with pytest.raises(Refused):
        check_ref_name(name)


@pytest.mark.parametrize(
    "owner", ["api", "Datasets", "..", "a/b", "", "nul", "x" * 97, "-a", "a--b"]
)
def test_owners_that_cannot_be(owner: str) -> None:
    with pytest.raises(Refused):
        check_repo_id(owner, "name")
    with pytest.raises(Refused):
        check_repo_id("ann", "name.git")
