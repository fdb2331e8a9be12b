"""``kill -9`` in the middle of an edit: the registry is the old or the new one, whole either way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the editors are forked")
KILLS = Path(__file__).with_name("kills.py")


@pytest.mark.parametrize("kills", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_killed_edit_leaves_the_old_or_the_new_registry(tmp_path: Path, kills: int) -> None:
    """Before every file operation of six kinds of edit, and at random moments."""
    done = subprocess.run(
        [sys.executable, str(KILLS), str(tmp_path), str(kills), "11"],
        stdout=subprocess.PIPE,
        timeout=580,
        check=True,
    )
    told = json.loads(done.stdout)
    print(told)
    assert told["random"] == kills
    assert told["operations"] > 100
    assert min(told["old"], told["new"]) > 5
    if kills >= 100:
        assert min(told["random_old"], told["random_new"]) > 5
