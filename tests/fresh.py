"""An environment of its own, in which pip installs and uninstalls for real and without a network."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
_MODULES = {"pip": "pip", "pytest": "pytest", "adapter-hub": "adapter_hub"}


class Fresh:
    """A new virtual environment; ``run(…)`` has its commands on the path.

    To spare downloads it sees what the running interpreter has; adapter-hub is this checkout.
    Its pip asks no index, and builds with the setuptools that is there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, with_pip=False)
        variables = {"base": str(folder), "platbase": str(folder)}
        site = Path(sysconfig.get_path("purelib", "venv", vars=variables))
        (site / "running.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        binaries = Path(sysconfig.get_path("scripts", "venv", vars=variables))
        for name, module in _MODULES.items():
            script = binaries / name
            script.write_text(f'#!/bin/sh\nexec "{binaries}/python" -m {module} "$@"\n')
            script.chmod(0o755)
        dropped = ("PYTHONPATH", "VIRTUAL_ENV", "ADAPTER_HUB_PLUGINS", "PYTEST_ADDOPTS")
        kept = {key: value for key, value in os.environ.items() if key not in dropped}
        self.environment = {
            **kept,
            "PATH": f"{binaries}{os.pathsep}{kept['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the name says: 0 is no isolation
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "ADAPTER_HUB_CACHE": str(folder / "cache"),
            "HF_HOME": str(folder / "hf-home"),
        }

    def run(self, *command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command and say what it said."""
        return subprocess.run(
            command,
            cwd=cwd,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,  # nobody is there to be asked
            capture_output=True,
            text=True,
        )
