"""The hooks a plugin can implement.

A plugin is a module named in the entry-point group ``adapter_hub`` with functions marked
``@hookimpl``. Each hook is called once with a ``register`` callback; what a plugin registers
becomes visible only when all of its hooks have returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pluggy

PROJECT = "adapter_hub"
ENTRY_POINT_GROUP = "adapter_hub"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Row = str | Mapping[str, Any]


class RegisterMethod(Protocol):
    def __call__(
        self,
        name: str,
        factory: Callable[..., Any] | str,
        *,
        summary: str | None = None,
        peft_type: str | None = None,
    ) -> None: ...


class RegisterDataset(Protocol):
    def __call__(
        self, name: str, factory: Callable[[], Iterable[Row]] | str, *, summary: str | None = None
    ) -> None: ...


class RegisterBase(Protocol):
    def __call__(
        self, name: str, factory: Callable[[], Path] | str, *, summary: str | None = None
    ) -> None: ...


@hookspec
def register_methods(register: RegisterMethod) -> None:
    """Offer adapter methods.

    ``factory`` is a callable that returns a ``peft.PeftConfig``, or ``"module:Name"`` for one
    that is imported only when the method is used. Its signature is the method's option schema.
    ``peft_type`` (``"IA3"``) lets an adapter of that type be traced to this method.
    """


@hookspec
def register_datasets(register: RegisterDataset) -> None:
    """Offer datasets.

    ``factory()`` yields rows. A ``str`` is a passage of running text. A mapping is one example:
    ``text``; ``prompt`` and ``completion``; ``messages``; or ``instruction``, ``input``,
    ``output``.
    """


@hookspec
def register_bases(register: RegisterBase) -> None:
    """Offer base models.

    ``factory()`` returns a local folder with ``config.json``, safetensors and a tokenizer.
    """
