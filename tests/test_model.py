"""The records: names, sources, references, settings and the choice of a version."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_hub.errors import UnknownNameError, UsageError
from adapter_hub.model import (
    Adapter,
    Recipe,
    Reference,
    Source,
    TrainingSettings,
    Version,
    check_name,
    is_commit,
    parse_reference,
    parse_source,
)
from adapter_hub.options import options_of


def is_name(text: str) -> bool:
    try:
        return check_name(text, "an adapter") == text
    except UsageError:
        return False


names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True).filter(
    is_name
)
repositories = st.builds("{}/{}".format, names, names)


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a", "1", "gpt-lora", "Llama-3.2-1B", "a_b.c-d", "x" * 96, "console", "com10", "nul-1"]
)
def test_a_name(name: str) -> None:
    assert check_name(name, "an adapter") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "-flag",
        "_x",
        "x.",
        "x-",
        "x_",
        "a..b",
        "a b",
        "a/b",
        "a\\b",
        "a:b",
        "a@1",
        "a\n",
        "ä",
        "٣",
        "x" * 97,
        "con",
        "NUL",
        "aux.txt",
        "Com1",
        "lpt9.tar.gz",
    ],
)
def test_not_a_name(name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot name a base: use letters, digits"):
        check_name(name, "a base")


@given(st.text("aZ0.-_/\\:@ \t\n\0ä٣", max_size=6))
def test_a_name_is_one_plain_folder(text: str) -> None:
    plain = set(text) <= set("aZ0.-_") and ".." not in text
    assert is_name(text) == (plain and bool(text) and text.strip(".-_") == text)


@pytest.mark.parametrize(
    ("revision", "holds"),
    [
        ("607a30d783dfa663caf39e06633721c8d4cfcd7e", True),
        ("607A30D783DFA663CAF39E06633721C8D4CFCD7E", False),
        ("607a30d", False),
        ("main", False),
        ("", False),
        ("0" * 41, False),
        ("0" * 40 + "\n", False),
    ],
)
def test_a_commit_is_forty_digits(revision: str, holds: bool) -> None:
    assert is_commit(revision) is holds


# --- sources -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("hf:openai-community/gpt2", Source("hf", "openai-community/gpt2")),
        ("path:./base", Source("path", "./base")),
        ("path:C:\\models\\base", Source("path", "C:\\models\\base")),
        ("plugin:tiny", Source("plugin", "tiny")),
    ],
)
def test_a_source(text: str, source: Source) -> None:
    assert parse_source(text) == source
    assert str(source) == text


@pytest.mark.parametrize("text", ["", "gpt2", "hf", "hf:", ":x", "path:", "git:x/y", "HF:a/b"])
def test_not_a_source(text: str) -> None:
    with pytest.raises(UsageError, match="is not a source: write hf:OWNER/REPO"):
        parse_source(text)


@pytest.mark.parametrize("text", ["hf:gpt2", "hf:a/b/c", "hf:/b", "hf:a/", "hf:../b", "hf:a b/c"])
def test_not_a_repository(text: str) -> None:
    with pytest.raises(UsageError, match="does not name a repository"):
        parse_source(text)


@given(
    st.builds(Source, st.just("hf"), repositories)
    | st.builds(Source, st.just("path"), st.text(min_size=1))
    | st.builds(Source, st.just("plugin"), names)
)
def test_a_source_comes_back_from_its_text(source: Source) -> None:
    assert parse_source(str(source)) == source


# --- references ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("gpt-lora", Reference("name", "gpt-lora")),
        ("gpt-lora@3", Reference("name", "gpt-lora", "3")),
        ("gpt-lora@prod", Reference("name", "gpt-lora", "prod")),
        ("hf", Reference("name", "hf")),
        ("hf:me/gpt-lora", Reference("hf", "me/gpt-lora")),
        ("hf:me/gpt-lora@main", Reference("hf", "me/gpt-lora", "main")),
        ("hf:me/gpt-lora@refs/pr/1", Reference("hf", "me/gpt-lora", "refs/pr/1")),
        ("./out", Reference("folder", "./out")),
        ("./out@3", Reference("folder", "./out@3")),
        ("../out", Reference("folder", "../out")),
        ("/tmp/a:b", Reference("folder", "/tmp/a:b")),
        ("~/out", Reference("folder", "~/out")),
        (".\\out", Reference("folder", ".\\out")),
        ("..\\out", Reference("folder", "..\\out")),
        (".", Reference("folder", ".")),
        ("..", Reference("folder", "..")),
        ("base:gpt2", Reference("base", "gpt2")),
    ],
)
def test_a_reference(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference
    assert str(reference) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot name an adapter"),
        ("@3", "cannot name an adapter"),
        ("a b", "cannot name an adapter"),
        (".hidden", "cannot name an adapter"),
        ("gpt-lora@", "without a version or alias"),
        ("hf:me/gpt-lora@", "without a version or alias"),
        ("git:me/gpt-lora", "is not a reference"),
        ("C:\\out", "is not a reference"),
        ("https://example.com/x", "is not a reference"),
        ("hf:gpt-lora", "does not name a repository"),
        ("hf:", "does not name a repository"),
        ("me/gpt-lora", "is not an adapter's name"),
        ("out\\folder", "is not an adapter's name"),
        ("base:", "cannot name a base"),
        ("base:a/b", "cannot name a base"),
        ("base:gpt2@3", "a base has no versions; write base:gpt2"),
    ],
)
def test_not_a_reference(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_reference(text)


def test_a_folder_or_repository_without_its_mark_gets_both_suggested() -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference("me/gpt-lora")
    assert (
        caught.value.hint == "write ./me/gpt-lora for a folder or hf:me/gpt-lora for a repository"
    )


selectors = st.none() | names | st.integers(1, 10**6).map(str)


@given(
    st.builds(Reference, st.just("name"), names, selectors)
    | st.builds(Reference, st.just("hf"), repositories, selectors)
    | st.builds(Reference, st.just("folder"), st.text().map("./{}".format))
    | st.builds(Reference, st.just("base"), names)
)
def test_a_reference_comes_back_from_its_text(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference


@given(st.text())
def test_any_text_is_a_reference_or_a_usage_error(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert str(reference) == text


# --- training settings ---------------------------------------------------------------------------


def test_the_defaults_hold_and_say_nothing() -> None:
    assert TrainingSettings().given() == {}
    assert all(option.help for option in options_of(TrainingSettings))


def test_given_is_what_differs() -> None:
    settings = TrainingSettings(epochs=3, learning_rate=2e-4, seed=0)
    assert settings.given() == {"epochs": 3, "learning_rate": 2e-4}
    assert TrainingSettings(**settings.given()) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0.001),
        ("learning_rate", 1e-9),
        ("batch_size", 1),
        ("grad_accum", 1),
        ("steps", 1),
        ("warmup", 0),
        ("warmup", 100),
        ("weight_decay", 0),
        ("max_grad_norm", 0),
        ("max_length", 2),
        ("seed", 0),
        ("seed", 2**63 - 1),
        ("eval_fraction", 0),
        ("eval_fraction", 0.999),
    ],
)
def test_a_setting_at_the_edge_of_its_range(name: str, value: Any) -> None:
    assert getattr(TrainingSettings(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", -1.0),
        ("learning_rate", 0),
        ("batch_size", 0),
        ("grad_accum", 0),
        ("steps", 0),
        ("warmup", -0.1),
        ("weight_decay", -0.1),
        ("max_grad_norm", -1),
        ("max_length", 1),
        ("seed", -1),
        ("seed", 2**63),
        ("eval_fraction", 1.0),
        ("eval_fraction", -0.1),
    ],
)
def test_a_setting_out_of_its_range(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"training setting {name} must be .*, not {value}\."):
        TrainingSettings(**{name: value})


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize(
    "name",
    ["epochs", "learning_rate", "warmup", "weight_decay", "max_grad_norm", "eval_fraction"],
)
def test_no_setting_is_endless(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"training setting {name} must be a finite number"):
        TrainingSettings(**{name: value})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingSettings().epochs = 2.0  # type: ignore[misc]


# --- versions ------------------------------------------------------------------------------------


def adapter(*numbers: int, **aliases: int) -> Adapter:
    created = datetime(2026, 11, 23, tzinfo=timezone.utc)
    versions = {number: Version(number=number, created=created, files={}) for number in numbers}
    return Adapter(name="gpt-lora", recipe=Recipe(), aliases=aliases, versions=versions)


def test_no_selector_is_the_newest_by_number() -> None:
    assert adapter(2, 10, 9).version(None).number == 10


def test_newest_is_none_without_versions() -> None:
    assert adapter().newest is None
    newest = adapter(1, 2).newest
    assert newest is not None
    assert newest.number == 2


@pytest.mark.parametrize(("selector", "number"), [("1", 1), ("10", 10), ("prod", 1), ("p-2", 10)])
def test_a_selector_is_a_number_or_an_alias(selector: str, number: int) -> None:
    assert adapter(1, 10, **{"prod": 1, "p-2": 10}).version(selector).number == number


def test_a_number_goes_before_an_alias_that_looks_like_it() -> None:
    assert adapter(1, 2, **{"2": 1}).version("2").number == 2


@pytest.mark.parametrize("selector", ["3", "0", "-1", "01", "٢", "PROD", "gone", "", "9" * 5000])
def test_an_unknown_selector_shows_what_there_is(selector: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        adapter(1, 2, prod=1, gone=7).version(selector)
    assert caught.value.message.endswith(
        f"has no version or alias {selector!r}; it has 1, 2, prod."
    )
    assert caught.value.hint == "adapter-hub show gpt-lora"


@pytest.mark.parametrize("selector", [None, "1", "prod"])
def test_an_adapter_without_versions_says_how_to_make_one(selector: str | None) -> None:
    with pytest.raises(UnknownNameError, match="has no version yet") as caught:
        adapter(prod=1).version(selector)
    assert caught.value.hint == "adapter-hub train gpt-lora"


@given(st.sets(st.integers(1, 10**9), min_size=1), st.text())
def test_any_selector_is_a_version_or_an_error(numbers: set[int], selector: str) -> None:
    with contextlib.suppress(UnknownNameError):
        assert str(adapter(*numbers).version(selector).number) == selector
