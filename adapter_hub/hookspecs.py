"""The hooks a plugin can implement.

A plugin is a module named in the entry-point group ``adapter_hub`` with functions marked
``@hookimpl``. Each hook is called once with a ``register`` callback; what a plugin registers
becomes visible only when all of its hooks have returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pluggy

PROJECT = "adapter_hub"
ENTRY_POINT_GROUP = "adapter_hub"
COMMAND_GROUP = "adapter_hub.commands"
"""An entry point's name is the command, its object a ``click.Command``."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Row = str | Mapping[str, Any]
Batches = Callable[[], Iterator[dict[str, Any]]]


class TrainHooks:
    """What a method does at the moments of a run that PEFT leaves to the training loop.

    Derive from it and override what the method needs. ``model`` is the ``PeftModel``. The moments
    come in this order: ``before_model``, ``after_adapter``, ``restore`` where a run goes on, then
    ``loss`` and ``after_step`` for each step with ``state`` for each checkpoint. Where all that is
    adapted are plain LoRA layers, a step's rows may lie in one sequence, (1, N).
    """

    def before_model(self, config: Any, steps: int) -> None:
        """The run's length is known; ``config`` (a ``peft.PeftConfig``) may still be changed."""

    def after_adapter(self, model: Any, batches: Batches) -> None:
        """The adapter is on its base, and no step is made: the moment for a pass over data.

        ``batches()`` begins the first epoch of the run's own training rows anew: tables of
        ``input_ids``, ``attention_mask`` and ``labels`` (-100 where there is no loss), int64
        (rows, length), padded on the right, on the model's device. Their order follows from the
        seed, and is the same in every process of the run. A run that goes on comes by here again,
        before ``restore``: the same has to happen twice, from the same random numbers. Parameters
        of the adapter may be replaced; the frozen base stays as it is, for others read it too.
        """

    def loss(self, model: Any) -> Any:
        """A scalar tensor to add to a step's mean loss; None for nothing."""
        return None

    def after_step(self, model: Any, step: int) -> None:
        """The optimizer made step number ``step`` (from 1); its gradients are still there."""

    def state(self, model: Any) -> dict[str, Any]:
        """Tensors by name that a checkpoint must hold, besides the trained weights."""
        return {}

    def restore(self, model: Any, state: dict[str, Any]) -> None:
        """Bring back what ``state`` gave."""


class RegisterMethod(Protocol):
    def __call__(
        self,
        name: str,
        factory: Callable[..., Any] | str,
        *,
        summary: str | None = None,
        peft_type: str | None = None,
        tuner: type | str | None = None,
        hooks: type[TrainHooks] | str | None = None,
    ) -> None: ...


class RegisterDataset(Protocol):
    def __call__(
        self,
        name: str,
        factory: Callable[..., Iterable[Row]] | str,
        *,
        summary: str | None = None,
        splits: Sequence[str] = (),
        licence: str | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> None: ...


class RegisterBase(Protocol):
    def __call__(
        self, name: str, factory: Callable[[], Path] | str, *, summary: str | None = None
    ) -> None: ...


class Executor(Protocol):
    """Makes runs in other processes: what ``--on NAME`` needs."""

    @property
    def at_once(self) -> int:
        """How many runs it can make beside each other, at least 1."""

    def __call__(
        self,
        runs: Sequence[Mapping[str, Any]],
        done: Callable[[int, Mapping[str, Any]], None],
    ) -> None:
        """Have ``adapter_hub.make_run(run)`` called for each run, in any process and order.

        What it returned goes to ``done(number, told)`` as soon as it is there, in this process. A
        run whose process dies is made again. KeyboardInterrupt stops what is running.
        """


class RegisterExecutor(Protocol):
    def __call__(
        self, name: str, factory: Callable[..., Executor] | str, *, summary: str | None = None
    ) -> None: ...


@hookspec
def register_methods(register: RegisterMethod) -> None:
    """Offer adapter methods.

    ``factory`` is a callable that returns a ``peft.PeftConfig``, or ``"module:Name"`` for one
    that is imported only when the method is used. Its signature is the method's option schema.
    ``peft_type`` (``"IA3"``) lets an adapter of that type be traced to this method.

    A method that PEFT itself does not know brings its ``tuner``, a ``BaseTuner`` of PEFT's; its
    ``factory`` is then its ``PeftConfig`` class, whose ``peft_type`` is a string of its own
    (``peft_type``, else the name in capitals). ``hooks`` is a class of ``TrainHooks``. All three
    may be ``"module:Name"``.
    """


@hookspec
def register_datasets(register: RegisterDataset) -> None:
    """Offer datasets.

    ``factory()`` yields rows. A ``str`` is a passage of running text. A mapping is one example:
    ``text``; ``prompt`` and ``completion``; ``messages``; or ``instruction``, ``input``,
    ``output``. Rows are taken one by one, so a generator may be larger than memory, and one that
    never ends is read as far as a run's steps need. The factory's signature is the dataset's
    option schema, set with ``--data-option``.

    ``splits`` are its parts (``("train", "validation")``): the factory then takes ``split``, one
    of them. Its name alone is the part ``train``, else the first one; ``NAME:SPLIT`` is another,
    and ``validation`` is what a run holds out unless it is told otherwise. ``licence`` is that of
    the rows, and ``columns`` says what each column means.
    """


@hookspec
def register_bases(register: RegisterBase) -> None:
    """Offer base models.

    ``factory()`` returns a local folder with ``config.json``, safetensors and a tokenizer.
    """


@hookspec
def register_executors(register: RegisterExecutor) -> None:
    """Offer places where runs are made, for ``--on NAME`` of ``train`` and ``sweep``.

    ``factory()`` returns an ``Executor``; its signature is the executor's option schema, set with
    ``--on-option``.
    """
