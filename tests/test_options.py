"""Signatures as option schemas, and ``key=value`` from the command line."""

# ruff: noqa: UP007, UP045 -- plugins write Optional and Union too
from __future__ import annotations

import contextlib
import dataclasses
import datetime
import enum
import functools
import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_hub.errors import AdapterHubError, OptionError, UsageError
from adapter_hub.options import (
    REQUIRED,
    Option,
    check_options,
    describe,
    options_of,
    parse_assignment,
    show_value,
    suggestion,
)

if TYPE_CHECKING:
    from heavy_library import Config, Unknown  # type: ignore[import-not-found]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(str, enum.Enum):
    LOW = "low"
    HIGH = "high"


class Number(enum.Enum):
    ONE = 1


@dataclass
class Nested:
    depth: int = 1


def fit(annotation: Any, value: Any) -> Any:
    """What becomes of ``value`` as the option ``it`` of that type."""
    option = Option("it", annotation, REQUIRED, "")
    return check_options([option], {"it": value}, owner="method 'm'")["it"]


def only(factory: Callable[..., Any]) -> Option:
    (option,) = options_of(factory)
    return option


# --- options_of ----------------------------------------------------------------------------------


def test_a_signature_is_read_in_its_order() -> None:
    def factory(
        *, rank: Annotated[int, "the rank"] = 8, name: Annotated[str, "a name"]
    ) -> None: ...

    assert options_of(factory) == (
        Option("rank", int, 8, "the rank"),
        Option("name", str, REQUIRED, "a name"),
    )


def test_an_option_without_a_default_is_required() -> None:
    def factory(needed: int, optional: int = 1) -> None: ...

    assert [option.required for option in options_of(factory)] == [True, False]


def test_none_is_a_default() -> None:
    def factory(limit: Annotated[int | None, "at most"] = None) -> None: ...

    assert not only(factory).required
    assert only(factory).help == "at most"
    assert only(factory).type_name == "integer"


def test_an_option_without_annotation_takes_anything() -> None:
    def factory(thing=None):  # type: ignore[no-untyped-def]
        ...

    assert only(factory) == Option("thing", Any, None, "")


def test_star_parameters_are_no_options() -> None:
    def factory(*rest: int, kept: int = 1, **others: int) -> None: ...

    assert only(factory).name == "kept"


def test_the_return_type_may_be_known_to_the_type_checker_only() -> None:
    def factory(rank: int = 8) -> Config: ...

    assert only(factory) == Option("rank", int, 8, "")


def test_a_type_that_cannot_be_read_takes_anything_and_harms_no_other() -> None:
    def factory(strange: Unknown, rank: Annotated[int, "the rank"] = 8) -> None: ...

    strange, rank = options_of(factory)
    assert strange.annotation is Any
    assert rank == Option("rank", int, 8, "the rank")


def test_help_is_the_first_text_of_annotated() -> None:
    def factory(rank: Annotated[int, 7, "first", "second"] = 8) -> None: ...

    assert only(factory).help == "first"


def test_annotated_inside_a_type_is_looked_through() -> None:
    def factory(ranks: list[Annotated[int, "not this"]] | None = None) -> None: ...

    assert only(factory).annotation == list[int] | None
    assert only(factory).help == ""


def test_a_dataclass_shows_its_help_and_its_real_defaults() -> None:
    @dataclass
    class Config:
        names: list[str] = field(default_factory=list, metadata={"help": "the names"})
        rank: Annotated[int, "the rank"] = 8
        hidden: int = field(default=0, init=False)

    assert options_of(Config) == (
        Option("names", list[str], [], "the names"),
        Option("rank", int, 8, "the rank"),
    )


def test_a_plain_class_is_read_from_its_constructor() -> None:
    class Config:
        def __init__(self, rank: Annotated[int, "the rank"] = 8) -> None: ...

    assert only(Config) == Option("rank", int, 8, "the rank")


def test_a_partial_an_instance_and_a_wrapped_function_are_read_through() -> None:
    def factory(seed: int, rank: Annotated[int, "the rank"] = 8) -> None: ...

    class Callable_:
        def __call__(self, rank: Annotated[int, "the rank"] = 8) -> None: ...

    @functools.wraps(factory)
    def wrapper(*args: Any, **kwargs: Any) -> None: ...

    rank = Option("rank", int, 8, "the rank")
    assert only(functools.partial(factory, 0)) == rank
    assert only(Callable_()) == rank
    assert options_of(wrapper) == options_of(factory)


def test_a_factory_without_annotations_takes_anything() -> None:
    assert options_of(json.dumps)[0] == Option("obj", Any, REQUIRED, "")
    assert options_of(math.sqrt)[0].annotation is Any  # written in C


def test_every_config_class_of_peft_is_a_schema() -> None:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    assert len(PEFT_TYPE_TO_CONFIG_MAPPING) > 40
    for peft_type, config in PEFT_TYPE_TO_CONFIG_MAPPING.items():
        options = {option.name: option for option in options_of(config)}
        fields = {each.name: each for each in dataclasses.fields(config) if each.init}
        assert options.keys() == fields.keys()
        assert options["task_type"].type_name.startswith("string | ")
        for name, option in options.items():
            about = f"{peft_type}.{name}: {option}"
            assert option.annotation is not Any, about
            assert option.type_name, about
            assert "typing" not in option.type_name, about
            assert "NoneType" not in option.type_name, about
            assert option.help or "help" not in fields[name].metadata, about


# --- check_options -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3),
        (int, -(10**30)),
        (float, 0.5),
        (bool, True),
        (str, "x"),
        (str, ""),
        (Any, [1, "x", {"a": None}]),
        (Optional[int], 3),
        (int | None, 3),
        (Union[str, list[str]], ["q", "v"]),
        (list[str] | str | None, "all-linear"),
        (bool | Literal["gaussian"], "gaussian"),
        (bool | Literal["gaussian"], False),
        (int | float, 3),
        (float | int, 3),
        (int | float, 0.5),
        (Literal["a", "b"], "b"),
        (Literal[1, "x"], 1),
        (list, [1, "x"]),
        (list[int], []),
        (list[int], [1, 2]),
        (list[list[int]], [[1], [2, 3]]),
        (tuple, [1, "x"]),
        (tuple[int, str], [1, "x"]),
        (tuple[int, ...], [1, 2, 3]),
        (list[tuple[int, int]], [[0, 4], [2, 5]]),
        (set[str], ["q"]),
        (frozenset[str], ["q"]),
        (Sequence[str], ["q"]),
        (dict, {"a": 1}),
        (dict[str, int], {"a": 1}),
        (dict[str, list[int]], {"a": [1]}),
        (dict[str, Any], {"a": [1], "b": "x"}),
        (Mapping[str, int], {"a": 1}),
        (Nested, {"depth": 2}),
        (Nested | None, {"depth": 2}),
        (Colour, "red"),
        (Level, "low"),
        (str | Level | None, "anything"),
        (Number, 1),
    ],
)
def test_a_value_that_fits_comes_back(annotation: Any, value: Any) -> None:
    fitted = fit(annotation, value)
    assert fitted == value
    assert type(fitted) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, True),
        (int, 3.0),
        (int, "3"),
        (float, True),
        (float, "0.5"),
        (float, 10**400),
        (bool, 1),
        (bool, "true"),
        (str, 3),
        (str, ["x"]),
        (str, datetime.date(2026, 1, 1)),
        (Optional[int], "x"),
        (int | None, None),
        (Union[str, list[str]], [1]),
        (bool | Literal["gaussian"], "pissa"),
        (Literal["a", "b"], "c"),
        (Literal[1], True),
        (Literal[True], 1),
        (list, "abc"),
        (list[str], "abc"),
        (list[int], [1, "x"]),
        (list[int], [True]),
        (list[int], {"a": 1}),
        (tuple[int, int], [1]),
        (tuple[int, int], [1, 2, 3]),
        (tuple[int, ...], ["x"]),
        (set[str], [1]),
        (Sequence[str], "abc"),
        (dict, [1]),
        (dict[str, int], {"a": "x"}),
        (Mapping[str, int], {"a": "x"}),
        (Nested, 3),
        (Colour, "green"),
        (Level, "RED"),
        (Number, True),
        (Number, 1.0),
        (Colour, ["red"]),
    ],
)
def test_a_value_that_does_not_fit_is_an_error(annotation: Any, value: Any) -> None:
    with pytest.raises(OptionError, match="option 'it' takes"):
        fit(annotation, value)


@pytest.mark.parametrize(
    ("annotation", "value", "widened"),
    [
        (float, 3, 3.0),
        (float | None, 3, 3.0),
        (list[float], [1, 2.5], [1.0, 2.5]),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
    ],
)
def test_an_integer_is_widened_where_a_float_goes(
    annotation: Any, value: Any, widened: Any
) -> None:
    fitted = fit(annotation, value)
    assert fitted == widened
    assert repr(fitted) == repr(widened)


def test_the_message_names_owner_option_type_and_value() -> None:
    option = Option("rank", int, 8, "")
    with pytest.raises(OptionError) as caught:
        check_options(
            [option], {"rank": "x"}, owner="method 'lora'", see="adapter-hub methods lora"
        )
    assert caught.value.message == "method 'lora': option 'rank' takes integer, not 'x' (a string)."
    assert caught.value.hint == "adapter-hub methods lora"
    assert caught.value.exit_code == 2


def test_an_unknown_option_gets_a_suggestion() -> None:
    options = [Option("lora_alpha", int, 8, ""), Option("r", int, 8, "")]
    with pytest.raises(OptionError) as caught:
        check_options(options, {"lora_alhpa": 1}, owner="method 'lora'")
    expected = "method 'lora' has no option 'lora_alhpa' (did you mean 'lora_alpha'?)."
    assert caught.value.message == expected


def test_an_unknown_option_like_no_other_gets_none() -> None:
    with pytest.raises(OptionError, match=r"^method 'm' has no option 'zzz'\.$"):
        check_options([Option("rank", int, 8, "")], {"zzz": 1}, owner="method 'm'")


def test_missing_options_are_all_named() -> None:
    options = [Option(name, int, REQUIRED, "") for name in ("a", "b", "c")]
    with pytest.raises(OptionError, match=r"method 'm' needs option 'a', 'c'\."):
        check_options(options, {"b": 1}, owner="method 'm'")


def test_an_option_left_out_stays_out() -> None:
    assert check_options([Option("rank", int, 8, "")], {}, owner="method 'm'") == {}


def test_the_given_values_are_not_changed() -> None:
    values = {"scales": [1, 2]}
    option = Option("scales", list[float], REQUIRED, "")
    assert check_options([option], values, owner="m") == {"scales": [1.0, 2.0]}
    assert [type(each) for each in values["scales"]] == [int, int]


toml_values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
annotations = st.recursive(
    st.sampled_from(
        [bool, int, float, str, Any, list, dict, Colour, Level, Nested, Literal["a", 1, True]]
    ),
    lambda inner: st.one_of(
        inner.map(lambda each: list[each]),  # type: ignore[valid-type]
        inner.map(lambda each: dict[str, each]),  # type: ignore[valid-type]
        inner.map(lambda each: tuple[each, ...]),  # type: ignore[valid-type]
        inner.map(lambda each: Optional[each]),
        st.tuples(inner, inner).map(lambda both: Union[both]),
    ),
    max_leaves=4,
)


@given(annotations, toml_values)
def test_any_value_fits_any_type_or_is_an_option_error(annotation: Any, value: Any) -> None:
    with contextlib.suppress(OptionError):
        fitted = fit(annotation, value)
        assert repr(fit(annotation, fitted)) == repr(fitted)


# --- parse_assignment ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x=8", 8),
        ("x=-8", -8),
        ("x=1_000", 1000),
        ("x=0x10", 16),
        ("x=0.5", 0.5),
        ("x=2e-4", 2e-4),
        ("x=true", True),
        ("x=false", False),
        ('x=["q_proj", "v_proj"]', ["q_proj", "v_proj"]),
        ("x=[1, 2]", [1, 2]),
        ("x=[]", []),
        ("x=[\n  1,\n  2,\n]", [1, 2]),
        ("x={ a = 1, b = [2] }", {"a": 1, "b": [2]}),
        ("x={}", {}),
        ('x="8"', "8"),
        ("x='8'", "8"),
        ('x="a = b"', "a = b"),
        ("x=2026-01-02", datetime.date(2026, 1, 2)),
        (" x = 8 ", 8),
    ],
)
def test_a_toml_value(text: str, value: Any) -> None:
    assert parse_assignment(text) == ("x", value)
    assert type(parse_assignment(text)[1]) is type(value)


@pytest.mark.parametrize(
    "word",
    [
        "all-linear",
        "two words",
        "True",
        "None",
        "a=b",
        ".*q_proj$",
        "./folder/file.jsonl",
        "hf:owner/repo",
        "12 monkeys",
        "# no comment",
        "1\nother = 2",
        "1\n[table]",
        "9" * 5000,
    ],
)
def test_a_bare_word_is_a_string(word: str) -> None:
    assert parse_assignment(f"x={word}") == ("x", word)


def test_an_empty_value_is_an_empty_string() -> None:
    assert parse_assignment("x=") == ("x", "")


@pytest.mark.parametrize("text", ["", "x", "=", "=8", " = 8", "x: 8"])
def test_no_key_or_no_equals_sign_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not of the form key=value"):
        parse_assignment(text)


@pytest.mark.parametrize(
    "value", ["[q_proj]", "[1", "{a}", '"open', "'open", "[1]\nother = 2", "[" * 5000, "{a=" * 5000]
)
def test_half_a_value_is_an_error_that_shows_how_to_quote(value: str) -> None:
    with pytest.raises(UsageError, match="is not a TOML value") as caught:
        parse_assignment(f"x={value}")
    assert caught.value.hint
    assert "-o 'x=[" in caught.value.hint


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    try:
        key, _ = parse_assignment(text)
    except AdapterHubError:
        return
    assert key
    assert text.lstrip().startswith(key)


nasty = st.text(alphabet="[]{}\"'=,.#\\\n\t 019eExob_-:TZnaif\x00\ud800", max_size=30)


@given(nasty)
def test_no_nasty_value_breaks_it(value: str) -> None:
    try:
        key, _ = parse_assignment(f"x={value}")
    except AdapterHubError:
        return
    assert key == "x"


@given(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF, exclude_characters="\x7f"))
    | st.lists(st.integers(-(2**63), 2**63 - 1))
    | st.lists(st.booleans())
)
def test_what_is_written_as_toml_comes_back(value: Any) -> None:
    assert parse_assignment(f"x={json.dumps(value)}") == ("x", value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_comes_back(value: float) -> None:
    assert parse_assignment(f"x={value!r}") == ("x", value)


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (bool, "boolean"),
        (int, "integer"),
        (float, "float"),
        (str, "string"),
        (Any, "any value"),
        (int | None, "integer"),
        (Optional[list[str]], "array of string"),
        (Union[str, list[str], None], "string | array of string"),
        (Union[list[int], list[int], None], "array of integer"),
        (Literal["a", "b"], '"a" | "b"'),
        (Literal[1, True, None], "1 | true | None"),
        (bool | Literal["gaussian"], 'boolean | "gaussian"'),
        (list, "array"),
        (tuple, "array"),
        (Sequence, "array"),
        (Sequence[str], "array of string"),
        (set[int], "array of integer"),
        (tuple[int, ...], "array of integer"),
        (tuple[int, int], "array of integer"),
        (tuple[int, str], "array of integer and string"),
        (list[tuple[int, int]], "array of array of integer"),
        (dict, "table"),
        (dict[str, Any], "table"),
        (dict[str, int], "table of integer"),
        (Mapping[str, list[int]], "table of array of integer"),
        (Nested, "table"),
        (Colour, '"red" | "blue"'),
        (Number, "1"),
        (datetime.date, "date"),
    ],
)
def test_a_type_in_words(annotation: Any, words: str) -> None:
    assert describe(annotation) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "true (a boolean)"),
        ("x", "'x' (a string)"),
        (1, "1 (an integer)"),
        (1.5, "1.5 (a float)"),
        ([1], "[1] (an array)"),
        ({"a": 1}, "{'a': 1} (a table)"),
        (datetime.date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
    ],
)
def test_a_value_in_words(value: Any, words: str) -> None:
    assert show_value(value) == words


def test_a_suggestion_is_the_closest_name() -> None:
    assert suggestion("lorra", ["lora", "loha", "ia3"]) == " (did you mean 'lora'?)"
    assert suggestion("x", ["lora", "loha"]) == ""
    assert suggestion("lora", []) == ""


def test_no_default_is_the_marker_of_inspect() -> None:
    assert REQUIRED is inspect.Parameter.empty
