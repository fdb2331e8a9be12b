"""The shapes a row can have. What a row means is decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Style = Literal["plain", "chat", "instruction"]
Message = dict[str, Any]

ROLES = ("system", "developer", "user", "assistant", "tool")
SHAPES = "text; prompt and completion; messages; instruction, input (optional) and output"


class RowError(ValueError):
    """A row that cannot be used; its text says why."""


@dataclass(frozen=True)
class Text:
    """``closed``: a whole document, ended by the end-of-text token; else a passage of one."""

    text: str
    closed: bool


@dataclass(frozen=True)
class Completion:
    prompt: str
    completion: str


@dataclass(frozen=True)
class Instruction:
    instruction: str
    input: str
    output: str


@dataclass(frozen=True)
class Chat:
    messages: tuple[Message, ...]


TrainingRow = Text | Completion | Instruction | Chat


def read_row(value: Any, column_map: Mapping[str, str] | None = None) -> TrainingRow:
    """The training row that ``value`` is, with columns renamed (``{"question": "prompt"}``) first.

    Raises RowError.
    """
    if isinstance(value, str):
        return Text(_filled(value, "text"), closed=False)
    row = _renamed(value, column_map)
    if _has(row, "messages"):
        return Chat(_conversation(row["messages"]))
    if _has(row, "prompt") and _has(row, "completion"):
        return _completion(row["prompt"], row["completion"])
    if _has(row, "instruction") and _has(row, "output"):
        return Instruction(
            _filled(row["instruction"], "instruction"),
            _input(row),
            _filled(row["output"], "output"),
        )
    if _has(row, "text"):
        return Text(_filled(row["text"], "text"), closed=True)
    rename = f"; to rename: --column-map {next(iter(row))}=prompt" if row else ""
    raise RowError(
        f"has the columns {', '.join(map(str, row)) or '(none)'}, "
        f"and none of the shapes {SHAPES}{rename}"
    )


def read_prompt(
    value: Any, column_map: Mapping[str, str] | None = None
) -> str | Instruction | Chat:
    """The prompt in ``value``: a row without, or with, its answer. Raises RowError.

    Columns that ``column_map`` takes for the answer or the input may be missing too.
    """
    if isinstance(value, str):
        return value
    row = _renamed(value, column_map, optional=("completion", "output", "input"))
    if _has(row, "messages"):
        messages = [_message(each) for each in _list(row["messages"], "messages")]
        while messages and messages[-1]["role"] == "assistant":
            messages.pop()
        if not messages:
            raise RowError("has no message to answer")
        return Chat(tuple(messages))
    if isinstance(row.get("prompt"), list):
        return Chat(tuple(_message(each) for each in row["prompt"]))
    if _has(row, "instruction"):
        return Instruction(_filled(row["instruction"], "instruction"), _input(row), "")
    for column in ("prompt", "text"):
        if _has(row, column):
            return _string(row[column], column)
    raise RowError(
        f"has the columns {', '.join(map(str, row)) or '(none)'}, and no prompt among them"
    )


def style_of(row: TrainingRow, has_template: bool) -> Style:
    """How prompts of a version trained on such rows are built.

    Instructions go through the base's chat template where it has one: that is the form in
    which an instruct base was taught to follow them.
    """
    if isinstance(row, Chat):
        return "chat"
    if isinstance(row, Instruction):
        return "chat" if has_template else "instruction"
    return "plain"


def _completion(prompt: Any, completion: Any) -> Completion | Chat:
    if isinstance(prompt, list) and isinstance(completion, list):
        return Chat(_conversation([*prompt, *completion]))
    answer = _string(completion, "completion")
    if not answer.strip():
        raise RowError("has an empty completion")
    return Completion(_string(prompt, "prompt"), answer)


def _conversation(value: Any) -> tuple[Message, ...]:
    messages = tuple(_message(each) for each in _list(value, "messages"))
    answers = [each for each in messages if each["role"] == "assistant"]
    if not any(each["content"].strip() or each.get("tool_calls") for each in answers):
        raise RowError("has no assistant message to learn from")
    return messages


def _message(value: Any) -> Message:
    if not isinstance(value, Mapping):
        raise RowError("has a message that is not an object with role and content")
    # ShareGPT files say from/value, and human/gpt.
    role = value.get("role", value.get("from"))
    role = {"human": "user", "gpt": "assistant"}.get(str(role), role)
    if role not in ROLES:
        raise RowError(f"has a message with the role {role!r}; use one of {', '.join(ROLES)}")
    content = value.get("content", value.get("value"))
    if not isinstance(content, str) and (content is not None or not value.get("tool_calls")):
        raise RowError(f"has a message of the {role} whose content is not text")
    text = _string(content, "content") if content is not None else ""
    kept = {
        key: item
        for key, item in value.items()
        if key not in ("from", "value") and item is not None
    }
    return {**kept, "role": role, "content": text}


def _renamed(
    value: Any, column_map: Mapping[str, str] | None, optional: Collection[str] = ()
) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RowError(f"is {type(value).__name__}, not an object with columns")
    if not column_map:
        return value
    missing = [
        column
        for column, name in column_map.items()
        if column not in value and name not in optional
    ]
    if missing:
        raise RowError(
            f"has no column {missing[0]!r}, which the column map names "
            "(--column-map, or column_map in the recipe)"
        )
    # A renamed column takes the place of one that has the name already, but for another renamed one.
    taken = set(column_map.values()) - set(column_map)
    kept = {key: item for key, item in value.items() if key not in taken}
    return {column_map.get(key, key): item for key, item in kept.items()}


def _has(row: Mapping[str, Any], column: str) -> bool:
    return row.get(column) is not None


def _list(value: Any, column: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise RowError(f"has a column {column!r} that is not a list of messages")
    return value


def _input(row: Mapping[str, Any]) -> str:
    return _string(row["input"], "input") if _has(row, "input") else ""


def _string(value: Any, column: str) -> str:
    if not isinstance(value, str):
        raise RowError(f"has a column {column!r} that is {type(value).__name__}, not text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        # JSON can spell half of a character ("\\ud83d"); no tokenizer takes it.
        raise RowError(
            f"has a column {column!r} with half a character at position {error.start}"
        ) from None
    return value


def _filled(value: Any, column: str) -> str:
    text = _string(value, column)
    if not text.strip():
        raise RowError(f"has an empty column {column!r}")
    return text
