"""Standard streams that are full, closed or gone, and Ctrl-C before anything is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = f"'{sys.executable}' -m adapter_hub"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("words", ["base list", "--help", "list --json"])
def test_a_full_disk_behind_the_output(project: Path, words: str) -> None:
    done = shell(f"{COMMAND} {words} > /dev/full", project)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_output_does_not_hide_the_error(project: Path) -> None:
    done = shell(f"{COMMAND} show nope >&-", project)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: registry.toml has no adapter 'nope'")


def test_a_reader_that_leaves(project: Path) -> None:
    done = shell(f"{COMMAND} methods lora | head -1", project)
    assert done.stdout.startswith("lora: ")
    assert "rror" not in done.stderr  # a slow reader leaves when all has been said
    assert shell(f"{COMMAND} methods lora | true", project).stderr == ""


def test_control_c_during_the_imports(project: Path) -> None:
    script = (
        "import sys, os, signal\n"
        "class Slow:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'click': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from adapter_hub.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=project, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
