"""The demo's Hub: a process of its own on this machine, and commands that know no other."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from adapter_hub.errors import HubError

_SECONDS_TO_END = 15.0
_HUB_VARIABLES = ("HF_", "HUGGING_FACE_", "HUGGINGFACE_")
_COMMAND = (sys.executable, "-m", "adapter_hub")


@contextlib.contextmanager
def serve_in_background(folder: Path, log: Path) -> Iterator[dict[str, str]]:
    """``hub serve FOLDER`` on a free port; the environment in which commands meet this Hub alone.

    The process ends with the block, however that ends; a SIGTERM meanwhile ends it too. Raises
    HubError where it does not start.
    """
    with (
        _leave_at_sigterm(),
        log.open("w", encoding="utf-8") as errors,
        tempfile.TemporaryDirectory(prefix="adapter-hub-") as home,
        subprocess.Popen(
            [*_COMMAND, "hub", "serve", str(folder), "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        ) as server,
    ):
        try:
            yield _environment(_read_exports(server, log), home)
        finally:
            server.terminate()
            try:
                server.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                server.kill()


def run_in(environment: dict[str, str], arguments: Sequence[str]) -> int:
    """Run a command of adapter-hub in a process of its own; its exit code."""
    return subprocess.run([*_COMMAND, *arguments], env=environment).returncode


def _read_exports(server: subprocess.Popen[str], log: Path) -> dict[str, str]:
    """What it prints for a shell: its address, and the token that it made. Raises HubError."""
    assert server.stdout
    exports: dict[str, str] = {}
    while "HF_TOKEN" not in exports:
        line = server.stdout.readline()
        if not line:
            said = log.read_text(encoding="utf-8").strip().splitlines()
            raise HubError(
                f"the Hub did not start: {said[0].removeprefix('Error: ') if said else 'it ended'}",
                hint=f"see {log}",
            )
        name, _, value = line.strip().removeprefix("export ").partition("=")
        exports[name] = value
    return exports


def _environment(exports: dict[str, str], home: str) -> dict[str, str]:
    """The user's, without a word of other Hubs: no token, no token store, no offline mode.

    What a proxy is told of loopback would be asked of another machine.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_HUB_VARIABLES)}
    direct = ",".join(filter(None, ["127.0.0.1", os.environ.get("NO_PROXY")]))
    return {**kept, **exports, "HF_HOME": home, "NO_PROXY": direct, "no_proxy": direct}


@contextlib.contextmanager
def _leave_at_sigterm() -> Iterator[None]:
    """Else the process would end at once, and leave the one that it started."""

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    try:
        before = signal.signal(signal.SIGTERM, leave)
    except ValueError:  # only the main thread can
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
