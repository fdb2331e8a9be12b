"""A factory for each configuration class of peft: its fields as options, causal language models.

``adapter_hub_peft.configs:ia3`` is the factory of IA3; which there are, the installed peft says.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import peft

from adapter_hub.errors import OptionError
from adapter_hub.options import Option, options_of
from adapter_hub_peft.found import find_methods
from adapter_hub_peft.special import CANNOT, DEFAULTS, HIDDEN, REQUIRED

_CONFIGS = {found.name: found.config for found in find_methods()}


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in _CONFIGS:
        raise AttributeError(f"the installed peft has no method {name!r}")
    return factory(name, getattr(peft, _CONFIGS[name]))


def factory(name: str, config: Callable[..., Any]) -> Callable[..., Any]:
    """What makes a ``config``; its signature tells the options that a recipe can set."""
    options = [_as_offered(name, each) for each in options_of(config) if each.name not in HIDDEN]
    ours = DEFAULTS.get(name, {})

    def build(**given: Any) -> Any:
        if name in CANNOT:
            raise OptionError(f"method {name!r} cannot be trained here: {CANNOT[name]}.")
        # PEFT checks more than types at this point, so what nobody set is left to it.
        values = {**ours, **{key: value for key, value in given.items() if value is not None}}
        try:
            return config(task_type="CAUSAL_LM", **_run_length(config), **values)
        except ImportError as error:
            text = " ".join(str(error).split()).rstrip(".")
            raise OptionError(f"method {name!r} cannot be trained here: {text}.") from error

    build.__module__, build.__doc__ = config.__module__, config.__doc__  # the words are peft's
    vars(build)["__signature__"] = inspect.Signature(
        [
            inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default)
            for each in options
        ]
    )
    build.__annotations__ = {each.name: Annotated[each.annotation, each.help] for each in options}
    return build


def _as_offered(name: str, option: Option) -> Option:
    default = DEFAULTS.get(name, {}).get(option.name, option.default)
    if option.name in REQUIRED.get(name, ()):
        default = inspect.Parameter.empty
    return Option(option.name, option.annotation, default, option.help)


def _run_length(config: Callable[..., Any]) -> Mapping[str, int]:
    """A stand-in where a method must know the run's length, until the hooks know it."""
    fields = inspect.signature(config).parameters
    return {"total_step": 2**31} if "total_step" in fields else {}
