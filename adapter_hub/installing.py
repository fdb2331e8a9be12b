"""pip of this very environment, for the distributions of plugins."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Collection, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from adapter_hub.entry_points import STRICT_VARIABLE, canonical, plugin_distributions
from adapter_hub.errors import PluginError, UnknownNameError, UsageError
from adapter_hub.options import suggestion

_WITH_REPORT = (22, 2)


def install(names: Sequence[str], *, quiet: bool = False) -> dict[str, bool]:
    """Have pip install ``names``: paths, names, requirements.

    Returns the distributions that it installed, or that were there already, and of each whether
    it was asked for or came as a dependency. Raises UsageError, and PluginError when pip is
    missing or fails; pip says itself why, on stderr.
    """
    _refuse_options(names)
    _require_pip()
    with tempfile.TemporaryDirectory(prefix="adapter-hub-") as folder:
        report = Path(folder) / "report.json"
        if _pip(["install", "--report", str(report)], names, quiet):
            raise PluginError(
                f"pip could not install {', '.join(names)}; its reason is above.", hint=_elsewhere()
            )
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    asked = {canonical(each): True for each in map(_name_of, names) if each}
    return asked | {
        canonical(each["metadata"]["name"]): bool(each["requested"]) for each in installed
    }


def find_installed(names: Iterable[str]) -> dict[str, str]:
    """The plugins' distributions of these names, or that bring plugins of these names; versions.

    Raises UsageError, and UnknownNameError for what is not installed or no plugin.
    """
    names = list(names)
    _refuse_options(names)
    plugins = plugin_distributions()
    found = {}
    for name in names:
        meant = [each for each in plugins if canonical(each.name) == canonical(name)]
        meant = meant or [each for each in plugins if name in each.entries]
        if not meant:
            close = suggestion(name, [each.name for each in plugins])
            raise UnknownNameError(
                f"{name!r} is no plugin that is installed here{close}.", hint="adapter-hub plugins"
            )
        if len(meant) > 1:
            several = " and ".join(each.name for each in meant)
            raise UnknownNameError(f"{several} both bring a plugin {name!r}; name one of them.")
        found[meant[0].name] = meant[0].version
    return found


def uninstall(names: Collection[str], *, quiet: bool = False) -> None:
    """Have pip remove distributions. Raises PluginError when it is missing, fails, or leaves one."""
    _require_pip()
    if _pip(["uninstall", "--yes"], names, quiet):
        raise PluginError(
            f"pip could not remove {', '.join(names)}; its reason is above.", hint=_elsewhere()
        )
    importlib.invalidate_caches()
    for name in names:
        # pip leaves alone what is not in its own environment, and calls that a success.
        for left in metadata.distributions(name=name):
            raise PluginError(
                f"{name} is still there: it lies in {left.locate_file('')}, outside of what pip "
                f"of {sys.executable} removes."
            )


def plugins_afresh(installed: Collection[str]) -> list[dict[str, Any]]:
    """What ``plugins --json`` says in a process that starts now.

    Raises PluginError when one of ``installed`` ends that process.
    """
    command = [sys.executable, "-m", "adapter_hub", "plugins", "--json"]
    unset = (STRICT_VARIABLE, "ADAPTER_HUB_DEBUG")
    settings = {key: value for key, value in os.environ.items() if key not in unset}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=settings)
    if done.returncode:
        raise PluginError(
            f"{', '.join(installed)}: installed, but adapter-hub does not work any more "
            f"(exit code {done.returncode}).",
            hint=f"{sys.executable} -m pip uninstall {' '.join(installed)}",
        )
    lines: list[dict[str, Any]] = json.loads(done.stdout)
    return lines


def _refuse_options(names: Sequence[str]) -> None:
    for name in names:
        if not name.strip() or name.lstrip().startswith("-") or not name.isprintable():
            raise UsageError(
                f"{name!r} is not a name, a path or a requirement; pip gets no options from here."
            )


def _require_pip() -> None:
    try:
        version = metadata.version("pip")
    except metadata.PackageNotFoundError:
        raise PluginError(
            f"the environment of {sys.executable} has no pip.",
            hint=f"{sys.executable} -m ensurepip",
        ) from None
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < _WITH_REPORT:
        raise PluginError(
            f"pip {version} cannot say what it installs; 22.2 or newer can.",
            hint=f"{sys.executable} -m pip install --upgrade pip",
        )


def _pip(command: list[str], names: Iterable[str], quiet: bool) -> int:
    """Run pip; what it says is talk. Its exit code."""
    options = ["--disable-pip-version-check", *(["--quiet"] if quiet else [])]
    arguments = [sys.executable, "-m", "pip", *command, *options, "--", *names]
    return subprocess.run(arguments, stdout=sys.stderr).returncode


def _elsewhere() -> str | None:
    """A hint where somebody else keeps this environment: PEP 668."""
    marker = Path(sysconfig.get_path("stdlib", sysconfig.get_default_scheme()))
    if sys.prefix != sys.base_prefix or not (marker / "EXTERNALLY-MANAGED").is_file():
        return None
    return (
        f"{sys.executable} belongs to the operating system; install adapter-hub and its plugins "
        "in an environment of your own: python -m venv"
    )


def _name_of(wanted: str) -> str:
    """The distribution that a requirement or a wheel names, for pip tells only what it changed."""
    from packaging.requirements import InvalidRequirement, Requirement

    if wanted.endswith(".whl"):
        return Path(wanted).name.partition("-")[0]
    try:
        return Requirement(wanted).name
    except InvalidRequirement:
        return ""
