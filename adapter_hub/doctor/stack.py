"""Versions of everything underneath, by metadata alone, and where torch computes."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from adapter_hub.doctor.findings import Finding

_OURSELVES = "adapter-hub"
_SECONDS = 120
_PROBE = """
import json, torch
from adapter_hub.loading.dtype import choose_device, choose_dtype
device = choose_device()
dtype, why = choose_dtype("auto")
print(json.dumps({
    "device": device,
    "name": torch.cuda.get_device_name() if device == "cuda" else torch.backends.cpu.get_cpu_capability(),
    "dtype": f"{str(dtype).removeprefix('torch.')} ({why})",
    "threads": torch.get_num_threads(),
}))
"""


def versions() -> Iterator[Finding]:
    """adapter-hub, Python, the platform."""
    yield Finding(_OURSELVES, "ok", metadata.version(_OURSELVES))
    yield Finding("python", "ok", f"{platform.python_implementation()} {platform.python_version()}")
    cores = os.cpu_count()
    yield Finding("platform", "ok", f"{platform.platform()}, {cores} processors")


def demands() -> Iterator[Finding]:
    """What adapter-hub needs, and what those need in turn: whether the installed versions are it."""
    names = [_OURSELVES]
    told = []
    bad = []
    for requirement in _requirements(_OURSELVES):
        names.append(requirement.name)
        found = _version(requirement.name)
        told.append(f"{requirement.name} {found or 'missing'}")
    yield Finding("stack", "ok", ", ".join(sorted(told, key=str.casefold)))
    for name in names:
        for requirement in _requirements(name):
            found = _version(requirement.name)
            wanted = f"{requirement.name}{requirement.specifier}"
            if found is None and (name == _OURSELVES or _version(name)):
                bad.append((f"{name} needs {wanted}, which is not installed", requirement))
            elif found and not requirement.specifier.contains(found, prereleases=True):
                bad.append((f"{name} needs {wanted}, and {found} is installed", requirement))
    for text, requirement in bad:
        command = f"pip install '{requirement.name}{requirement.specifier}'"
        yield Finding("stack", "problem", text, command)


def device() -> Iterator[Finding]:
    """Whether torch can be imported, and where it would compute: asked of a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        text = f"it was not imported within {_SECONDS} s"
        yield Finding("torch", "problem", text, "python -X importtime -c 'import torch'")
        return
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        text = f"it cannot be imported: {lines[-1]}"
        yield Finding("torch", "problem", text, "python -c 'import torch' shows the whole of it")
        return
    told = json.loads(done.stdout.splitlines()[-1])
    text = f"{told['device']} ({told['name']}), {told['dtype']}, {told['threads']} threads"
    yield Finding("torch", "ok", text)


def _requirements(name: str) -> Iterator[Requirement]:
    """Those that hold here, without extras."""
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _version(name: str) -> str | None:
    try:
        return metadata.version(canonicalize_name(name))
    except metadata.PackageNotFoundError:
        return None
