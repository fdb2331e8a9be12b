"""From a base's entry to a checked local folder, and from there into memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import AdapterHubError, BaseModelError, IncompatibleError, PluginError
from adapter_hub.isolation import talk_on_stderr
from adapter_hub.loading.carried import carried_folder
from adapter_hub.loading.code import check_trusted_code, code_digest, refuse_own_code
from adapter_hub.loading.hub import fetch_base, first_line
from adapter_hub.loading.identity import base_identity, weight_files
from adapter_hub.loading.quantized import keep_format, quantization_config
from adapter_hub.loading.remotes import default_remote, find_token
from adapter_hub.model import Base, Quantize, Remote, is_commit
from adapter_hub.plugins import Catalog

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")


def base_folder(base: Base, catalog: Catalog, root: Path) -> Path:
    """The local folder of ``base``, fetched if it must be, with its files checked.

    ``root`` is what a relative ``path:`` starts from. Raises BaseModelError, PluginError,
    UnknownNameError; IncompatibleError when a pinned base is not the one that was pinned.
    """
    folder = _locate(base, catalog, root)
    _check_files(base, folder)
    check_trusted_code(base, folder)
    pinned = base.revision
    if base.source.kind != "hf" and pinned and base_identity(folder).weights != pinned:
        raise IncompatibleError(
            f"base {base.name!r} is pinned to {short(pinned)}, and the weights in {base.source} are others.",
            hint=f"bring the pinned weights back, or: adapter-hub base add NEW-NAME {base.source}",
        )
    return folder


def folder_at_hand(base: Base, catalog: Catalog, root: Path) -> Path | None:
    """``base_folder``, but nothing is fetched: None for a Hub base that is not in the cache.

    Raises BaseModelError, PluginError, UnknownNameError, IncompatibleError.
    """
    if base.source.kind != "hf":
        return base_folder(base, catalog, root)
    try:
        folder = carried_folder(base, root) or fetch_base(base, local=True)
        _check_files(base, folder)
    except BaseModelError:
        return None
    return folder


def pin(base: Base, catalog: Catalog, root: Path) -> Base:
    """A new base with the exact revision to write down: a commit, or a weights fingerprint.

    The revision of an ``hf:`` base may be a branch or a tag until then. With the code that it
    trusts. Raises BaseModelError when the source cannot be reached or is not a base.
    """
    if base.source.kind == "hf":
        commit = _resolve_commit(base.source.location, base.revision, base.remote)
        return dataclasses.replace(base, revision=commit)
    folder = base_folder(dataclasses.replace(base, trust_remote_code=False), catalog, root)
    code = code_digest(folder) if base.trust_remote_code else None
    pinned = dataclasses.replace(base, revision=base_identity(folder).weights, code=code)
    check_trusted_code(pinned, folder)
    return pinned


def load_config(folder: Path, trust_remote_code: bool = False) -> PretrainedConfig:
    """The model's configuration. Raises BaseModelError."""
    from transformers import AutoConfig

    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:
        refuse_own_code(f"the base in {folder}", error)
        raise BaseModelError(f"{folder}/config.json cannot be used: {first_line(error)}") from error
    if not trust_remote_code:
        # Else whoever makes a model from it is asked anew whether to run the code it names.
        vars(config).pop("auto_map", None)
    return config


def load_model(
    folder: Path,
    dtype: torch.dtype,
    trust_remote_code: bool = False,
    quantize: Quantize = "none",
) -> PreTrainedModel:
    """The base in memory, weights as ``dtype`` or in fewer bits. Raises BaseModelError."""
    from transformers import AutoModelForCausalLM

    quantization = {}
    if quantize != "none":
        config = load_config(folder, trust_remote_code)
        quantization["quantization_config"] = quantization_config(quantize, dtype, config)
    model: PreTrainedModel
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            trust_remote_code=trust_remote_code,
            **quantization,
        )
    except Exception as error:
        refuse_own_code(f"the base in {folder}", error)
        raise BaseModelError(
            f"the base in {folder} cannot be loaded: {first_line(error)}"
        ) from error
    missing = sorted(found["missing_keys"])
    if missing:
        # transformers would go on with random numbers in their place.
        raise BaseModelError(
            f"the base in {folder} lacks {len(missing)} weights, such as {missing[0]}."
        )
    if quantize != "none":
        keep_format(model)
    return model


def load_tokenizer(folder: Path, trust_remote_code: bool = False) -> Any:
    """The tokenizer, with a padding token. Raises BaseModelError."""
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:
        refuse_own_code(f"the tokenizer in {folder}", error)
        raise BaseModelError(
            f"the tokenizer in {folder} cannot be loaded: {first_line(error)}"
        ) from error
    if tokenizer.pad_token_id is None:
        # Padding is masked everywhere, so any token serves; no row is added for it.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def context_length(config: PretrainedConfig) -> int | None:
    """The most tokens the base can see, where its configuration tells."""
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        length = getattr(config, name, None)
        if isinstance(length, int) and length > 0:
            return length
    return None


def short(digest: str) -> str:
    """A digest or commit as people read it."""
    return digest.removeprefix("sha256:")[:12]


def _locate(base: Base, catalog: Catalog, root: Path) -> Path:
    location = base.source.location
    if base.source.kind == "path":
        return root / Path(location).expanduser()
    if base.source.kind == "plugin":
        return _from_plugin(location, catalog)
    return carried_folder(base, root) or fetch_base(base)


def _from_plugin(name: str, catalog: Catalog) -> Path:
    offer = catalog.find("base", name)
    factory = offer.resolve()
    try:
        with talk_on_stderr():
            return Path(factory())
    except AdapterHubError:
        raise
    except Exception as error:
        raise PluginError(
            f"base {name!r} of {offer.distribution} cannot be made: {first_line(error)}",
            hint="adapter-hub plugins",
        ) from error


def _resolve_commit(repo: str, revision: str | None, remote: Remote | None) -> str:
    if revision and is_commit(revision):
        return revision
    from huggingface_hub import HfApi

    hub = remote or default_remote()
    try:
        client = HfApi(endpoint=hub.endpoint, token=find_token(hub) or False)
        commit = client.model_info(repo, revision=revision, timeout=20).sha
    except Exception as error:
        raise BaseModelError(
            f"hf:{repo} cannot be resolved to a commit: {first_line(error)}",
            hint="check the name and the network, or give the commit: --revision SHA",
        ) from error
    return str(commit)


def _check_files(base: Base, folder: Path) -> None:
    what = f"base {base.name!r} ({base.source})"
    if not folder.is_dir():
        raise BaseModelError(f"{what}: there is no folder {folder}.", hint="adapter-hub base list")
    if not (folder / "config.json").is_file():
        raise BaseModelError(f"{what}: {folder} has no config.json, so it is not a model.")
    weights = weight_files(folder)
    missing = [path.name for path in weights if not path.is_file()]
    if missing:
        raise BaseModelError(f"{what}: {folder} has no {missing[0]}, which its index names.")
    if not weights:
        pickled = any(folder.glob("*.bin"))
        why = (
            "only pickled weights (.bin), which can run code" if pickled else "no model.safetensors"
        )
        raise BaseModelError(f"{what}: {folder} has {why}.", hint="save the model with safetensors")
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise BaseModelError(
            f"{what}: {folder} has no tokenizer.",
            hint="save one there: tokenizer.save_pretrained(folder)",
        )
