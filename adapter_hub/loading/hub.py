"""Bases and adapters from the Hub into its cache: the files that are used, and no others.

Patterns of the Hub's client match through folders (``*`` takes ``/`` too), so everything below
a repository's root is left out: checkpoints and other formats lie there.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from adapter_hub.errors import BaseModelError, HubError, UnknownNameError, UsageError
from adapter_hub.loading.code import CODE
from adapter_hub.loading.folders import CONFIG, RECORD, TOKENIZER_FILES, WEIGHTS
from adapter_hub.loading.identity import weight_files
from adapter_hub.loading.remotes import cache_folder, default_remote, find_token
from adapter_hub.model import Base, Reference, Remote

# All that a model is described by; its weights come by their names.
BASE_PATTERNS = ("*.json", "*.jinja", "*.model", "*.txt")
_ADAPTER = (WEIGHTS, RECORD, *TOKENIZER_FILES)


def fetch_base(base: Base, *, local: bool = False) -> Path:
    """The snapshot of an ``hf:`` base in the cache; ``local`` fetches nothing.

    Of its weights only those that transformers loads: many repositories keep them once more,
    in another layout. Raises BaseModelError.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError

    remote, repo = base.remote, base.source.location
    what = f"base {base.name!r} ({base.source}" + (f" at {remote.endpoint})" if remote else ")")
    try:
        wanted = (*BASE_PATTERNS, CODE) if base.trust_remote_code else BASE_PATTERNS
        folder = _snapshot(remote, repo, base.revision, wanted, local)
        commit = folder.name  # so that a branch cannot move between the steps
        _snapshot(remote, repo, commit, ["model.safetensors"], local)
        missing = [glob.escape(path.name) for path in weight_files(folder) if not path.is_file()]
        if missing:
            _snapshot(remote, repo, commit, missing, local)
    except BaseModelError:
        raise
    except LocalEntryNotFoundError as error:
        raise BaseModelError(
            f"{what} is not in the cache, and the Hub cannot be reached.",
            hint="connect to the network, or use a local base: adapter-hub base add NAME path:DIR",
        ) from error
    except Exception as error:
        raise BaseModelError(
            f"{what} cannot be fetched: {first_line(error)}",
            hint=f"adapter-hub login --remote {remote.name}" if remote else "adapter-hub base list",
        ) from error
    return folder


def fetch_adapter(reference: Reference) -> Path:
    """The snapshot of an ``hf:`` adapter in the cache.

    Its configuration first: a whole model under that name is not fetched to find that out.
    Raises UnknownNameError, HubError, UsageError.
    """
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        folder = _snapshot(None, reference.target, reference.selector, [CONFIG])
        if (folder / CONFIG).is_file():
            return _snapshot(None, reference.target, folder.name, _ADAPTER)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise UnknownNameError(
            f"{reference} is not there, or not yours to see: {first_line(error)}",
            hint="check the name; for a private one: adapter-hub login",
        ) from error
    except Exception as error:
        raise HubError(
            f"{reference} cannot be fetched: {first_line(error)}",
            hint="check the name and the network",
        ) from error
    raise UsageError(
        f"{reference} has no {CONFIG}, so it is not a PEFT adapter.",
        hint=f"if it is a base: adapter-hub base add NAME hf:{reference.target}",
    )


def first_line(error: BaseException) -> str:
    """The first line of a library's error, for one-sentence messages."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _snapshot(
    remote: Remote | None,
    repo: str,
    revision: str | None,
    patterns: Iterable[str],
    local: bool = False,
) -> Path:
    """The snapshot with such files of the repository's root, as far as there are any.

    From a Hub that the registry names, else from the environment's. Without an
    adapter_config.json that lies beside a model: transformers would load that too.
    """
    from huggingface_hub import snapshot_download

    hub = remote or default_remote()
    return Path(
        snapshot_download(
            repo,
            revision=revision,
            allow_patterns=list(patterns),
            ignore_patterns=["*/*"] if CONFIG in patterns else ["*/*", CONFIG],
            local_files_only=local,
            endpoint=hub.endpoint,
            token=find_token(hub) or False,
            cache_dir=cache_folder(remote) if remote else None,
        )
    )
