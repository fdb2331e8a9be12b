"""Discover plugins, load each in isolation, and collect what they offer into a Catalog.

Built-in methods, datasets and bases come through the same hooks and are looked up first, so a
name that is built in never waits for third-party code. A plugin that breaks in any way is
reported as one Problem and offers nothing.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from types import ModuleType
from typing import Any, Literal

import pluggy

import adapter_hub.bases
import adapter_hub.datasets
import adapter_hub.methods
from adapter_hub import hookspecs
from adapter_hub.entry_points import Problem, find_entries, strict
from adapter_hub.errors import PluginError, UnknownOfferError
from adapter_hub.isolation import one_line, talk_on_stderr, traced
from adapter_hub.options import Option, options_of, suggestion

Kind = Literal["method", "dataset", "base", "executor"]
KINDS: tuple[Kind, ...] = ("method", "dataset", "base", "executor")

BUILT_IN = "built in"

# Fields of every PeftConfig that no recipe sets.
_PEFT_INTERNAL = frozenset(
    [
        "auto_mapping",
        "base_model_name_or_path",
        "inference_mode",
        "peft_type",
        "peft_version",
        "revision",
        "task_type",
    ]
)
_HOOKS: dict[Kind, str] = {
    "method": "register_methods",
    "dataset": "register_datasets",
    "base": "register_bases",
    "executor": "register_executors",
}


@dataclass(frozen=True)
class Offer:
    """One thing that a plugin offers. ``factory`` is a callable or ``"module:Name"``."""

    kind: Kind
    name: str
    factory: Callable[..., Any] | str
    summary: str
    plugin: str
    distribution: str
    version: str
    peft_type: str | None = None
    tuner: type | str | None = None
    hooks: type[hookspecs.TrainHooks] | str | None = None
    splits: tuple[str, ...] = ()
    licence: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def resolve(self) -> Callable[..., Any]:
        """The factory itself, imported now if it was given by name; PEFT then knows its method.

        Raises PluginError.
        """
        factory = self._imported(self.factory)
        if self.tuner is not None:
            self._make_known(factory)
        return factory

    def options(self) -> tuple[Option, ...]:
        """What a recipe can set. Raises PluginError."""
        found = options_of(self.resolve())
        if self.kind == "method":
            return tuple(each for each in found if each.name not in _PEFT_INTERNAL)
        if not self.splits:
            return found
        if not any(each.name == "split" for each in found):
            raise PluginError(
                f"{self.kind} {self.name!r} of {self.distribution} declares splits, and its "
                "factory takes no `split`."
            )
        return tuple(each for each in found if each.name != "split")

    def train_hooks(self) -> hookspecs.TrainHooks:
        """What the method does while it trains. Raises PluginError."""
        if self.hooks is None:
            return hookspecs.TrainHooks()
        hooks: hookspecs.TrainHooks = self._imported(self.hooks)()
        return hooks

    def _make_known(self, config: Any) -> None:
        from adapter_hub.methods.peft_types import register_with_peft

        tuner: Any = self._imported(self.tuner)
        try:
            register_with_peft(str(self.peft_type), config, tuner)
        except ValueError as error:
            raise PluginError(
                f"{self.kind} {self.name!r} of {self.distribution}: {error}."
            ) from error

    def _imported(self, what: Any) -> Callable[..., Any]:
        if callable(what):
            return what  # type: ignore[no-any-return]
        module_name, _, attribute = str(what).partition(":")
        try:
            with traced(f"import of {what} ({self.distribution})"), talk_on_stderr():
                found: Any = importlib.import_module(module_name)
                for part in attribute.split("."):
                    found = getattr(found, part)
        except (PluginError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise PluginError(
                f"{self.kind} {self.name!r} of {self.distribution} cannot be loaded: {one_line(error)}.",
                hint="adapter-hub plugins",
            ) from error
        if not callable(found):
            raise PluginError(
                f"{self.kind} {self.name!r} of {self.distribution}: {what} is not callable."
            )
        return found  # type: ignore[no-any-return]


@dataclass(frozen=True)
class LoadedPlugin:
    """A third-party plugin that works."""

    name: str
    distribution: str
    version: str
    offers: tuple[Offer, ...]


@dataclass
class Catalog:
    """What is on offer. Third-party plugins are loaded at the first look-up that needs them."""

    offers: dict[Kind, dict[str, Offer]] = field(
        default_factory=lambda: {kind: {} for kind in KINDS}
    )
    plugins: list[LoadedPlugin] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    complete: bool = False

    def find(self, kind: Kind, name: str) -> Offer:
        """The offer of that name. Raises UnknownOfferError, which names broken plugins too."""
        if name not in self.offers[kind]:
            self.load_all()
        offer = self.offers[kind].get(name)
        if offer is None:
            broken = "".join(
                f" Plugin {each.plugin} is broken: {each.reason}." for each in self.problems
            )
            see = {
                "method": "adapter-hub methods",
                "dataset": "adapter-hub datasets",
                "base": "adapter-hub plugins",
                "executor": "adapter-hub plugins; ray comes with adapter-hub-ray",
            }
            raise UnknownOfferError(
                f"there is no {kind} {name!r}{suggestion(name, self.offers[kind])}.{broken}",
                kind=kind,
                name=name,
                hint=see[kind],
            )
        return offer

    def find_method_of(self, peft_type: str) -> Offer | None:
        """The method whose adapters carry ``peft_type`` in their config, if any."""
        for _ in range(2):
            for offer in self.offers["method"].values():
                if offer.peft_type == peft_type:
                    return offer
            self.load_all()
        return None

    def all(self, kind: Kind) -> list[Offer]:
        """Every offer of a kind, by name."""
        self.load_all()
        return [self.offers[kind][name] for name in sorted(self.offers[kind])]

    def load_all(self) -> None:
        """Load the third-party plugins, once. Raises PluginError only in strict mode."""
        if self.complete:
            return
        self.complete = True
        entries, problems = find_entries(hookspecs.ENTRY_POINT_GROUP)
        for problem in problems:
            self._report(problem, None)
        for entry in entries:
            name, version = entry.distribution, entry.version
            try:
                offers = self._collect(entry.load(), entry.name, name, version)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # sys.exit, pytest.skip: it must not end the command
                self._report(entry.problem(error), error)
                continue
            self.plugins.append(LoadedPlugin(entry.name, name, version, tuple(offers)))

    def add_plugin(self, module: ModuleType, name: str, distribution: str, version: str) -> None:
        """Add what one plugin offers. Raises PluginError, and then nothing of it is added."""
        self._collect(module, name, distribution, version)

    def _collect(
        self, module: ModuleType, plugin: str, distribution: str, version: str
    ) -> list[Offer]:
        offers: list[Offer] = []

        def collector(kind: Kind) -> Callable[..., None]:
            def register(
                name: str,
                factory: Callable[..., Any] | str,
                *,
                summary: str | None = None,
                peft_type: str | None = None,
                tuner: type | str | None = None,
                hooks: type[hookspecs.TrainHooks] | str | None = None,
                splits: Sequence[str] = (),
                licence: str | None = None,
                columns: Mapping[str, str] | None = None,
            ) -> None:
                taken = self.offers[kind].get(name) or next(
                    (offer for offer in offers if (offer.kind, offer.name) == (kind, name)), None
                )
                if taken is not None:
                    by = taken.distribution
                    already = BUILT_IN if by == BUILT_IN else f"offered by {by}"
                    raise PluginError(f"{kind} {name!r} is already {already}")
                if not (callable(factory) or (isinstance(factory, str) and ":" in factory)):
                    raise PluginError(
                        f'the factory of {kind} {name!r} is neither a callable nor "module:Name"'
                    )
                if tuner is not None:
                    peft_type = peft_type or name.upper()
                    self._refuse_second_tuner(peft_type, offers)
                _check_about(f"{kind} {name!r}", splits, licence, columns)
                offers.append(
                    Offer(
                        kind=kind,
                        name=name,
                        factory=factory,
                        summary=summary or "",
                        plugin=plugin,
                        distribution=distribution,
                        version=version,
                        peft_type=peft_type,
                        tuner=tuner,
                        hooks=hooks,
                        splits=tuple(splits),
                        licence=licence,
                        columns=dict(columns or {}),
                    )
                )

            return register

        with talk_on_stderr():
            manager = _checked_manager(module, plugin)
            for kind, hook in _HOOKS.items():
                call = getattr(manager.hook, hook)
                if call.get_hookimpls():
                    with traced(f"{hook} of {plugin} ({distribution})"):
                        call(register=collector(kind))
        for offer in offers:
            self.offers[offer.kind][offer.name] = offer
        return offers

    def _refuse_second_tuner(self, peft_type: str, offers: list[Offer]) -> None:
        """Adapters name their type alone, so two methods of one type could not be told apart."""
        for offer in [*self.offers["method"].values(), *offers]:
            if offer.peft_type == peft_type:
                raise PluginError(
                    f"PEFT type {peft_type!r} is that of method {offer.name!r} of {offer.distribution}"
                )

    def _report(self, problem: Problem, error: BaseException | None) -> None:
        if strict():
            raise PluginError(
                f"plugin {problem.plugin} ({problem.distribution}): {problem.reason}."
            ) from error
        self.problems.append(problem)


def load_catalog() -> Catalog:
    """A catalog with everything that is built in; plugins follow when they are needed."""
    catalog = Catalog()
    version = metadata.version("adapter-hub")
    for module in (adapter_hub.methods, adapter_hub.datasets, adapter_hub.bases):
        catalog.add_plugin(module, module.__name__.rpartition(".")[2], BUILT_IN, version)
    return catalog


def _checked_manager(module: ModuleType, name: str) -> pluggy.PluginManager:
    """A manager with this one plugin: pluggy checks its hooks' names and arguments."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        known = ", ".join(_HOOKS.values())
        raise PluginError(
            f"{one_line(error)} (the hooks are {known}, each with the argument `register`)"
        ) from error
    if not manager.get_hookcallers(module):
        raise PluginError("it implements no hook: mark its functions with @adapter_hub.hookimpl")
    return manager


def _check_about(owner: str, splits: Any, licence: Any, columns: Any) -> None:
    """What a dataset says of itself is printed and looked up later. Raises PluginError."""
    names = [splits] if isinstance(splits, str) else list(splits)
    if names == [splits] or not all(map(_is_split, names)) or len({*names}) < len(names):
        raise PluginError(
            f'the splits of {owner} must be names such as ("train", "validation"), not {splits!r}'
        )
    if not isinstance(licence, (str, type(None))):
        raise PluginError(f"the licence of {owner} must be a string, not {licence!r}")
    texts = [*columns, *columns.values()] if isinstance(columns, Mapping) else [columns]
    if columns is not None and not all(isinstance(each, str) for each in texts):
        raise PluginError(
            f"the columns of {owner} must be a table of names and meanings, not {columns!r}"
        )


def _is_split(name: Any) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(r"[\w.-]+", name))
