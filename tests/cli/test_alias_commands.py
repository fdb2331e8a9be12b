"""alias, history, tag, describe, copy, and what init and remove say of them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.registry.store import Registry

Hub = Callable[..., Any]


@pytest.fixture
def two(project: Path) -> Path:
    """``sums`` has versions 1 and 2, ``empty`` has none."""
    workshop.add_to_registry(project, '\n[adapters.empty]\nbase = "llama"\n')
    for content in ("one", "two"):
        workshop.publish(Registry.open(project), "sums", content)
    return project


def test_an_alias_is_a_reference_until_it_is_moved(hub: Hub, two: Path) -> None:
    assert hub("alias", "sums@1", "prod").err == "sums@prod is version 1\n"
    assert hub("show", "sums@prod", "--json").json["version"] == 1
    moved = hub("alias", "sums", "prod", "--expect", "1", "--json")
    assert moved.json == {"name": "sums", "alias": "prod", "from": 1, "to": 2}
    assert hub("show", "sums@prod", "--json").json["version"] == 2
    assert hub("alias", "sums@prod", "test", "-q").err == ""
    assert hub("alias", "sums@2", "test").err == "sums@test is version 2 already\n"
    assert hub("alias", "sums", "test", "--remove").err == (
        "removed sums@test, which was version 2\n"
    )


def test_a_move_from_elsewhere_is_a_conflict(hub: Hub, two: Path) -> None:
    hub("alias", "sums@1", "prod", "--expect", "none")
    for expect, words in (("2", "is version 1, not version 2"), ("none", "is version 1 already")):
        refused = hub("alias", "sums@2", "prod", "--expect", expect)
        assert refused.code == 4
        assert f"sums@prod {words}; nothing was changed." in refused.err
        assert "adapter-hub history sums" in refused.err


def test_aliases_are_listed(hub: Hub, two: Path) -> None:
    assert "no aliases" in hub("alias", "--list").err
    hub("alias", "sums@1", "prod")
    rows = [{"name": "sums", "alias": "prod", "version": 1, "newest": 2}]
    assert hub("alias", "--list", "--json").json == rows
    assert hub("alias", "--list", "sums", "--json").json == rows
    assert hub("alias", "--list", "empty", "--json").json == []
    table = hub("alias", "--list", "sums").out.splitlines()
    assert [line.split() for line in table] == [
        ["adapter", "alias", "version", "newest"],
        ["sums", "prod", "1", "2"],
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "adapter-hub alias --list"),
        (("sums",), "a version and the alias for it"),
        (("sums@1", "7"), "NAME@7 means version 7"),
        (("sums@1", "a b"), "cannot name an alias"),
        (("sums@3", "prod"), "it has 1, 2"),
        (("empty", "prod"), "adapter-hub train empty"),
        (("smus@1", "prod"), "did you mean 'sums'"),
        (("hf:me/sums", "prod"), "an adapter of the registry"),
        (("sums@1", "prod", "--expect", "one"), "--expect takes a version's number or none"),
        (("sums@1", "prod", "--expect", "-1"), "--expect takes"),
        (("sums@1", "prod", "--remove"), "adapter-hub alias sums prod --remove --expect 1"),
        (("sums", "prod", "--remove"), "has no alias 'prod'"),
        (("--list", "sums", "prod"), "--list takes"),
        (("--list", "sums@1"), "--list takes"),
        (("--list", "nope"), "no adapter 'nope'"),
    ],
)
def test_what_cannot_be_meant(hub: Hub, two: Path, arguments: tuple[str, ...], words: str) -> None:
    before = (two / "registry.toml").read_bytes()
    refused = hub("alias", *arguments)
    assert refused.code == 2
    assert words in refused.err
    assert (two / "registry.toml").read_bytes() == before


def test_history_is_a_table(hub: Hub, two: Path) -> None:
    hub("alias", "sums@1", "prod")
    hub("alias", "sums@2", "prod")
    hub("rename", "sums", "adder")
    hub("copy", "adder@1", "third")
    hub("alias", "adder", "prod", "--remove")
    hub("remove", "adder@1", "--yes")
    told = hub("history", "adder").out.splitlines()
    assert [line.split(maxsplit=2)[2] for line in told[1:]] == [
        "train   version 1",
        "train   version 2",
        "alias   prod → 1",
        "alias   prod: 1 → 2",
        "rename  sums → adder",
        "alias   prod removed, was version 2",
        "remove  version 1",
    ]
    assert hub("history", "third").out.splitlines()[1].endswith("copy   version 1 from adder@1")
    assert "not in the registry any more" in hub("history", "sums").err
    found = hub("history", "adder", "--json").json
    assert found["events"][0]["when"].endswith("Z")
    assert hub("history", "empty").err == (
        "nothing has happened yet; next: adapter-hub train empty\n"
    )


def test_history_refuses(hub: Hub, two: Path) -> None:
    assert "adapter-hub history sums" in hub("history", "sums@1").err
    unknown = hub("history", "smus")
    assert unknown.code == 2
    assert "did you mean 'sums'" in unknown.err


def test_an_alias_edited_by_hand_is_told(hub: Hub, two: Path) -> None:
    hub("alias", "sums@1", "prod")
    path = two / "registry.toml"
    path.write_text(path.read_text().replace("prod = 1", "prod = 2"))
    assert (
        "Note: prod is version 2 in the registry, and is version 1 by the journal"
        in hub("history", "sums").err
    )


def test_nothing_in_a_journal_is_a_command_to_the_terminal(hub: Hub, two: Path) -> None:
    with (two / "registry.journal").open("a") as file:
        file.write(
            '{"when": "2026-01-01T00:00:00Z", "event": "\\u001b[2J", "adapter": "sums", '
            '"version": "\\u001b[1m", "repo": "\\u001b[1m"}\n'
        )
    told = hub("history", "sums")
    assert told.code == 0
    assert "\x1b" not in told.out


def test_a_lost_journal_is_said_and_no_failure(two: Path) -> None:
    (two / "registry.journal").unlink()
    (two / "registry.journal").mkdir()
    done = subprocess.run(
        [*workshop.ADAPTER_HUB, "alias", "sums@1", "prod"],
        cwd=two,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "sums@prod is version 1" in done.stderr
    assert "registry.journal cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_tags_and_descriptions(hub: Hub, two: Path) -> None:
    assert hub("tag", "sums", "b", "a").out == "b\na\n"
    assert hub("tag", "sums", "--remove", "b", "--json").json == {"name": "sums", "tags": ["a"]}
    assert [each["name"] for each in hub("list", "--tag", "a", "--json").json] == ["sums"]
    assert hub("tag", "sums", "--remove", "x").code == 2
    assert "no tags" in hub("tag", "empty").err
    assert hub("describe", "sums", "adds numbers").err == "described sums\n"
    assert hub("describe", "sums").out == "adds numbers\n"
    assert hub("describe", "sums", "", "--json").json == {"name": "sums", "description": ""}
    assert "adapter-hub describe sums" in hub("describe", "sums").err


def test_copy_says_what_there_is(hub: Hub, two: Path) -> None:
    assert hub("copy", "sums", "adder").err == "adder@1 is a copy of sums@2\n"
    assert hub("copy", "sums", "adder").code == 4
    assert "adapter-hub train again" in hub("copy", "sums@1", "again", "--recipe").err
    told = hub("copy", "empty", "void", "--json").json
    assert told == {"name": "void", "version": None, "from": "empty"}
    assert hub("verify", "adder").code == 0


def test_remove_names_the_aliases(hub: Hub, two: Path) -> None:
    hub("alias", "sums@1", "prod")
    asked = hub("remove", "sums")
    assert asked.code == 2
    assert "sums and the files of 2 versions (prod is 1)" in asked.err
    refused = hub("remove", "sums@1", "--yes")
    assert refused.code == 4
    assert "sums@1 is prod; nothing was removed" in refused.err
    assert hub("remove", "sums", "--yes").code == 0


def test_init_has_git_merge_the_journal_alone(hub: Hub, tmp_path: Path) -> None:
    assert hub("init", str(tmp_path / "new")).code == 0
    assert (tmp_path / "new/.gitattributes").read_text() == "registry.journal merge=union\n"
