"""What runs that come one after the other share: a base in memory, and what was made ready for it.

Every result is what it would be in a process of its own. Only the last base is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.model import Base, Quantize
from adapter_hub.plugins import Catalog
from adapter_hub.training.processes import process_count

if TYPE_CHECKING:
    import torch

    from adapter_hub.loading.pristine import Pristine
    from adapter_hub.training.data import EncodedData


@dataclass(frozen=True)
class BaseFiles:
    """A base's folder and what is in it but the weights.

    ``digest`` is over all that decides what its tokenizer makes of text.
    """

    folder: Path
    config: Any
    tokenizer: Any
    digest: str


@dataclass
class BareBase:
    """What was found out about a base without an adapter, on the rows of a run.

    ``loss`` is that of the held-out rows; ``answers`` by all questions' token ids and lengths.
    """

    loss: float | None = None
    answers: dict[Hashable, list[str]] = field(default_factory=dict)


class Workbench:
    """For one process. That of a run which is alone is not ``shared``: it keeps no base.

    Reading every weight to see later whether it changed would be work for nothing there.
    """

    def __init__(self, *, shared: bool = True) -> None:
        self._shared = shared and process_count() == 1  # else parts of a base go elsewhere
        self._files: dict[Base, BaseFiles] = {}
        self._identities: dict[Path, dict[str, str]] = {}
        self._encoded: dict[Hashable, tuple[EncodedData, bool]] = {}
        self._loaded: Hashable = None
        self._model: Any = None
        self._pristine: Pristine | None = None
        self._bare: dict[Hashable, BareBase] = {}

    def base_files(self, base: Base, catalog: Catalog, root: Path) -> BaseFiles:
        """The base found and checked, its tokenizer loaded. Raises BaseModelError, PluginError."""
        if base not in self._files:
            self._files[base] = _read_files(base, catalog, root)
        found = self._files[base]
        # Whoever makes a model of a configuration writes into it.
        return replace(found, config=copy.deepcopy(found.config))

    def identity(self, folder: Path) -> dict[str, str]:
        """What makes the base in ``folder`` that base. Raises BaseModelError for damaged files."""
        from adapter_hub.loading.identity import base_identity

        if folder not in self._identities:
            self._identities[folder] = base_identity(folder).as_record()
        return self._identities[folder]

    def encoded(
        self, key: Hashable, encode: Callable[[], tuple[EncodedData, bool]]
    ) -> tuple[EncodedData, bool]:
        """Rows encoded before on this bench, else by ``encode``; and whether there are more."""
        if key not in self._encoded:
            self._encoded[key] = encode()
        return self._encoded[key]

    def model(
        self, folder: Path, dtype: torch.dtype, trust_remote_code: bool, quantize: Quantize
    ) -> Any:
        """The base in memory, as it is loaded: the last run's, if it left its numbers alone.

        The adapter of the last run is gone from it. Raises BaseModelError.
        """
        from adapter_hub.loading.bases import load_model
        from adapter_hub.loading.pristine import Pristine

        wanted = (folder, dtype, trust_remote_code, quantize)
        if self._pristine and self._loaded == wanted and self._pristine.restore():
            return self._model
        self._forget()
        model = load_model(folder, dtype, trust_remote_code, quantize)
        if self._shared:
            self._loaded, self._model, self._pristine = wanted, model, Pristine(model)
        return model

    def bare_base(self, key: Hashable) -> BareBase:
        """What is known of the base that was given out last; ``key`` tells of which rows.

        Nothing, where an adapter altered the base: switched off, it leaves another one.
        """
        if self._pristine is None or not self._pristine.is_unchanged():
            return BareBase()
        return self._bare.setdefault(key, BareBase())

    def _forget(self) -> None:
        """Let go of one base before there is another: memory may not do for both."""
        self._loaded = self._model = self._pristine = None
        self._bare.clear()


def _read_files(base: Base, catalog: Catalog, root: Path) -> BaseFiles:
    from adapter_hub.loading.bases import base_folder, load_config, load_tokenizer
    from adapter_hub.training.token_cache import tokenizer_digest

    folder = base_folder(base, catalog, root)
    trusted = base.trust_remote_code
    return BaseFiles(
        folder=folder,
        config=load_config(folder, trusted),
        tokenizer=load_tokenizer(folder, trusted),
        digest=f"{tokenizer_digest(folder)} {base.code if trusted else None}",
    )
