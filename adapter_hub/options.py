"""The signature of a callable as a schema of checked ``key=value`` options.

A method's factory, a dataset's factory and our own settings all describe their options by
their signature alone: name, annotation, default, and a help text from ``Annotated[T, "help"]``
or from a dataclass field's ``metadata["help"]``. Nothing here imports a heavy library.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import functools
import inspect
import sys
import types
from collections import abc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tomli

from adapter_hub.errors import OptionError, UsageError

REQUIRED = inspect.Parameter.empty
"""The default of an option that has none."""

_ARRAYS = (list, tuple, set, frozenset, abc.Sequence, abc.Iterable, abc.Collection, abc.Set)
_TABLES = (dict, abc.Mapping)


@dataclass(frozen=True)
class Option:
    """One option: ``annotation`` is a plain typing form, without ``Annotated``."""

    name: str
    annotation: Any
    default: Any
    help: str

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def type_name(self) -> str:
        return describe(self.annotation)


def options_of(factory: Callable[..., Any]) -> tuple[Option, ...]:
    """The options that ``factory`` takes, in the order of its signature."""
    written = _annotations(factory)
    field_help = _field_help(factory)
    options = []
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        annotation, help_text = _read_annotation(*written.get(parameter.name, (Any, {})))
        options.append(
            Option(
                parameter.name,
                annotation,
                _real_default(factory, parameter),
                field_help.get(parameter.name) or help_text,
            )
        )
    return tuple(options)


def check_options(
    options: Iterable[Option], values: Mapping[str, Any], *, owner: str, see: str | None = None
) -> dict[str, Any]:
    """Check ``values`` against ``options`` and return them, integers widened where floats go.

    ``owner`` ("method lora") and ``see`` (the command that lists the options) go into messages.
    Raises OptionError for an unknown name, a wrong type or a missing required option.
    """
    known = {option.name: option for option in options}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        option = known.get(name)
        if option is None:
            close = suggestion(name, known)
            raise OptionError(f"{owner} has no option {name!r}{close}.", hint=see)
        try:
            checked[name] = _fit(value, option.annotation)
        except TypeError:
            raise OptionError(
                f"{owner}: option {name!r} takes {option.type_name}, not {show_value(value)}.",
                hint=see,
            ) from None
    missing = [name for name, option in known.items() if option.required and name not in checked]
    if missing:
        raise OptionError(f"{owner} needs option {', '.join(map(repr, missing))}.", hint=see)
    return checked


def parse_assignment(text: str, flag: str = "-o") -> tuple[str, Any]:
    """``key=value`` with a TOML value; a bare word, or nothing, is a string. ``flag`` took it.

    Raises UsageError when there is no ``=`` or no key, or half an array, table or quoted string.
    """
    key, equals, raw = text.partition("=")
    key, raw = key.strip(), raw.strip()
    if not equals or not key:
        raise UsageError(f"{text!r} is not of the form key=value.")
    try:
        document = tomli.loads(f"value = {raw}")
    except (ValueError, RecursionError):  # an integer too long for Python; arrays nested too deep
        document = {}
    if len(document) != 1:  # more than one: the text had a line of its own after the value
        if raw.startswith(("[", "{", '"', "'")):
            raise UsageError(
                f"the value of {key!r} is not a TOML value: {raw}.",
                hint=f'quote it for the shell, as in {flag} \'{key}=["q_proj", "v_proj"]\'',
            )
        return key, raw
    return key, document["value"]


def suggestion(name: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` for the closest of ``known``, case aside, or nothing."""
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def show_value(value: Any) -> str:
    """A value and its TOML type for an error message."""
    if isinstance(value, bool):
        return f"{str(value).lower()} (a boolean)"
    for kind, name in (
        (str, "a string"),
        (int, "an integer"),
        (float, "a float"),
        (list, "an array"),
        (dict, "a table"),
    ):
        if isinstance(value, kind):
            return f"{value!r} ({name})"
    return repr(value)


def describe(annotation: Any) -> str:
    """A type in the words of TOML: ``integer``, ``"a" | "b"``, ``array of string``."""
    plain = {bool: "boolean", int: "integer", float: "float", str: "string", Any: "any value"}
    if annotation in plain:
        return plain[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(_literal(value) for value in arguments)
    if origin in (Union, types.UnionType):
        real = [each for each in arguments if each is not type(None)]
        return " | ".join(dict.fromkeys(map(describe, real)))
    if origin in _ARRAYS and arguments:
        return "array of " + " and ".join(
            dict.fromkeys(describe(each) for each in arguments if each is not Ellipsis)
        )
    if annotation in _TABLES or origin in _TABLES or dataclasses.is_dataclass(annotation):
        item_type = arguments[1] if len(arguments) == 2 else Any
        return "table" if item_type is Any else f"table of {describe(item_type)}"
    if annotation in _ARRAYS:
        return "array"
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return " | ".join(_literal(member.value) for member in annotation)
    return getattr(annotation, "__name__", str(annotation))


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _fit(value: Any, annotation: Any) -> Any:
    """``value`` as ``annotation`` wants it; TypeError when it does not fit."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return value
    if origin is Literal:
        return _fit_choice(value, arguments)
    if origin in (Union, types.UnionType):
        return _fit_first(value, arguments)
    if annotation is float and type(value) is int:
        return _widen(value)
    if annotation in (bool, int, float, str):
        if type(value) is not annotation:
            raise TypeError
        return value
    if origin in _ARRAYS or annotation in _ARRAYS:
        return _fit_array(value, origin or annotation, arguments)
    if origin in _TABLES or annotation in _TABLES or dataclasses.is_dataclass(annotation):
        return _fit_table(value, arguments)
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return _fit_choice(value, [member.value for member in annotation])
    return value


def _fit_choice(value: Any, choices: Iterable[Any]) -> Any:
    """The type counts too: ``True`` is not the choice ``1``."""
    for choice in choices:
        if value == choice and type(value) is type(choice):
            return value
    raise TypeError


def _widen(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise TypeError from None


def _fit_first(value: Any, alternatives: tuple[Any, ...]) -> Any:
    # float last, so that it does not widen an integer that another alternative takes as it is
    for alternative in sorted(alternatives, key=lambda each: each is float):
        if alternative is type(None):
            continue
        try:
            return _fit(value, alternative)
        except TypeError:
            continue
    raise TypeError


def _fit_array(value: Any, container: Any, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(value, list):
        raise TypeError
    if container is tuple and arguments and Ellipsis not in arguments:
        if len(value) != len(arguments):
            raise TypeError
        return [_fit(item, each) for item, each in zip(value, arguments, strict=True)]
    item_type = arguments[0] if arguments else Any
    return [_fit(item, item_type) for item in value]


def _fit_table(value: Any, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(value, dict):
        raise TypeError
    item_type = arguments[1] if len(arguments) == 2 else Any
    return {key: _fit(item, item_type) for key, item in value.items()}


def _annotations(factory: Callable[..., Any]) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Each parameter's annotation as it was written, with the globals it was written among.

    A dataclass inherits fields from other modules, where other names were imported.
    """
    if dataclasses.is_dataclass(factory) and inspect.isclass(factory):
        return {
            name: (annotation, vars(sys.modules[each.__module__]))
            for each in reversed(factory.__mro__)
            for name, annotation in inspect.get_annotations(each).items()
        }
    function = _function_of(factory)
    names = getattr(function, "__globals__", {})
    written = inspect.get_annotations(function) if callable(function) else {}
    return {name: (annotation, names) for name, annotation in written.items()}


def _function_of(factory: Any) -> Any:
    """The function whose annotations describe a call of ``factory``."""
    if inspect.isclass(factory):
        return inspect.unwrap(factory.__init__)
    if isinstance(factory, functools.partial):
        return _function_of(factory.func)
    if not inspect.isroutine(factory):
        return inspect.unwrap(type(factory).__call__)
    return inspect.unwrap(factory)


def _read_annotation(written: Any, names: dict[str, Any]) -> tuple[Any, str]:
    """A written annotation as a plain typing form, and its help text.

    Each is read alone, never the return type: a factory may import the names in one of them for
    the type checker only. Such a parameter takes any value.
    """
    holder = types.SimpleNamespace(__annotations__={"it": written})
    try:
        full = get_type_hints(holder, names, include_extras=True)["it"]
        plain = get_type_hints(holder, names)["it"]
    except Exception:  # a plugin's annotation can raise anything
        return Any, ""
    extra = get_args(full)[1:] if get_origin(full) is Annotated else ()
    return plain, next((text for text in extra if isinstance(text, str)), "")


def _field_help(factory: Callable[..., Any]) -> dict[str, str]:
    if not dataclasses.is_dataclass(factory):
        return {}
    fields = dataclasses.fields(factory)
    return {field.name: str(field.metadata.get("help", "")) for field in fields}


def _real_default(factory: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """A dataclass shows a sentinel where a field has a ``default_factory``: call it instead."""
    if dataclasses.is_dataclass(factory):
        for field in dataclasses.fields(factory):
            if field.name == parameter.name and field.default_factory is not dataclasses.MISSING:
                return field.default_factory()
    return parameter.default
