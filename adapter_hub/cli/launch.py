"""``train NAME --launch "…"``: the same command in several processes, under accelerate's launcher."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from adapter_hub.errors import UsageError

FLAG = "--launch"
_KINDS = ("--multi_gpu", "--use_fsdp", "--use_deepspeed", "--cpu", "--tpu", "--config_file")
_DEFAULTS = {"--mixed_precision": "no", "--dynamo_backend": "no", "--num_machines": "1"}
"""Said aloud, or the launcher warns that it chose them. The loop chooses number types itself."""


def launch_flags(text: str) -> list[str]:
    """What was given to ``--launch``, as the launcher takes it. Raises UsageError."""
    from adapter_hub.training.processes import process_count

    if process_count() > 1:
        raise UsageError(f"this process was launched already: leave {FLAG} out.")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(
            f"{FLAG} {text!r} cannot be taken apart: {error}.",
            hint=f'quote it once, as in {FLAG} "--num_processes 2"',
        ) from None


def launch(flags: Sequence[str], arguments: Sequence[str]) -> int:
    """Run ``adapter-hub`` with ``arguments`` under ``accelerate launch``; its exit code.

    Ctrl-C and SIGTERM reach the processes, which save their state first.
    """
    command = [sys.executable, "-m", "adapter_hub.cli.launcher", *_completed(flags)]
    child = subprocess.Popen(
        [*command, "-m", "adapter_hub", *_without_flag(arguments)], env=_environment(flags)
    )
    before = signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGTERM))
    try:
        return _wait(child)
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Ctrl-C goes to the whole group of processes: theirs is the last word."""
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue


def _completed(flags: Sequence[str]) -> list[str]:
    """With the defaults said, and processes on a machine without a GPU launched as such.

    Left alone, accelerate starts one process there, however many were asked for.
    """
    import torch
    from accelerate.commands.config.config_args import default_config_file

    names = {each.partition("=")[0].replace("-", "_") for each in flags}
    given = {f"--{each.lstrip('_')}" for each in names}
    added: list[str] = []
    if not given & set(_KINDS) and not torch.accelerator.is_available():
        added.append("--multi_gpu")  # its word for processes that talk to each other
    if "--config_file" not in given and not os.path.exists(default_config_file):
        for name, value in _DEFAULTS.items():
            added += [] if name in given else [name, value]
    return [*added, *flags]


def _environment(flags: Sequence[str]) -> Mapping[str, str]:
    environment = dict(os.environ)
    count = _processes(flags)
    if count and "OMP_NUM_THREADS" not in environment:
        # The launcher's own choice is one thread each.
        environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // count))
    return environment


def _processes(flags: Sequence[str]) -> int:
    for place, each in enumerate(flags):
        name, _, value = each.partition("=")
        if name.replace("-", "_") == "__num_processes":
            value = value or " ".join(flags[place + 1 : place + 2])
            return int(value) if value.isdigit() else 0
    return 0


def _without_flag(arguments: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for each in arguments:
        if skip:
            skip = False
        elif each == FLAG:
            skip = True
        elif not each.startswith(f"{FLAG}="):
            kept.append(each)
    return kept
