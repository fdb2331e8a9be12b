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

from adapter_hub.errors import AdapterHubError, IncompatibleError, UnknownOfferError
from adapter_hub.loading.bases import (
    base_folder,
    load_model,
    load_tokenizer,
)
from adapter_hub.loading.code import refuse_adapter_code, refuse_own_code
from adapter_hub.loading.dtype import choose_device
from adapter_hub.loading.fit import compare, described
from adapter_hub.loading.folders import (
    CONFIG,
    WEIGHTS,
    check_adapter_folder,
    read_record,
    recorded,
)
from adapter_hub.loading.heads import adapter_head, base_head
from adapter_hub.loading.hub import fetch_adapter, first_line
from adapter_hub.loading.identity import base_identity, differences, read_json, safetensors_header
from adapter_hub.loading.origins import recorded_distributions, with_origin
from adapter_hub.loading.recorded import base_of, root_of
from adapter_hub.model import Base, Reference
from adapter_hub.plugins import Catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import damage, file_digests, version_digest

if TYPE_CHECKING:
    import torch


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
        return Opened(reference, base, base_folder(base, catalog, root_of(registry)))
    if reference.kind == "name":
        opened = _open_version(reference, _need(registry), catalog)
    else:
        opened = _open_folder(reference, registry, catalog)
    _check_method(opened, catalog)
    _check_base(opened)
    return opened


def load(opened: Opened, dtype: torch.dtype) -> tuple[Any, Any]:
    """The model (a ``PeftModel``, or the base itself) in eval mode, and its tokenizer.

    The model lies on the fastest device here. Raises BaseModelError, IncompatibleError.
    """
    trusted = opened.base.trust_remote_code
    if opened.folder is None:
        model: Any = load_model(opened.base_folder, dtype, trusted)
        return _ready(model), load_tokenizer(opened.base_folder, trusted)
    if trusted:
        refuse_adapter_code(str(opened.reference), opened.folder)
    with _view(opened) as view:
        model = _load_peft(opened, view, dtype)
    if (opened.folder / "tokenizer_config.json").is_file():
        tokenizer = load_tokenizer(opened.folder)
    else:
        tokenizer = load_tokenizer(opened.base_folder, trusted)
    check_weights(
        str(opened.reference), f"base {opened.base.name!r}", opened.folder / WEIGHTS, model
    )
    return _ready(model), tokenizer


def _ready(model: Any) -> Any:
    return model.to(choose_device()).eval()


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
    base = base_of(config, record, folder, registry)
    return Opened(
        reference,
        base,
        _located(base, record, catalog, registry.folder),
        folder,
        version.number,
        version_digest(version.files),
        config,
        record,
    )


def _open_folder(reference: Reference, registry: Registry | None, catalog: Catalog) -> Opened:
    folder = (
        fetch_adapter(reference) if reference.kind == "hf" else Path(reference.target).expanduser()
    )
    config = check_adapter_folder(folder)
    record = read_record(folder)
    base = base_of(config, record, folder, registry)
    located = _located(base, record, catalog, root_of(registry))
    digest = version_digest(file_digests(folder))
    return Opened(reference, base, located, folder, None, digest, config, record)


def _located(base: Base, record: dict[str, Any], catalog: Catalog, root: Path) -> Path:
    try:
        return base_folder(base, catalog, root)
    except UnknownOfferError as error:
        raise with_origin(error, record) from None


def _check_method(opened: Opened, catalog: Catalog) -> None:
    """Refuse a method that neither PEFT nor a plugin knows, instead of PEFT's KeyError."""
    kind = str(opened.config.get("peft_type", ""))
    if kind in _peft_types():
        return
    offer = catalog.find_method_of(kind)
    if offer is not None:
        offer.resolve()  # its module makes the type known to PEFT
        return
    origin = recorded_distributions({"method": opened.record.get("method")})
    hint = f"pip install {origin[0]}" if origin else "adapter-hub methods"
    raise IncompatibleError(
        f"{opened.reference} was made with the method {kind or '(none)'}, which nothing here offers.",
        hint=hint,
    )


def _peft_types() -> set[str]:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    return {str(getattr(kind, "value", kind)) for kind in PEFT_TYPE_TO_CONFIG_MAPPING}


def _check_base(opened: Opened) -> None:
    table = recorded(opened.record, "base")
    changed = differences(recorded(table, "identity"), base_identity(opened.base_folder))
    if opened.base.code and table.get("code") not in (None, opened.base.code):
        changed.append("code")
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
            if path.is_file() and path.name != CONFIG and path.suffix not in (".bin", ".py"):
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
            # What is only warned of here is refused in check_weights.
            warnings.filterwarnings("ignore", message="Found missing adapter keys")
            return AutoPeftModelForCausalLM.from_pretrained(
                str(view),
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=opened.base.trust_remote_code,
            )
    except AdapterHubError:
        raise
    except Exception as error:
        refuse_own_code(f"base {opened.base.name!r}", error)
        # An adapter from elsewhere can break PEFT and safetensors in any way.
        raise IncompatibleError(
            f"{opened.reference} does not fit base {opened.base.name!r}: {_misfit(opened, error)}",
            hint=f"adapter-hub show {opened.reference}",
        ) from error


def _misfit(opened: Opened, error: Exception) -> str:
    """What ``check`` says of it, instead of PEFT's page of size mismatches."""
    assert opened.folder is not None
    try:
        fit = compare(adapter_head(opened.folder), base_head(opened.base_folder))
    except AdapterHubError:
        return first_line(error)
    return described(fit) if fit.misfits else first_line(error)


def check_weights(what: str, place: str, path: Path, model: Any) -> None:
    """Every weight saved at ``path`` must have its module in ``model``: PEFT only warns, or not.

    Raises IncompatibleError: weights of ``what`` have no place in ``place``, or are missing for it.
    """
    from peft import get_peft_model_state_dict

    saved = set(safetensors_header(path)[0])
    used = set(get_peft_model_state_dict(model, save_embedding_layers=_saves_embeddings(saved)))
    unused, missing = sorted(saved - used), sorted(used - saved)
    if unused or missing:
        example = (unused or missing)[0]
        how = "have no place in" if unused else "are missing for"
        raise IncompatibleError(
            f"{what}: {len(unused or missing)} of its weights {how} {place}, such as {example}.",
            hint=f"adapter-hub show {what}",
        )


def _saves_embeddings(saved: set[str]) -> bool:
    """Whether PEFT saved embeddings and head whole: so it does when they are adapted themselves."""
    ends = (".embed_tokens.weight", ".wte.weight", ".base_layer.weight")
    return any(name.endswith(ends) for name in saved)


def _need(registry: Registry | None) -> Registry:
    if registry is None:
        return Registry.open()
    return registry
