"""What a row means: its shape, its columns, and why it cannot be used."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter_hub.prompts.rows import (
    Chat,
    Completion,
    Instruction,
    RowError,
    Text,
    read_prompt,
    read_row,
    style_of,
)

QUESTION = {"role": "user", "content": "two plus two?"}
ANSWER = {"role": "assistant", "content": "four"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
columns = st.sampled_from(
    ["text", "prompt", "completion", "messages", "instruction", "input", "output", "other"]
)
messages = st.lists(
    st.dictionaries(
        st.sampled_from(["role", "content", "from", "value", "tool_calls", "name"]),
        st.sampled_from(["user", "assistant", "human", "gpt", "", "\ud800", None, 3]) | json_values,
        max_size=4,
    ),
    max_size=3,
)
rows = st.dictionaries(columns, json_values | messages, max_size=5)


# --- shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "meaning"),
    [
        ("a passage", Text("a passage", closed=False)),
        ({"text": "a document"}, Text("a document", closed=True)),
        ({"prompt": "two plus two?", "completion": " four"}, Completion("two plus two?", " four")),
        ({"prompt": "", "completion": "four"}, Completion("", "four")),
        ({"instruction": "add", "input": "2 2", "output": "4"}, Instruction("add", "2 2", "4")),
        ({"instruction": "add", "output": "4"}, Instruction("add", "", "4")),
        ({"instruction": "add", "input": None, "output": "4"}, Instruction("add", "", "4")),
        ({"messages": [QUESTION, ANSWER]}, Chat((QUESTION, ANSWER))),
        ({"prompt": [QUESTION], "completion": [ANSWER]}, Chat((QUESTION, ANSWER))),
        ({"text": "a document", "id": 3, "messages": None}, Text("a document", closed=True)),
    ],
)
def test_a_shape(row: Any, meaning: Any) -> None:
    assert read_row(row) == meaning


def test_sharegpt_messages_are_understood() -> None:
    row = {
        "messages": [
            {"from": "system", "value": "be brief"},
            {"from": "human", "value": "two plus two?"},
            {"from": "gpt", "value": "four"},
        ]
    }
    assert read_row(row) == Chat(({"role": "system", "content": "be brief"}, QUESTION, ANSWER))


def test_a_message_keeps_what_a_template_may_use() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "add"}], "name": None}
    assert read_row({"messages": [QUESTION, call]}) == Chat(
        (QUESTION, {"role": "assistant", "content": "", "tool_calls": [{"name": "add"}]})
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (None, "is NoneType, not an object with columns"),
        (7, "is int, not an object"),
        (["text"], "is list, not an object"),
        ("", "has an empty column 'text'"),
        (" \n", "has an empty column 'text'"),
        ({}, r"has the columns \(none\), and none of the shapes text; prompt and completion"),
        ({"question": "?"}, "has the columns question, and none of the shapes"),
        ({"question": "?"}, "to rename: --column-map question=prompt"),
        ({"text": 3}, "has a column 'text' that is int, not text"),
        ({"text": "  "}, "has an empty column 'text'"),
        ({"prompt": "?", "completion": ""}, "has an empty completion"),
        ({"prompt": "?", "completion": " \n"}, "has an empty completion"),
        ({"prompt": 3, "completion": "x"}, "has a column 'prompt' that is int"),
        ({"prompt": "?"}, "none of the shapes"),
        ({"prompt": [QUESTION], "completion": "x"}, "'prompt' that is list, not text"),
        ({"instruction": "", "output": "4"}, "has an empty column 'instruction'"),
        ({"instruction": "add", "output": " "}, "has an empty column 'output'"),
        ({"instruction": "add", "input": 0, "output": "4"}, "'input' that is int, not text"),
        ({"instruction": "add", "input": [], "output": "4"}, "'input' that is list, not text"),
        ({"messages": "hello"}, "'messages' that is not a list of messages"),
        ({"messages": []}, "'messages' that is not a list of messages"),
        ({"messages": ["hello"]}, "has a message that is not an object with role and content"),
        ({"messages": [QUESTION]}, "has no assistant message to learn from"),
        (
            {"messages": [QUESTION, {"role": "assistant", "content": " "}]},
            "has no assistant message to learn from",
        ),
        ({"messages": [{"role": "robot", "content": "x"}]}, "the role 'robot'; use one of system,"),
        ({"messages": [{"content": "x"}]}, "has a message with the role None"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, r"the role \['user'\]"),
        ({"messages": [{"role": "user", "content": 3}]}, "a message of the user whose content is"),
        (
            {"messages": [QUESTION, {"role": "assistant", "content": [1], "tool_calls": [1]}]},
            "a message of the assistant whose content is not text",
        ),
        ({"text": "half \ud83d"}, "has a column 'text' with half a character at position 5"),
        (
            {"messages": [{"role": "user", "content": "\ud83d"}, ANSWER]},
            "has a column 'content' with half a character at position 0",
        ),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row: Any, reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        read_row(row)


@given(rows | json_values, st.dictionaries(columns, columns, max_size=3))
@settings(deadline=None)
def test_any_row_is_read_or_a_row_error(row: Any, column_map: Mapping[str, str]) -> None:
    for read in (read_row, read_prompt):
        with contextlib.suppress(RowError):
            meaning = read(row, column_map)
            assert isinstance(meaning, (str, Text, Completion, Instruction, Chat))


# --- column maps ---------------------------------------------------------------------------------


def test_columns_are_renamed() -> None:
    row = {"question": "two plus two?", "answer": " four", "id": 1}
    assert read_row(row, {"question": "prompt", "answer": "completion"}) == Completion(
        "two plus two?", " four"
    )


def test_a_renamed_column_takes_the_place_of_one_of_that_name() -> None:
    assert read_row({"text": "old", "body": "new"}, {"body": "text"}) == Text("new", closed=True)


def test_two_columns_can_change_names() -> None:
    swapped = read_row(
        {"prompt": "four", "completion": "two plus two?"},
        {"prompt": "completion", "completion": "prompt"},
    )
    assert swapped == Completion("two plus two?", "four")


def test_a_column_that_the_map_names_must_be_there() -> None:
    with pytest.raises(RowError, match="has no column 'question', which the column map names"):
        read_row({"prompt": "?", "completion": "x"}, {"question": "prompt"})


def test_a_map_leaves_running_text_alone() -> None:
    assert read_row("a passage", {"body": "text"}) == Text("a passage", closed=False)


# --- prompts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "prompt"),
    [
        ("two plus two?", "two plus two?"),
        ({"prompt": "two plus two?", "completion": " four"}, "two plus two?"),
        ({"text": "Once upon"}, "Once upon"),
        ({"instruction": "add", "input": "2 2", "output": "4"}, Instruction("add", "2 2", "")),
        ({"messages": [QUESTION]}, Chat((QUESTION,))),
        ({"messages": [QUESTION, ANSWER]}, Chat((QUESTION,))),
        ({"messages": [QUESTION, ANSWER, QUESTION]}, Chat((QUESTION, ANSWER, QUESTION))),
        ({"prompt": [QUESTION], "completion": [ANSWER]}, Chat((QUESTION,))),
    ],
)
def test_a_prompt_is_a_row_without_its_answer(value: Any, prompt: Any) -> None:
    assert read_prompt(value) == prompt


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"messages": [ANSWER]}, "has no message to answer"),
        ({"question": "?"}, "has the columns question, and no prompt among them"),
        ({"prompt": 3}, "'prompt' that is int, not text"),
        (3, "is int, not an object"),
    ],
)
def test_a_prompt_that_cannot_be_used_says_why(value: Any, reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        read_prompt(value)


# --- styles --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "plain", "templated"),
    [
        (Text("x", closed=True), "plain", "plain"),
        (Completion("x", "y"), "plain", "plain"),
        (Instruction("x", "", "y"), "instruction", "chat"),
        (Chat((QUESTION, ANSWER)), "chat", "chat"),
    ],
)
def test_the_style_of_a_row(row: Any, plain: str, templated: str) -> None:
    assert style_of(row, has_template=False) == plain
    assert style_of(row, has_template=True) == templated
