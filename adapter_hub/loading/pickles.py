"""Adapters whose weights are pickled: refused, or converted where no harm can come of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import adapter_hub
from adapter_hub.errors import AdapterHubError, UsageError
from adapter_hub.loading.unpickle import REFUSED
from adapter_hub.registry.versions import file_digest

PICKLE = "adapter_model.bin"
SECONDS = 600.0
"""How long a conversion may take."""
# What Python and torch need to start; no token, no address, no home that keeps one.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "OMP_NUM_THREADS", "LANG")


def convert_pickle(source: Path, target: Path) -> dict[str, str]:
    """Write the tensors of ``source`` into the safetensors file ``target``; what to record of it.

    Raises UsageError for a file that holds anything but tensors; nothing of it is run.
    """
    with tempfile.TemporaryDirectory(prefix="adapter-hub-") as empty:
        made = Path(empty) / target.name
        command = [sys.executable, "-m", "adapter_hub.loading.unpickle", str(source.resolve())]
        try:
            done = subprocess.run(
                [*command, str(made)],
                cwd=empty,
                env=_environment(empty),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise UsageError(
                f"{source.name} took more than {SECONDS:.0f} s to convert; it was given up."
            ) from None
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        if done.returncode == REFUSED:
            raise UsageError(
                f"{source.name} is refused, and nothing of it was run: {said}.",
                hint="ask its owner to save it again as safetensors",
            )
        if done.returncode or not made.is_file():
            raise AdapterHubError(f"{source.name} could not be converted: {said}.")
        digest = file_digest(source)
        _move(made, target)
    return {"from": source.name, "sha256": digest}


def _environment(home: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    paths = [str(Path(adapter_hub.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {
        **kept,
        "HOME": home,
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "TMPDIR": home,
    }


def _move(made: Path, target: Path) -> None:
    """Atomically, also from another file system."""
    import shutil

    part = target.with_name(f"{target.name}.part")
    shutil.copyfile(made, part)
    os.replace(part, target)
