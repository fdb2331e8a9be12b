"""Fake distributions in a folder on ``sys.path``, as pip would leave them: real files, real scans."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

GROUP = "adapter_hub"
COMMANDS = "adapter_hub.commands"


class Site:
    """A folder like site-packages; what is installed into it is on the allow-list."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._allowed: list[str] = []
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")

    def install(
        self,
        name: str,
        code: str | None,
        *,
        target: str = "",
        group: str = GROUP,
        distribution: str = "",
        requires: str = "",
    ) -> None:
        """A distribution ``dist-NAME`` 1.2 of one module, ``fake_NAME``, and one entry point."""
        module = f"fake_{name}"
        if code is not None:
            (self.folder / f"{module}.py").write_text(code)
        distribution = distribution or f"dist-{name}"
        info = self.folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(_metadata(distribution, requires))
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {target or module}\n")
        self.allow(name)

    def allow(self, name: str) -> None:
        self._allowed.append(name)
        self._monkeypatch.setenv("ADAPTER_HUB_PLUGINS", ",".join(self._allowed))

    def remove(self, name: str) -> None:
        """Uninstall it."""
        for path in self.folder.glob(f"dist_{name}-*.dist-info/*"):
            path.unlink()
        next(self.folder.glob(f"dist_{name}-*.dist-info")).rmdir()
        (self.folder / f"fake_{name}.py").unlink()
        sys.modules.pop(f"fake_{name}", None)


def write_wheel(folder: Path, name: str, code: str, entry_points: str = "") -> Path:
    """The wheel of a distribution ``dist-NAME`` 1.2 of one module, ``fake_NAME``, for pip."""
    path = folder / f"dist_{name}-1.2-py3-none-any.whl"
    info = f"dist_{name}-1.2.dist-info"
    files = {
        f"fake_{name}.py": code,
        f"{info}/METADATA": _metadata(f"dist-{name}", ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": entry_points,
    }
    files[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for each, text in files.items():
            wheel.writestr(each, text)
    return path


def _metadata(distribution: str, requires: str) -> str:
    needed = f"Requires-Dist: {requires}\n" if requires else ""
    return f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n{needed}"
