"""Where nothing can be written, every command that writes says so and leaves all as it was."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import workshop

from adapter_hub.registry.store import Registry

Run = Callable[..., subprocess.CompletedProcess[str]]

WRITING = [
    "alias sums@1 prod",
    "alias sums prod --remove",
    "tag sums new",
    "describe sums text",
    "rename sums other",
    "copy sums other",
    "remove sums --yes",
    "remove sums@1 --yes",
    "base add more plugin:tiny",
    "lock",
    "bundle create sums.tar sums",
]
READING = ["list", "show sums", "status", "history sums", "verify --all", "gc --dry-run"]


@pytest.fixture
def home(project: Path) -> Path:
    registry = Registry.open(project)
    for content in ("one", "two"):
        workshop.publish(registry, "sums", content)
    registry.edit_adapter("sums", lambda entry: entry.update(aliases={"prod": 2}))
    return project


def run(home: Path, command: str, *before: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *workshop.ADAPTER_HUB, *command.split()],
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def content(home: Path) -> dict[str, bytes | None]:
    """Every file; the folders, too, but not the one that a lock makes."""
    return {
        str(path.relative_to(home)): path.read_bytes() if path.is_file() else None
        for path in home.rglob("*")
        if not path.name.endswith(".lock")
    }


def check(home: Path, *before: str) -> None:
    was = content(home)
    for command in WRITING:
        done = run(home, command, *before)
        assert done.returncode == 1, (command, done)
        assert "cannot be" in done.stderr, (command, done.stderr)
        assert done.stderr.startswith("Error: "), (command, done.stderr)
        assert content(home) == was, command
    for command in READING:
        assert run(home, command, *before).returncode == 0, command
    assert content(home) == was


def _powerless() -> list[str]:
    """What makes a process obey the modes of files, whoever runs the tests."""
    if os.name != "posix" or os.getuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("the superuser may write everywhere, and setpriv is not here")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all"]


def test_a_folder_that_may_only_be_read(home: Path) -> None:
    before = _powerless()
    places = [home, *home.rglob("*")]
    modes = {place: place.stat().st_mode for place in places}
    for place in places:
        place.chmod(modes[place] & ~0o222)
    try:
        check(home, *before)
    finally:
        for place in places:
            place.chmod(modes[place])


@pytest.fixture
def full(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project on a file system of its own that has no room left."""
    disk = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield Path(shutil.copytree(home, disk / "home"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_full(full: Path) -> None:
    with (full.parent / "fill").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    assert shutil.disk_usage(full).free < 4096
    check(full)
