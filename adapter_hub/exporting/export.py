"""``export REF DIR --format F``: an adapter in the form that another program takes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from adapter_hub.errors import AdapterHubError, ConflictError, UsageError
from adapter_hub.loading.adapters import Opened, open_reference
from adapter_hub.loading.early import find_folder
from adapter_hub.loading.heads import adapter_head
from adapter_hub.loading.plain_lora import check_plain
from adapter_hub.model import Reference, parse_reference
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.atomic import umask
from adapter_hub.registry.store import Registry

Format = Literal["merged", "gguf", "ollama", "vllm"]
FORMATS: tuple[Format, ...] = get_args(Format)
_READERS = {"gguf": "llama.cpp", "ollama": "Ollama", "vllm": "vLLM"}


@dataclass(frozen=True)
class Written:
    """What a format says of what it wrote. ``commands`` are what to type next."""

    largest_logit_difference: float | None = None
    logit_tolerance: float | None = None
    commands: list[str] = field(default_factory=list)
    lora_module: str | None = None
    max_lora_rank: int | None = None


@dataclass(frozen=True)
class Exported:
    """What ``export --json`` prints.

    ``files`` are names below ``path`` with their sizes in bytes. ``largest_logit_difference`` is
    between what was written and the adapter on its base, null where nothing had to be compared.
    """

    reference: str
    version: int | None
    digest: str | None
    base: str
    base_revision: str | None
    format: Format
    path: str
    files: dict[str, int]
    largest_logit_difference: float | None
    logit_tolerance: float | None
    commands: list[str]
    lora_module: str | None
    max_lora_rank: int | None


def export(
    reference: str | Reference,
    folder: Path,
    format: Format,
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    ollama_from: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Exported:
    """Write the adapter into ``folder``, complete or not at all.

    ``folder`` must not be there, or be empty. ``ollama_from`` is Ollama's name of the base, which
    the format ``ollama`` needs. Raises UsageError, UnknownNameError and ConflictError before
    anything is loaded; IncompatibleError for what the format cannot hold, and for a result that
    says something else than the adapter; BaseModelError, HubError, OutOfMemoryError.
    """
    parsed = parse_reference(reference) if isinstance(reference, str) else reference
    check_export(parsed, folder, format, registry, ollama_from)
    opened = open_reference(parsed, registry, catalog or load_catalog())
    assert opened.folder is not None
    check_adapter(parsed, opened.folder, format)
    with _staging(folder) as staging:
        written = _write(opened, staging, folder.resolve(), format, ollama_from, say)
        files = {
            path.relative_to(staging).as_posix(): path.stat().st_size
            for path in sorted(staging.rglob("*"))
            if path.is_file()
        }
    return Exported(
        reference=str(parsed),
        version=opened.version,
        digest=opened.digest,
        base=opened.base.name,
        base_revision=opened.base.revision,
        format=format,
        path=str(folder.resolve()),
        files=files,
        **vars(written),
    )


def check_export(
    reference: Reference,
    folder: Path,
    format: str,
    registry: Registry | None,
    ollama_from: str | None = None,
) -> None:
    """All that can be told before anything heavy is imported.

    Raises UsageError, UnknownNameError, ConflictError, IncompatibleError.
    """
    if format not in FORMATS:
        raise UsageError(f"there is no format {format!r}: it is one of {', '.join(FORMATS)}.")
    if reference.kind == "base":
        raise UsageError(
            f"{reference} has no adapter to export.", hint="adapter-hub export NAME DIR --format …"
        )
    _check_ollama(format, ollama_from)
    if format in ("gguf", "ollama") and importlib.util.find_spec("gguf") is None:
        raise UsageError(
            f"--format {format} needs the package gguf, which is not installed.",
            hint="pip install 'adapter-hub[gguf]'",
        )
    _check_free(folder)
    found = find_folder(reference, registry)
    if found is not None:
        check_adapter(reference, found, format)


def check_adapter(reference: Reference, folder: Path, format: str) -> None:
    """What the headers of the adapter in ``folder`` tell. Raises IncompatibleError."""
    head = adapter_head(folder)
    if format == "merged":
        from adapter_hub.exporting.merged import check_mergeable

        check_mergeable(str(reference), head.config)
    else:
        merged = f"adapter-hub export {reference} DIR --format merged"
        check_plain(str(reference), head, _READERS[format], merged)


def _check_ollama(format: str, ollama_from: str | None) -> None:
    if format != "ollama":
        if ollama_from is not None:
            raise UsageError("--ollama-from is for --format ollama.")
        return
    if ollama_from is None:
        raise UsageError(
            "--format ollama needs Ollama's name of the base, which nobody here knows.",
            hint="ollama list shows the names; then: --ollama-from MODEL",
        )
    if not ollama_from.strip() or not ollama_from.isprintable():
        raise UsageError(f"--ollama-from {ollama_from!r} is not the name of a model.")


def _check_free(folder: Path) -> None:
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror or error}.") from None
    if taken:
        raise ConflictError(
            f"{folder} is already there and not an empty folder; nothing was changed.",
            hint="name another folder, or remove that one",
        )


def _write(
    opened: Opened,
    staging: Path,
    folder: Path,
    format: Format,
    ollama_from: str | None,
    say: Callable[[str], None],
) -> Written:
    """Hand over to the one format; ``folder`` is where ``staging`` will be."""
    if format == "merged":
        from adapter_hub.exporting.merged import write_merged

        return write_merged(opened, staging, say)
    if format == "gguf":
        from adapter_hub.exporting.gguf import write_gguf

        return write_gguf(opened, staging, folder, say)
    if format == "ollama":
        from adapter_hub.exporting.ollama import write_ollama

        assert ollama_from is not None
        return write_ollama(opened, staging, folder, ollama_from, say)
    from adapter_hub.exporting.vllm import write_vllm

    return write_vllm(opened, staging, folder, say)


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` that takes its place at the end, and is gone after any failure."""
    from safetensors import SafetensorError

    missing = [each for each in folder.parents if not each.exists()]
    staging: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        yield staging
        _open_up(staging)
        if folder.exists():
            folder.rmdir()
        os.replace(staging, folder)
    except BaseException as error:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        for each in missing:
            with contextlib.suppress(OSError):
                each.rmdir()
        if isinstance(error, (OSError, SafetensorError)):
            # safetensors puts the cause behind what it was doing.
            reason = getattr(error, "strerror", None) or str(error).rpartition("I/O error: ")[2]
            raise AdapterHubError(
                f"{folder} cannot be written: {reason}.", hint="look at the disk's free space"
            ) from error
        raise


def _open_up(staging: Path) -> None:
    """Temporary folders, and what safetensors writes, are private; give both the usual modes."""
    mask = umask()
    for each in staging.rglob("*"):
        each.chmod((0o777 if each.is_dir() else 0o666) & ~mask)
    staging.chmod(0o777 & ~mask)
