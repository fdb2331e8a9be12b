"""A plugin's module, read as strictly as a careful reviewer would read it."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import pluggy

from adapter_hub import hookspecs
from adapter_hub.errors import OptionError, PluginError, UsageError
from adapter_hub.model import check_name
from adapter_hub.options import Option, check_options, suggestion
from adapter_hub.plugins import Catalog, Offer, load_catalog

HEAVY = ("torch", "transformers", "peft", "datasets", "accelerate", "huggingface_hub")
_CLOSE = 0.8
"""From this likeness on (difflib's ratio) a name is taken for a misspelt one."""

Registration = tuple[str, tuple[Any, ...], dict[str, Any]]  # hook, arguments, keywords


class PluginFindings(AssertionError):
    """What is wrong with a plugin; ``findings`` has a sentence for each thing."""

    def __init__(self, plugin: str, findings: Sequence[str]) -> None:
        self.findings = tuple(findings)
        lines = "".join(f"\n- {each}" for each in findings)
        super().__init__(f"{plugin}: {len(findings)} thing{'s' * (len(findings) > 1)}{lines}")


def check_plugin(plugin: ModuleType) -> None:
    """Check the hooks of ``plugin`` (the module that the entry point names) and what they offer.

    Hooks: marked, spelt right, with the signature of ``adapter_hub.hookspecs``. Offers: accepted
    by adapter-hub beside what is built in, with valid names and summaries, and factories that can
    be imported; those of the plugin's own have docstrings, and their options types, help and
    defaults that fit. Importing the module imports no heavy library.

    Raises PluginFindings, an AssertionError that lists everything at once.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    findings = list(_read_marks(plugin, manager))
    registrations: list[Registration] = []
    for name, hook in _hooks_of(plugin, manager):
        findings += _call(getattr(plugin, name), hook, registrations)
    catalog = load_catalog()
    for number, registration in enumerate(registrations):
        label = f"{plugin.__name__} {number}"
        findings += _judge(registration, catalog, label, plugin.__name__)
        for offers in catalog.offers.values():
            for offer in offers.values():
                if offer.plugin == label:
                    findings += _read_offer(offer, plugin.__name__.partition(".")[0])
    findings += _read_imports(plugin)
    if findings:
        raise PluginFindings(plugin.__name__, findings)


def _specifications() -> dict[str, inspect.Signature]:
    """Every hook with its signature."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    return {
        name: inspect.signature(getattr(hookspecs, name))
        for name in dir(hookspecs)
        if manager.parse_hookspec_opts(hookspecs, name) is not None
    }


def _hooks_of(plugin: ModuleType, manager: pluggy.PluginManager) -> Iterator[tuple[str, str]]:
    """Each marked function that is a hook, by its name and the hook's."""
    for name in dir(plugin):
        marked = manager.parse_hookimpl_opts(plugin, name)
        if marked is not None and (marked.get("specname") or name) in _specifications():
            yield name, marked.get("specname") or name


def _read_marks(plugin: ModuleType, manager: pluggy.PluginManager) -> Iterator[str]:
    """Functions that are marked and no hooks, and hooks that are not marked."""
    known = _specifications()
    some = False
    for name in dir(plugin):
        marked = manager.parse_hookimpl_opts(plugin, name)
        if marked is not None:
            some = True
            hook = marked.get("specname") or name
            if hook not in known:
                yield f"{name} is marked @hookimpl and is no hook{suggestion(hook, known)}."
        elif _is_own_function(plugin, name):
            close = difflib.get_close_matches(name, known, n=1, cutoff=_CLOSE)
            if close:
                spelt = "" if name in known else f" and not spelt {close[0]}"
                yield f"{name} is not marked @hookimpl{spelt}, so nothing calls it."
    if not some:
        yield f"it implements no hook; the hooks are {', '.join(known)}."


def _is_own_function(plugin: ModuleType, name: str) -> bool:
    found = getattr(plugin, name)
    return inspect.isfunction(found) and found.__module__ == plugin.__name__


def _call(function: Any, hook: str, registrations: list[Registration]) -> Iterator[str]:
    """Call a hook and keep what it registers."""
    wanted = list(_specifications()[hook].parameters)
    has = list(inspect.signature(function).parameters)
    if has != wanted:
        yield f"{hook}({', '.join(has)}) must be {hook}({', '.join(wanted)})."
        return
    before = len(registrations)

    def register(*arguments: Any, **keywords: Any) -> None:
        registrations.append((hook, arguments, keywords))

    try:
        function(register)
    except (Exception, SystemExit) as error:
        yield f"{hook} raises {type(error).__name__}: {error}"
        return
    if len(registrations) == before:
        yield f"{hook} registers nothing."


def _judge(
    registration: Registration, catalog: Catalog, label: str, distribution: str
) -> Iterator[str]:
    """Add one registration to ``catalog``: what adapter-hub itself accepts is accepted here."""
    hook, arguments, keywords = registration
    single = ModuleType(distribution)
    setattr(single, hook, hookspecs.hookimpl(lambda register: register(*arguments, **keywords)))
    try:
        catalog.add_plugin(single, label, distribution, "0")
    except PluginError as error:
        yield f"{error.message}."
    except TypeError as error:  # of a call that does not fit register's signature
        yield f"{hook}: register{str(error).rpartition('register()')[2]}."


def _read_offer(offer: Offer, home: str) -> Iterator[str]:
    what = f"{offer.kind} {offer.name!r}"
    try:
        check_name(offer.name, f"a {offer.kind}")
    except UsageError as error:
        yield error.message
    if not offer.summary.strip():
        yield f"{what} has no summary, and lists show it without a word."
    elif len(offer.summary.splitlines()) > 1:
        yield f"the summary of {what} is more than one line."
    try:
        factory = offer.resolve()
        yield from _read_train_hooks(offer, what)
        options = offer.options()
    except PluginError as error:
        yield error.message
        return
    if offer.kind == "base":
        needed = [each.name for each in options if each.required]
        if needed:
            yield f"the factory of {what} is called without arguments, and needs {needed[0]!r}."
    # What another distribution wrote, such as PEFT's own classes, is not this author's to mend.
    if _module_of(factory).partition(".")[0] == home:
        if not _is_documented(factory):
            yield f"the factory of {what} has no docstring."
        for option in options:
            yield from _read_option(option, what)


def _read_option(option: Option, what: str) -> Iterator[str]:
    if option.annotation is Any:
        yield f"option {option.name!r} of {what} has no type."
    if not option.help:
        yield (
            f"option {option.name!r} of {what} has no help: "
            f'write Annotated[…, "what it does"], or metadata={{"help": …}} of a field.'
        )
    if type(option.default) in (bool, int, float, str, list, dict):
        try:
            check_options([option], {option.name: option.default}, owner=what)
        except OptionError as error:
            yield f"its own default does not fit: {error.message}"


def _read_train_hooks(offer: Offer, what: str) -> Iterator[str]:
    hooks = offer.train_hooks()
    if not isinstance(hooks, hookspecs.TrainHooks):
        yield f"the hooks of {what} are no adapter_hub.TrainHooks."
        return
    known = [name for name in vars(hookspecs.TrainHooks) if not name.startswith("_")]
    for name in vars(type(hooks)):
        close = difflib.get_close_matches(name, known, n=1, cutoff=_CLOSE)
        if close and name not in known:
            yield f"{name} of {what} is no moment of TrainHooks (did you mean {close[0]!r}?)."


def _module_of(factory: Callable[..., Any]) -> str:
    while isinstance(factory, functools.partial):
        factory = factory.func
    return getattr(factory, "__module__", None) or type(factory).__module__


def _is_documented(factory: Callable[..., Any]) -> bool:
    while isinstance(factory, functools.partial):
        factory = factory.func
    text = getattr(factory, "__doc__", None) or ""
    # A dataclass without one is given its signature.
    return bool(text.strip()) and not text.startswith(f"{getattr(factory, '__name__', '')}(")


def _read_imports(plugin: ModuleType) -> Iterator[str]:
    """What a new process has imported once it has imported the plugin."""
    if plugin.__spec__ is None or importlib.util.find_spec(plugin.__name__) is None:
        return
    code = (
        f"import json, sys, {plugin.__name__}\n"
        f"sys.stderr.write('\\n' + json.dumps([each for each in {HEAVY!r} if each in sys.modules]))"
    )
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        yield f"a new process cannot import it: {last}"
        return
    if done.stdout:
        yield "importing it prints: whatever it has to say belongs on stderr, and later."
    if heavy := json.loads(done.stderr.splitlines()[-1]):
        yield (
            f"importing it imports {', '.join(heavy)}, and every list of methods waits for that: "
            'register "module:Name", or import inside the factory.'
        )
