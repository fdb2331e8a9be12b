"""The heads of adapters and bases on a Hub: small files, and of weights the headers alone."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from adapter_hub.errors import AdapterHubError, BaseModelError, HubError
from adapter_hub.hub.download import Commit, OnBytes, fetch_file, fetch_part
from adapter_hub.hub.files import RemoteFile
from adapter_hub.hub.remotes import hub_errors, open_client
from adapter_hub.hub.repository import list_files
from adapter_hub.loading.bases import folder_at_hand
from adapter_hub.loading.folders import CONFIG, RECORD, WEIGHTS
from adapter_hub.loading.heads import (
    TOKENIZER,
    TOKENIZER_CONFIG,
    AdapterHead,
    BaseHead,
    Shapes,
    base_head,
    count_tokens,
    parse_json,
    tensor_shapes,
)
from adapter_hub.loading.identity import read_header, read_json
from adapter_hub.model import Base, Remote
from adapter_hub.plugins import Catalog

INDEX = "model.safetensors.index.json"
_MAX_JSON = 100 << 20
_AT_ONCE = 8
_PATIENCE = 20
"""Seconds until a Hub that does not answer is taken to be away."""


def fetch_descriptions(
    commit: Commit,
    files: Mapping[str, RemoteFile],
    folder: Path,
    on_bytes: OnBytes = lambda name, have, size: None,
) -> None:
    """Bring the configuration and the record of an adapter into ``folder``. Raises HubError."""
    for each in (CONFIG, RECORD):
        if each in files:
            fetch_file(commit, each, files[each], folder, on_bytes)


def fetch_adapter_head(
    commit: Commit, files: Mapping[str, RemoteFile], folder: Path
) -> AdapterHead:
    """The head of an adapter whose descriptions are in ``folder``. Raises HubError, BaseModelError."""

    def tokens() -> int | None:
        for each in (TOKENIZER, TOKENIZER_CONFIG):
            if each in files:
                fetch_file(commit, each, files[each], folder)
        return count_tokens(folder)

    return AdapterHead(read_json(folder / CONFIG), fetch_shapes(commit, WEIGHTS), tokens)


def find_base_head(base: Base, catalog: Catalog, root: Path, remotes: Iterable[Remote]) -> BaseHead:
    """The base's head: from this machine if it is here, else from the first Hub that has it.

    Raises HubError, UnknownNameError, BaseModelError, PluginError; IncompatibleError when a pinned
    base is not the one that was pinned.
    """
    folder = folder_at_hand(base, catalog, root)
    if folder is not None:
        return base_head(folder)
    problem: AdapterHubError = HubError(f"{base.source} is on no Hub that was asked.")
    asked = [base.remote, *remotes] if base.remote else remotes
    for remote in dict.fromkeys(Remote(each.endpoint) for each in asked):
        try:
            with hub_errors(remote, base.source.location):
                return _fetch_base_head(base, remote)
        except AdapterHubError as error:
            problem = error
    raise problem


def _fetch_base_head(base: Base, remote: Remote) -> BaseHead:
    client = open_client(remote)
    # The one question that the client asks once only: a Hub that is away is not waited for.
    found = client.model_info(base.source.location, revision=base.revision, timeout=_PATIENCE)
    commit = Commit(client, remote, base.source.location, str(found.sha))
    files = list_files(client, commit.repo, commit.revision)
    config = _fetch_json(commit, "config.json", files)
    tensors: Shapes = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for shapes in pool.map(
            lambda name: fetch_shapes(commit, name), _weights(commit, config, files)
        ):
            tensors.update(shapes)
    return BaseHead(config, tensors)


def _weights(
    commit: Commit, config: Mapping[str, object], files: Mapping[str, RemoteFile]
) -> list[str]:
    """The weight files that transformers loads, by name, as ``identity.weight_files`` says."""
    for name in (config.get("transformers_weights"), "model.safetensors", INDEX):
        if isinstance(name, str) and name in files:
            if not name.endswith(".json"):
                return [name]
            shards = _fetch_json(commit, name, files).get("weight_map")
            if not isinstance(shards, dict) or not set(shards.values()) <= set(files):
                raise BaseModelError(f"{name} of {commit.repo} does not map weights to files.")
            return sorted(set(shards.values()))
    raise BaseModelError(f"{commit.repo} has no weights in safetensors.")


def _fetch_json(commit: Commit, name: str, files: Mapping[str, RemoteFile]) -> dict[str, object]:
    what = f"{name} of {commit.repo}"
    if name not in files:
        raise BaseModelError(f"{commit.repo} has no {name}.")
    if files[name].size > _MAX_JSON:
        raise BaseModelError(f"{what} is too long.")
    content = fetch_part(commit, name, 0, max(1, files[name].size))
    if not files[name].holds(content):
        raise BaseModelError(f"{what} came with a wrong digest.")
    return parse_json(content, what)


def fetch_shapes(commit: Commit, name: str) -> Shapes:
    """The shapes of a safetensors file by name, from its header alone.

    Raises HubError, BaseModelError.
    """
    what = f"{name} of {commit.repo}"
    read = functools.partial(fetch_part, commit, name)
    return tensor_shapes(read_header(read, what)[0], what)
