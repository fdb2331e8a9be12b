"""The built-in base models, registered exactly like a third party's."""

from __future__ import annotations

from pathlib import Path

from adapter_hub.hookspecs import RegisterBase, hookimpl


@hookimpl
def register_bases(register: RegisterBase) -> None:
    register("tiny", tiny, summary="a small Llama that writes fairy tales; ships in the package")


def tiny() -> Path:
    """The folder of the embedded base."""
    return Path(__file__).with_name("tiny")
