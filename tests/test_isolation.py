"""Other people's code prints, raises and takes its time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from adapter_hub.errors import PluginError
from adapter_hub.isolation import one_line, talk_on_stderr, traced


def test_every_way_of_printing_is_talk(capfd: pytest.CaptureFixture[str]) -> None:
    print("data, still in the buffer")
    with talk_on_stderr():
        print("print")
        os.write(1, b"descriptor\n")
        subprocess.run(["echo", "child"], check=True)
        sys.__stdout__.write("the stream itself\n")  # type: ignore[union-attr]
    print("data again")
    told = capfd.readouterr()
    assert told.out == "data, still in the buffer\ndata again\n"
    assert sorted(told.err.splitlines()) == ["child", "descriptor", "print", "the stream itself"]


def test_standard_output_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), talk_on_stderr():
        os.write(1, b"before\n") / 0
    os.write(1, b"after\n")
    assert capfd.readouterr() == ("after\n", "before\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_it_does_without_what_is_closed(closed: str) -> None:
    code = "from adapter_hub.isolation import *\nwith talk_on_stderr(), traced('x'): print('y')"
    done = subprocess.run(["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code], timeout=60)
    assert done.returncode == 0


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n lines. "), "ValueError: two lines"),
        (ValueError(), "ValueError"),
        (PluginError("a sentence."), "a sentence"),
        (SystemExit(3), "it called sys.exit(3)"),
        (Silent(), "Silent"),
    ],
)
def test_an_error_is_one_line(error: BaseException, line: str) -> None:
    assert one_line(error) == line


def test_a_trace_is_asked_for(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with traced("nobody asked"):
        pass
    monkeypatch.setenv("ADAPTER_HUB_TRACE_PLUGINS", "1")
    with pytest.raises(ZeroDivisionError), traced("it failed"):
        1 / 0  # noqa: B018
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.startswith("trace: it failed: ")
    assert told.err.endswith(" ms\n")
