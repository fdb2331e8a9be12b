"""plugins new: what it refuses, and what it says comes next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Hub = Callable[..., Any]


@pytest.mark.parametrize(
    ("flags", "kind", "first"),
    [
        ((), "method", "adapter-hub methods mine"),
        (("--method",), "method", "adapter-hub methods mine"),
        (("--dataset",), "dataset", "adapter-hub datasets mine"),
        (("--base",), "base", "adapter-hub base add mine plugin:mine"),
    ],
)
def test_it_says_what_comes_next(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    kind: str,
    first: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = hub("plugins", "new", "mine", *flags)
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines() == [
        f"wrote adapter-hub-mine/: a {kind}, with its test. Next:",
        "  pip install -e ./adapter-hub-mine",
        "  adapter-hub plugins --check",
        f"  {first}",
        "  pytest ./adapter-hub-mine",
    ]
    module = tmp_path / "adapter-hub-mine/adapter_hub_mine/__init__.py"
    assert f"def register_{kind}s(register" in module.read_text()


def test_into_another_folder(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "my plugins").mkdir()
    done = hub("plugins", "new", "mine", "--into", str(tmp_path / "my plugins"))
    assert done.code == 0
    assert f"pip install -e '{tmp_path}/my plugins/adapter-hub-mine'" in done.err
    assert hub("plugins", "new", "mine", "--into", str(tmp_path / "nowhere")).code == 2


def test_one_kind_at_a_time(hub: Hub, tmp_path: Path) -> None:
    done = hub("plugins", "new", "mine", "--method", "--base", "--into", str(tmp_path))
    assert done.code == 2
    assert "one of --method, --dataset and --base" in done.err
    assert not list(tmp_path.iterdir())


def test_exit_codes(hub: Hub, tmp_path: Path) -> None:
    into = ("--into", str(tmp_path))
    assert hub("plugins", "new", "lora", *into).code == 2
    assert hub("plugins", "new", "mine", *into).code == 0
    again = hub("plugins", "new", "mine", *into)
    assert again.code == 4
    assert "is already there" in again.err
    assert "use another name, or another folder with --into DIR" in again.err


def test_a_folder_that_cannot_be_written(hub: Hub) -> None:
    done = hub("plugins", "new", "mine", "--into", "/proc")
    assert done.code == 1
    assert "cannot be read or written" in done.err
