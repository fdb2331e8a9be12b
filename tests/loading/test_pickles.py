"""Pickled weights: tensors come out as safetensors, and anything else does nothing."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import workshop
from safetensors.torch import load_file

from adapter_hub.errors import AdapterHubError, UsageError
from adapter_hub.loading import pickles, unpickle
from adapter_hub.loading.imports import import_adapter, import_pickle
from adapter_hub.loading.pickles import PICKLE, convert_pickle
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry


class Runs:
    """Unpickled the usual way, it calls ``function``."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def refused(content: Any, folder: Path, save: Any = torch.save) -> str:
    """What is said of a pickle; nothing may be left of it."""
    source = folder / PICKLE
    if save is torch.save:
        torch.save(content, source)
    else:
        source.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        convert_pickle(source, folder / "made.safetensors")
    assert {path.name for path in folder.iterdir()} == {PICKLE}
    assert "\n" not in caught.value.message
    return caught.value.message


def test_tensors_come_out_as_they_went_in(tmp_path: Path) -> None:
    one = torch.randn(3, 4)
    tensors = {"a": one, "b": one.T, "c": one[1:], "d": one.to(torch.bfloat16), "e": torch.ones(())}
    torch.save(tensors, tmp_path / PICKLE)
    made = tmp_path / "made.safetensors"
    told = convert_pickle(tmp_path / PICKLE, made)
    assert set(told) == {"from", "sha256"}
    found = load_file(made)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("protocol", ["zip", "legacy", "bare"])
def test_what_would_run_something_runs_nothing(tmp_path: Path, protocol: str) -> None:
    (tmp_path / "out").mkdir()
    mark = tmp_path / "ran"
    evil = {"a": torch.ones(2), "b": Runs(os.system, f"touch {mark}")}
    folder = tmp_path / "out"
    if protocol == "bare":
        said = refused(pickle.dumps(evil["b"]), folder, save=bytes)
    else:
        torch.save(evil, folder / PICKLE, _use_new_zipfile_serialization=protocol == "zip")
        said = refused((folder / PICKLE).read_bytes(), folder, save=bytes)
    assert "is refused, and nothing of it was run: it " in said
    assert ("would call posix.system." in said) == (protocol != "bare")
    assert "weights_only" not in said  # torch advises to run it
    assert not mark.exists()
    # The test would see it: the usual way runs it.
    torch.load(folder / PICKLE, weights_only=False) if protocol != "bare" else pickle.loads(
        (folder / PICKLE).read_bytes()
    )
    assert mark.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "it is not a table of tensors"),
        pytest.param({}, "it is not a table of tensors", marks=pytest.mark.slow),
        ({"a": 3}, "'a' in it is not a tensor"),
        pytest.param({3: torch.ones(1)}, "'3' in it is not a tensor", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_what_is_no_table_of_tensors(tmp_path: Path, content: Any, words: str) -> None:
    assert words in refused(content, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense",
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in (b"", b"\x80\x04", b"PK\x03\x04 cut off")
        ),
    ],
)
def test_what_is_no_pickle(tmp_path: Path, content: bytes) -> None:
    assert "is refused" in refused(content, tmp_path, save=bytes)


def test_a_conversion_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / PICKLE)
    monkeypatch.setattr(pickles, "SECONDS", 0.01)
    with pytest.raises(UsageError, match="took more than"):
        convert_pickle(tmp_path / PICKLE, tmp_path / "made")


PROBE = """
import os, socket, subprocess, sys
from adapter_hub.loading.unpickle import _lock_up
_lock_up(sys.argv[1])
tries = {
    "network": lambda: socket.create_connection(("127.0.0.1", 9)),
    "system": lambda: os.system("true"),
    "program": lambda: subprocess.run(["true"]),
    "fork": lambda: os.fork(),
    "write": lambda: open("other", "w"),
    "low write": lambda: os.open("other", os.O_WRONLY | os.O_CREAT),
    "delete": lambda: os.remove(__file__),
}
for name, do in tries.items():
    try:
        do()
    except PermissionError:
        continue
    print(name)
open(sys.argv[1], "w").close()
open(sys.executable, "rb").close()
"""


def test_the_process_that_converts_can_do_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    command = [*workshop.ADAPTER_HUB[:1], "probe.py", str(tmp_path / "target")]
    root = str(Path(unpickle.__file__).parents[2])
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert not (tmp_path / "other").exists()


def test_no_secret_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("HF_HOME", "/somewhere")
    environment = pickles._environment("/empty")
    assert "secret" not in environment.values()
    assert "HF_HOME" not in environment
    assert environment["HOME"] == "/empty"


# --- import --------------------------------------------------------------------------------------


@pytest.fixture
def pickled(own: Path) -> Path:
    """The sums adapter with its weights pickled."""
    folder = Path(shutil.copytree(own / "adapters/sums/1", own / "pickled"))
    tensors = load_file(folder / "adapter_model.safetensors")
    torch.save(tensors, folder / PICKLE)
    (folder / "adapter_model.safetensors").unlink()
    return folder


def take(own: Path, folder: Path, how: Any = import_pickle) -> Any:
    return how(Registry.open(own), load_catalog(), folder, "taken", None)


def test_import_converts_when_told_to(own: Path, pickled: Path) -> None:
    with pytest.raises(UsageError, match="a pickle that can run code") as caught:
        take(own, pickled, import_adapter)
    assert "--convert-pickle" in str(caught.value.hint)
    made = take(own, pickled)
    there = Path(made["path"])
    assert not (there / PICKLE).exists()
    found = load_file(there / "adapter_model.safetensors")
    expected = load_file(own / "adapters/sums/1/adapter_model.safetensors")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    told = json.loads((there / "adapter_hub.json").read_text())["converted"]
    assert told["from"] == PICKLE
    assert told["sha256"].startswith("sha256:")
    assert (pickled / PICKLE).is_file()


def test_import_prefers_safetensors(own: Path, pickled: Path) -> None:
    shutil.copy(own / "adapters/sums/1/adapter_model.safetensors", pickled)
    there = Path(take(own, pickled)["path"])
    assert "converted" not in json.loads((there / "adapter_hub.json").read_text())


def test_import_of_a_link_out_of_the_folder(own: Path, pickled: Path) -> None:
    (pickled / PICKLE).rename(own / "elsewhere.bin")
    (pickled / PICKLE).symlink_to(own / "elsewhere.bin")
    with pytest.raises(UsageError, match="is a link to a file outside"):
        take(own, pickled)


def test_a_process_that_dies_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / PICKLE)
    monkeypatch.setattr(pickles.sys, "executable", shutil.which("false"))
    with pytest.raises(AdapterHubError, match="could not be converted: exit code 1"):
        convert_pickle(tmp_path / PICKLE, tmp_path / "made")
