"""Registry: found, read, edited under a lock, replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli

from adapter_hub.errors import (
    ConflictError,
    RegistryError,
    RegistryNotFoundError,
    UnknownNameError,
    UsageError,
)
from adapter_hub.model import Base, Source, parse_reference
from adapter_hub.registry import store
from adapter_hub.registry.place import find_registry
from adapter_hub.registry.store import Registry

TEXT = """\
# the team's registry
schema = 1

[bases.tiny] # ships with it
source = "plugin:tiny"

# the first one
[adapters.Alpha]
base = "tiny"
unknown = { kept = [1, 2] } # by us
aliases = { prod = 1 }

[adapters.Alpha.versions.1]
created = 2026-01-01T00:00:00Z
files = {}

[adapters.Alpha.versions.2]
created = 2026-01-02T00:00:00Z
files = {}

[tool.other]
key = 1
"""


Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Start a process with some lines of Python beside the registry; gone after the test."""
    with contextlib.ExitStack() as started:

        def start(*lines: str, before: Any = None) -> subprocess.Popen[str]:
            code = (
                "import sys",
                "from adapter_hub.errors import RegistryError",
                "from adapter_hub.registry.store import Registry",
                "registry = Registry.open()",
                *lines,
            )
            process = subprocess.Popen(
                [sys.executable, "-c", "\n".join(code)],
                cwd=tmp_path,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                preexec_fn=before,
            )
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield start


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "registry.toml"
    path.write_bytes(TEXT.encode())
    return path


def set_data(document: dict[str, Any]) -> None:
    document["adapters"]["Alpha"]["data"] = "rows.jsonl"


EDITED = TEXT.replace('base = "tiny"\n', 'base = "tiny"\ndata = "rows.jsonl"\n')


def test_found_by_walking_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = path.parent / "a" / "b"
    below.mkdir(parents=True)
    assert find_registry(below) == path
    monkeypatch.chdir(below)
    assert Registry.open().path == path.resolve()


def test_found_in_the_environment(
    path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(RegistryNotFoundError) as caught:
        Registry.open()
    assert caught.value.hint == "adapter-hub init"
    monkeypatch.setenv("ADAPTER_HUB_REGISTRY", str(path))
    assert Registry.open().adapter_names() == ["Alpha"]


def test_a_named_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RegistryNotFoundError, match="no registry at"):
        Registry.open(tmp_path / "registry.toml")


def test_references(path: Path) -> None:
    registry = Registry.open(path)
    for text, number in [("Alpha", 2), ("Alpha@1", 1), ("Alpha@prod", 1), ("Alpha@2", 2)]:
        assert registry.resolve(parse_reference(text))[1].number == number
    for text, words in [
        ("Alhpa", "did you mean 'Alpha'"),
        ("Alpha@3", "it has 1, 2, prod"),
        ("Alpha@pord", "it has 1, 2, prod"),
    ]:
        with pytest.raises(UnknownNameError, match=words):
            registry.resolve(parse_reference(text))
    with pytest.raises(UnknownNameError, match="did you mean 'tiny'"):
        registry.base("tinny")


def test_an_edit_keeps_every_other_byte(path: Path) -> None:
    registry = Registry.open(path)
    registry.edit(set_data)
    assert path.read_bytes() == EDITED.encode()
    assert registry.adapter("Alpha").recipe.data == "rows.jsonl"


def test_an_edit_that_changes_nothing_writes_nothing(path: Path) -> None:
    before = path.stat()
    Registry.open(path).edit(lambda document: document["adapters"]["Alpha"].update(base="tiny"))
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_edit_sees_what_others_wrote_meanwhile(path: Path) -> None:
    registry = Registry.open(path)
    path.write_text(TEXT.replace('base = "tiny"', 'base = "tiny"\ndescription = "theirs"'))
    registry.edit(set_data)
    assert registry.adapter("Alpha").description == "theirs"
    assert 'description = "theirs"' in path.read_text()


def test_one_adapter_is_edited_as_it_is_by_now(path: Path) -> None:
    registry = Registry.open(path)
    path.write_text(TEXT + '\n[adapters.late]\ndescription = "theirs"\n')
    registry.edit_adapter("late", lambda entry: entry.update(data="rows.jsonl"))
    late = registry.adapter("late")
    assert (late.description, late.recipe.data) == ("theirs", "rows.jsonl")
    assert path.read_text().startswith(TEXT)


def test_one_adapter_that_is_gone_by_now_is_not_made_again(path: Path) -> None:
    registry = Registry.open(path)
    with pytest.raises(UnknownNameError, match=r"no adapter 'Alpa' \(did you mean 'Alpha'"):
        registry.edit_adapter("Alpa", set_data)
    path.write_text("schema = 1\n")
    with pytest.raises(UnknownNameError, match="'Alpha' was removed in the meantime; nothing was"):
        registry.edit_adapter("Alpha", set_data)
    assert path.read_text() == "schema = 1\n"


def test_crlf_and_a_last_line_without_end_survive(path: Path) -> None:
    path.write_bytes(TEXT.replace("\n", "\r\n").rstrip().encode())
    Registry.open(path).edit(set_data)
    assert path.read_bytes() == EDITED.replace("\n", "\r\n").rstrip().encode()


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_the_mode_is_kept(path: Path, mode: int) -> None:
    path.chmod(mode)
    Registry.open(path).edit(set_data)
    assert path.stat().st_mode & 0o7777 == mode


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "registry.toml"
    link.symlink_to(path)
    registry = Registry.open(link)
    registry.edit(set_data)
    assert link.is_symlink()
    assert path.read_text() == EDITED
    assert registry.folder == path.parent.resolve()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    registry = Registry.open(path)
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(RegistryError, match=r"registry.toml cannot be written: No space left"):
        registry.edit(set_data)
    assert path.read_bytes() == TEXT.encode()
    assert {each.name for each in path.parent.iterdir()} <= {"registry.toml", ".registry.toml.lock"}


def test_a_write_that_the_system_cuts_short_leaves_the_file(path: Path, run: Run) -> None:
    """A real one: the process may not write files of more than 100 bytes."""
    resource = pytest.importorskip("resource")
    done = run(
        "import signal",
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)",
        "try: registry.edit(lambda d: d['adapters']['Alpha'].update(data='x' * 9))",
        "except RegistryError as error: print(error.message)",
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    assert "cannot be written" in done.communicate()[0]
    assert path.read_bytes() == TEXT.encode()
    assert {each.name for each in path.parent.iterdir()} <= {"registry.toml", ".registry.toml.lock"}


def test_a_change_without_the_lock_is_not_overwritten(path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        set_data(document)
        path.write_text(TEXT + "# typed in this moment\n")

    with pytest.raises(ConflictError, match="nothing was written"):
        Registry.open(path).edit(change)
    assert path.read_text() == TEXT + "# typed in this moment\n"


def test_an_edit_that_would_break_the_registry_is_not_written(path: Path) -> None:
    for change in (
        lambda document: document.update(schema="one"),
        lambda document: document["adapters"].update({"a/b": {"base": "x"}}),
        lambda document: document["adapters"].update({"alpha": {"base": "x"}}),
    ):
        with pytest.raises(RegistryError):
            Registry.open(path).edit(change)
        assert path.read_bytes() == TEXT.encode()


def test_a_change_that_raises_writes_nothing_and_lets_go_of_the_lock(path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        set_data(document)
        raise ZeroDivisionError

    registry = Registry.open(path)
    with pytest.raises(ZeroDivisionError):
        registry.edit(change)
    assert path.read_bytes() == TEXT.encode()
    registry.edit(set_data)
    assert path.read_text() == EDITED


def wait_for_line(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


HOLD = (
    "def change(document): print('ready', flush=True); sys.stdin.readline()",
    "registry.edit(change)",
)


def test_a_held_lock_is_a_conflict_after_a_while(
    path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = run(*HOLD)
    wait_for_line(holder)
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.2)
    with pytest.raises(ConflictError, match="locked by another process"):
        Registry.open(path).edit(set_data)
    assert Registry.open(path).adapter_names() == ["Alpha"]  # readers take no lock
    holder.communicate("go on\n")
    Registry.open(path).edit(set_data)
    assert path.read_text() == EDITED


def test_a_killed_holder_holds_nothing(path: Path, run: Run) -> None:
    holder = run(*HOLD)
    wait_for_line(holder)
    holder.kill()
    holder.wait()
    Registry.open(path).edit(set_data)
    assert path.read_text() == EDITED


def test_several_processes_at_once_lose_nothing(path: Path, run: Run) -> None:
    writers = [
        run(
            "print('ready', flush=True); sys.stdin.readline()",
            "for number in range(8):",
            f"    name = 'a{writer}-%d' % number",
            "    registry.edit(lambda d: d['adapters'].update({name: {'base': 'tiny'}}))",
        )
        for writer in range(3)
    ]
    for writer in writers:
        wait_for_line(writer)
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        assert writer.wait(timeout=60) == 0
        writer.communicate()
    names = Registry.open(path).adapter_names()
    assert sorted(names) == sorted(["Alpha", *(f"a{w}-{n}" for w in range(3) for n in range(8))])
    assert path.read_text().startswith("# the team's registry\nschema = 1\n")


def test_kill_9_in_the_middle_leaves_a_valid_registry(path: Path, run: Run) -> None:
    for attempt in range(6):
        writer = run(
            "print('ready', flush=True)",
            "for number in range(10_000):",
            "    registry.edit(lambda d: d['adapters']['Alpha'].update(data='d' * (number % 900)))",
        )
        wait_for_line(writer)
        time.sleep(0.02 + 0.013 * attempt)
        writer.kill()
        writer.wait()
        registry = Registry.open(path)
        data = registry.adapter("Alpha").recipe.data or ""
        assert set(data) <= {"d"}
        assert sorted(registry.adapter("Alpha").versions) == [1, 2]
        assert "unknown = { kept = [1, 2] } # by us" in path.read_text()
    Registry.open(path).edit(set_data)
    assert path.read_text() == EDITED


def test_bases_are_put_and_removed(path: Path) -> None:
    registry = Registry.open(path)
    registry.put_base(Base("other", Source("path", "models/x"), "sha256:1"))
    assert registry.base("other").revision == "sha256:1"
    for twin in ("other", "OTHER"):
        with pytest.raises(ConflictError, match="already base 'other'"):
            registry.put_base(Base(twin, Source("plugin", "tiny")))
    for name in ("../x", "nul", "a b", ""):
        with pytest.raises(UsageError, match="cannot name"):
            registry.put_base(Base(name, Source("plugin", "tiny")))
    with pytest.raises(ConflictError, match="used by Alpha"):
        registry.remove_base("tiny")
    with pytest.raises(UnknownNameError):
        registry.remove_base("nope")
    registry.remove_base("other")
    assert path.read_bytes() == TEXT.encode()


def test_nothing_of_an_edit_is_seen_by_another_reader_of_the_same_object(path: Path) -> None:
    registry, other = Registry.open(path), Registry.open(path)
    registry.edit(set_data)
    assert other.adapter("Alpha").recipe.data is None
    assert tomli.loads(path.read_text())["adapters"]["Alpha"]["data"] == "rows.jsonl"
