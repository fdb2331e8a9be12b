"""Code that comes with a base: refused, or run because the registry's entry says so.

transformers runs the classes that a configuration's ``auto_map`` names when it is called with
``trust_remote_code``. It is called so for a base whose entry trusts the code, never for what
comes with an adapter. The code is pinned: by the commit of an ``hf:`` base, else by its digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapter_hub.errors import BaseModelError, IncompatibleError
from adapter_hub.loading.identity import read_json
from adapter_hub.model import Base

CODE = "*.py"
_MAPPED = ("config.json", "tokenizer_config.json")


def code_digest(folder: Path) -> str:
    """``sha256:…`` of every Python file in ``folder`` and below it, with its name."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob(CODE)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def check_trusted_code(base: Base, folder: Path) -> None:
    """Nothing for a base that is not trusted; else its code must be the code that was pinned.

    Raises IncompatibleError for other code, BaseModelError for code of another repository: that
    one's commit is pinned nowhere.
    """
    if not base.trust_remote_code:
        return
    elsewhere = next((name for name in _mapped_classes(folder) if "--" in name), None)
    if elsewhere:
        raise BaseModelError(
            f"base {base.name!r} names code of another repository ({elsewhere}), which its "
            "revision does not pin; adapter-hub does not run it.",
            hint="keep that code in the model's folder: adapter-hub base add NEW-NAME path:DIR "
            "--trust-remote-code",
        )
    if base.source.kind != "hf" and base.code != code_digest(folder):
        raise IncompatibleError(
            f"the code of base {base.name!r} in {base.source} is not the code that was trusted.",
            hint="read it; then, to trust it anew: adapter-hub base add NEW-NAME "
            f"{base.source} --trust-remote-code",
        )


def refuse_adapter_code(what: str, folder: Path) -> None:
    """Raises IncompatibleError when the adapter in ``folder`` brings code: trust is for bases.

    PEFT hands the trust in a base on to the tokenizer beside the adapter.
    """
    for name in _mapped_classes(folder):
        raise IncompatibleError(
            f"{what} brings a tokenizer with code of its own ({name}); adapter-hub runs no code "
            "that comes with an adapter.",
            hint="save the adapter with a tokenizer that transformers has built in",
        )


def _mapped_classes(folder: Path) -> Iterator[str]:
    """The classes that a model's files name: ``FILE.CLASS``, elsewhere ``OWNER/REPO--FILE.CLASS``."""
    for file in _MAPPED:
        if (folder / file).is_file():
            table = read_json(folder / file).get("auto_map")
            yield from _strings(list(table.values()) if isinstance(table, dict) else table)


def refuse_own_code(what: str, error: BaseException) -> None:
    """Raises BaseModelError when ``error`` is that ``what`` works with code of its own only."""
    # transformers raises a plain ValueError that names the argument.
    if "trust_remote_code" in str(error):
        raise BaseModelError(
            f"{what} needs code of its own, and adapter-hub runs none that the registry does not trust.",
            hint="use a base whose architecture transformers has built in; or read the code, and: "
            "adapter-hub base add NAME SOURCE --trust-remote-code",
        ) from error


def _strings(value: Any) -> Iterator[str]:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, list):
            yield from _strings(each)
        elif isinstance(each, str):
            yield each
