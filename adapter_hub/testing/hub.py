"""A real Hub on loopback, in a process of its own, for tests that push and pull."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TextIO

SECONDS = 60.0


class HubBox:
    """``with HubBox(folder) as box:`` has ``endpoint``, ``token`` (of user local) and ``log()``.

    A second one on the same folder, after the first or beside it, has the same repositories.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._options = options
        self.endpoint = ""
        self.token = ""
        self.process: subprocess.Popen[str] | None = None
        self._log: TextIO | None = None

    def __enter__(self) -> HubBox:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Beside the folder: what the Hub writes there is its own.
        self._log = (self.folder.parent / f"{self.folder.name}.log").open("a", encoding="utf-8")
        command = [sys.executable, "-m", "adapter_hub", "hub", "serve", str(self.folder)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", *self._options],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line.startswith("export HF_ENDPOINT="):
            self.__exit__()
            raise AssertionError(f"the Hub did not start: {line}{self.log()}")
        self.endpoint = line.strip().partition("=")[2]
        # Made before the address is printed; not there with --users.
        token = self.folder / "token"
        self.token = token.read_text().strip() if token.exists() else ""
        return self

    def __exit__(self, *_: object) -> None:
        if self.process and self._log:
            self.process.terminate()
            self.process.wait(SECONDS)
            assert self.process.stdout
            self.process.stdout.close()
            self._log.close()

    def log(self) -> str:
        """Everything that it has said: a line for each request."""
        return (self.folder.parent / f"{self.folder.name}.log").read_text(encoding="utf-8")

    def environment(self, home: Path) -> dict[str, str]:
        """Variables for a process that is to know this Hub alone; ``home`` is its ``HF_HOME``."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_TOKEN": self.token,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
        }
