"""move_alias, drop_alias: compare and swap, refusals, and two processes that want the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import workshop

from adapter_hub.errors import ConflictError, UnknownNameError, UsageError
from adapter_hub.registry.aliases import Expected, drop_alias, move_alias
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import remove_version


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """``sums`` has versions 1, 2 and 3, and no alias."""
    (tmp_path / "registry.toml").write_text("# ours\nschema = 1\n")
    registry = Registry.open(tmp_path)
    for number in range(3):
        workshop.publish(registry, "sums", f"weights {number}")
    return registry


def aliases(registry: Registry) -> dict[str, int]:
    return dict(Registry.open(registry.path).adapter("sums").aliases)


def test_an_alias_is_set_moved_and_dropped(registry: Registry) -> None:
    assert move_alias(registry, "sums", "prod", 1) is None
    assert move_alias(registry, "sums", "prod", 3, expect=1) == 1
    assert aliases(registry) == {"prod": 3}
    assert drop_alias(registry, "sums", "prod", expect=3) == 3
    assert aliases(registry) == {}
    assert "aliases" not in registry.path.read_text()
    assert workshop.journal(registry.folder)[3:] == [
        {"event": "alias", "adapter": "sums", "alias": "prod", "from": a, "to": b}
        for a, b in [(None, 1), (1, 3), (3, None)]
    ]


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        (2, "sums@prod is version 1, not version 2; nothing was changed."),
        (None, "sums@prod is version 1 already; nothing was changed."),
    ],
)
def test_it_moves_only_from_where_it_is_expected(
    registry: Registry, expect: Expected, words: str
) -> None:
    move_alias(registry, "sums", "prod", 1, expect=None)
    before = registry.path.read_bytes(), workshop.journal(registry.folder)
    with pytest.raises(ConflictError) as moving:
        move_alias(registry, "sums", "prod", 3, expect=expect)
    with pytest.raises(ConflictError) as dropping:
        drop_alias(registry, "sums", "prod", expect=expect)
    assert moving.value.message == dropping.value.message == words
    assert (registry.path.read_bytes(), workshop.journal(registry.folder)) == before


def test_what_is_not_there_is_not_what_was_expected(registry: Registry) -> None:
    with pytest.raises(ConflictError, match=r"sums@prod is not there, not version 2"):
        move_alias(registry, "sums", "prod", 3, expect=2)
    with pytest.raises(UnknownNameError, match="has no alias 'prod'"):
        drop_alias(registry, "sums", "prod")


def test_the_same_again_writes_nothing(registry: Registry) -> None:
    move_alias(registry, "sums", "prod", 1)
    before = registry.path.stat().st_ino, workshop.journal(registry.folder)
    assert move_alias(registry, "sums", "prod", 1, expect=1) == 1
    assert (registry.path.stat().st_ino, workshop.journal(registry.folder)) == before


@pytest.mark.parametrize("alias", ["7", "007", "", "a/b", "../x", "pr od", "con", "ä"])
def test_what_cannot_name_an_alias(registry: Registry, alias: str) -> None:
    with pytest.raises(UsageError):
        move_alias(registry, "sums", alias, 1)
    assert aliases(registry) == {}


def test_it_points_to_what_is_there(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match="no version or alias '4'"):
        move_alias(registry, "sums", "prod", 4)
    stale = Registry.open(registry.path)
    adapter = registry.adapter("sums")
    remove_version(registry, adapter, adapter.version("2"))
    with pytest.raises(UnknownNameError, match="sums@2 was removed in the meantime"):
        move_alias(stale, "sums", "prod", 2)
    move_alias(registry, "sums", "prod", 3)
    with pytest.raises(ConflictError, match="sums@3 is prod"):
        remove_version(registry, adapter, adapter.version("3"))


def test_of_two_processes_that_expect_the_same_one_wins(registry: Registry) -> None:
    move_alias(registry, "sums", "prod", 1)
    code = (
        "import sys\n"
        "from adapter_hub import AdapterHubError, Registry, move_alias\n"
        "import filelock, adapter_hub.registry.edits\n"
        "registry = Registry.open()\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "try: move_alias(registry, 'sums', 'prod', int(sys.argv[1]), expect=1)\n"
        "except AdapterHubError as error: sys.exit(error.exit_code)\n"
    )
    for _ in range(3):
        started = [
            subprocess.Popen(
                [sys.executable, "-c", code, number],
                cwd=registry.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in ("2", "3")
        ]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in started:
            process.communicate(timeout=60)
        codes = [process.returncode for process in started]
        assert sorted(codes) == [0, 4]
        won = {"prod": 2 + codes.index(0)}
        assert aliases(registry) == won
        assert workshop.journal(registry.folder)[-1]["to"] == won["prod"]
        move_alias(registry, "sums", "prod", 1)
