"""An adapter, wherever it is, on its base: found, checked, loaded through PEFT."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import (
    AdapterHubError,
    BaseModelError,
    IncompatibleError,
    UnknownNameError,
    UsageError,
)
from adapter_hub.loading.bases import base_folder, first_line, load_model, load_tokenizer
from adapter_hub.loading.identity import base_identity, differences, read_json, safetensors_header
from adapter_hub.model import Base, Reference, Source, is_commit
from adapter_hub.plugins import Catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import damage, file_digests, version_digest

if TYPE_CHECKING:
    import torch

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
RECORD = "adapter_hub.json"


@dataclass(frozen=True)
class Opened:
    """What a reference means on disk. ``folder`` is None for a bare base."""

    reference: Reference
    base: Base
    base_folder: Path
    folder: Path | None = None
    version: int | None = None
    digest: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)


def open_reference(reference: Reference, registry: Registry | None, catalog: Catalog) -> Opened:
    """Find what ``reference`` names and check it against its base, without loading either.

    Raises UnknownNameError, BaseModelError, and IncompatibleError (one sentence) where PEFT
    would load the wrong thing without a word.
    """
    if reference.kind == "base":
        base = _need(registry).base(reference.target)
        return Opened(reference, base, base_folder(base, catalog, _root(registry)))
    if reference.kind == "name":
        opened = _open_version(reference, _need(registry), catalog)
    else:
        opened = _open_folder(reference, registry, catalog)
    _check_method(opened, catalog)
    _check_base(opened)
    return opened


def load(opened: Opened, dtype: torch.dtype) -> tuple[Any, Any]:
    """The model (a ``PeftModel``, or the base itself) in eval mode, and its tokenizer.

    Raises BaseModelError, IncompatibleError.
    """
    if opened.folder is None:
        return load_model(opened.base_folder, dtype).eval(), load_tokenizer(opened.base_folder)
    with _view(opened) as view:
        model = _load_peft(opened, view, dtype)
    own_tokenizer = (opened.folder / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(opened.folder if own_tokenizer else opened.base_folder)
    _check_loaded(opened, model)
    return model.eval(), tokenizer


def _open_version(reference: Reference, registry: Registry, catalog: Catalog) -> Opened:
    adapter, version = registry.resolve(reference)
    folder = registry.version_folder(adapter.name, version.number)
    problems = damage(folder, version)
    if problems:
        raise IncompatibleError(
            f"{adapter.name}@{version.number} is not what was recorded: {'; '.join(problems)}.",
            hint=f"train it again, or bring the files back: adapter-hub train {adapter.name}",
        )
    config, record = read_json(folder / CONFIG), read_record(folder)
    # The recipe may have moved on to another base since this version was made.
    trained_on = recorded(record, "base").get("name")
    known = registry.base_names()
    base = (
        registry.base(trained_on)
        if trained_on in known
        else _base_from_config(config, folder, registry, record)
    )
    return Opened(
        reference,
        base,
        base_folder(base, catalog, registry.folder),
        folder,
        version.number,
        version_digest(version.files),
        config,
        record,
    )


def _open_folder(reference: Reference, registry: Registry | None, catalog: Catalog) -> Opened:
    folder = (
        _adapter_from_hub(reference)
        if reference.kind == "hf"
        else Path(reference.target).expanduser()
    )
    config = check_adapter_folder(folder)
    record = read_record(folder)
    base = _base_from_config(config, folder, registry, record)
    located = base_folder(base, catalog, _root(registry))
    digest = version_digest(file_digests(folder))
    return Opened(reference, base, located, folder, None, digest, config, record)


def check_adapter_folder(folder: Path) -> dict[str, Any]:
    """The adapter's config, once its folder holds what a PEFT adapter needs. Raises UsageError."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}.")
    if not (folder / CONFIG).is_file():
        raise UsageError(f"{folder} has no {CONFIG}, so it is not a PEFT adapter.")
    if not (folder / WEIGHTS).is_file():
        if (folder / "adapter_model.bin").is_file():
            raise UsageError(
                f"{folder} has only adapter_model.bin, a pickle that can run code; adapter-hub takes safetensors only.",
                hint="save it again with save_pretrained(…, safe_serialization=True)",
            )
        raise UsageError(f"{folder} has no {WEIGHTS}.")
    safetensors_header(folder / WEIGHTS)
    return read_json(folder / CONFIG)


def read_record(folder: Path) -> dict[str, Any]:
    """The provenance record of an adapter folder, empty when it has none."""
    path = folder / RECORD
    return read_json(path) if path.is_file() else {}


def recorded(record: dict[str, Any], part: str) -> dict[str, Any]:
    """A table of a record, empty when it has none: a record can come from anywhere."""
    table = record.get(part)
    return table if isinstance(table, dict) else {}


def base_for_config(config: dict[str, Any], folder: Path, registry: Registry | None) -> Base:
    """The base that an adapter's own config names, as the registry calls it where it does.

    Raises BaseModelError when the config names none.
    """
    return _base_from_config(config, folder, registry, {})


def _base_from_config(
    config: dict[str, Any], folder: Path, registry: Registry | None, record: dict[str, Any]
) -> Base:
    named = config.get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise BaseModelError(
            f"{folder / CONFIG} does not name its base.", hint="name it: --base BASE"
        )
    bases = [registry.base(name) for name in registry.base_names()] if registry else []
    revision = config.get("revision")
    source = _source_of(named, folder, registry)
    same = [base for base in bases if _same(base.source, source, _root(registry))]
    for base in same:
        if base.revision == revision:
            return base
    if same and not (source.kind == "hf" and isinstance(revision, str) and is_commit(revision)):
        return same[0]
    return Base(named, source, revision if isinstance(revision, str) else None)


def _source_of(named: str, folder: Path, registry: Registry | None) -> Source:
    if named.startswith("plugin:"):
        return Source("plugin", named.removeprefix("plugin:"))
    for start in (_root(registry), Path.cwd(), folder):
        if (start / named / "config.json").is_file():
            # Relative to the registry it is written as there; else it must be found from anywhere.
            return Source(
                "path", named if start == _root(registry) else str((start / named).resolve())
            )
    return Source(
        "hf" if named.count("/") == 1 and not named.startswith((".", "/")) else "path", named
    )


def _same(one: Source, other: Source, root: Path) -> bool:
    if one.kind == other.kind == "path":
        return (root / one.location).resolve() == (root / other.location).resolve()
    return one == other


def _adapter_from_hub(reference: Reference) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                reference.target,
                revision=reference.selector,
                allow_patterns=["*.safetensors", "*.json", "*.jinja", "merges.txt"],
            )
        )
    except Exception as error:
        raise UnknownNameError(
            f"{reference} cannot be fetched: {first_line(error)}",
            hint="check the name and the network",
        ) from error


def _check_method(opened: Opened, catalog: Catalog) -> None:
    """Refuse a method that neither PEFT nor a plugin knows, instead of PEFT's KeyError."""
    kind = str(opened.config.get("peft_type", ""))
    if kind in _peft_types():
        return
    offer = catalog.find_method_of(kind)
    if offer is not None:
        offer.resolve()  # its module makes the type known to PEFT
        return
    origin = recorded(opened.record, "method").get("distribution")
    hint = f"pip install {origin}" if origin and origin != "built in" else "adapter-hub methods"
    raise IncompatibleError(
        f"{opened.reference} was made with the method {kind or '(none)'}, which nothing here offers.",
        hint=hint,
    )


def _peft_types() -> set[str]:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    return {str(getattr(kind, "value", kind)) for kind in PEFT_TYPE_TO_CONFIG_MAPPING}


def _check_base(opened: Opened) -> None:
    identity = recorded(recorded(opened.record, "base"), "identity")
    changed = differences(identity, base_identity(opened.base_folder))
    if changed:
        raise IncompatibleError(
            f"{opened.reference} was trained on another base than {opened.base.name!r} is now: "
            f"the {' and the '.join(changed)} differ.",
            hint=f"adapter-hub base show {opened.base.name}",
        )


@contextlib.contextmanager
def _view(opened: Opened) -> Iterator[Path]:
    """A throw-away folder that shows the adapter's files with a config that names the local base."""
    assert opened.folder is not None
    with tempfile.TemporaryDirectory(prefix="adapter-hub-") as temporary:
        view = Path(temporary)
        for path in opened.folder.iterdir():
            if path.is_file() and path.name != CONFIG and path.suffix != ".bin":
                _link(path.resolve(), view / path.name)
        config = {
            **opened.config,
            "base_model_name_or_path": str(opened.base_folder),
            "revision": None,
        }
        (view / CONFIG).write_text(json.dumps(config), encoding="utf-8")
        yield view


def _link(source: Path, target: Path) -> None:
    try:
        os.symlink(source, target)
    except OSError:  # Windows without the right to make links
        shutil.copyfile(source, target)


def _load_peft(opened: Opened, view: Path, dtype: torch.dtype) -> Any:
    from peft import AutoPeftModelForCausalLM

    try:
        with warnings.catch_warnings():
            # What is only warned of here is refused in _check_loaded.
            warnings.filterwarnings("ignore", message="Found missing adapter keys")
            return AutoPeftModelForCausalLM.from_pretrained(
                str(view), dtype=dtype, local_files_only=True
            )
    except AdapterHubError:
        raise
    except Exception as error:
        # An adapter from elsewhere can break PEFT and safetensors in any way.
        raise IncompatibleError(
            f"{opened.reference} does not fit base {opened.base.name!r}: {_misfit(error)}",
            hint=f"adapter-hub show {opened.reference}",
        ) from error


def _misfit(error: Exception) -> str:
    """PEFT's page of size mismatches as one line."""
    text = str(error)
    mismatches = [line.strip() for line in text.splitlines() if "size mismatch" in line]
    if not mismatches:
        return first_line(error)
    return f"{len(mismatches)} weights have other shapes, first {mismatches[0].removeprefix('size mismatch for ')}"


def _check_loaded(opened: Opened, model: Any) -> None:
    """Every saved weight must have found its module: PEFT only warns, or says nothing."""
    from peft import get_peft_model_state_dict

    assert opened.folder is not None
    saved = set(safetensors_header(opened.folder / WEIGHTS)[0])
    used = set(get_peft_model_state_dict(model, save_embedding_layers=_saves_embeddings(saved)))
    unused, missing = sorted(saved - used), sorted(used - saved)
    if unused or missing:
        example = (unused or missing)[0]
        what = "have no place in" if unused else "are missing for"
        raise IncompatibleError(
            f"{opened.reference}: {len(unused or missing)} of its weights {what} base "
            f"{opened.base.name!r}, such as {example}.",
            hint=f"adapter-hub base show {opened.base.name}",
        )


def _saves_embeddings(saved: set[str]) -> bool:
    return any(".embed_tokens.weight" in name or ".wte.weight" in name for name in saved)


def _need(registry: Registry | None) -> Registry:
    if registry is None:
        return Registry.open()
    return registry


def _root(registry: Registry | None) -> Path:
    return registry.folder if registry else Path.cwd()
