"""Rows and prompts to token ids and loss masks.

A row's ids always begin with exactly the ids that ``encode_prompt`` gives for its prompt, so a
model is asked in the very form in which it was taught.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from adapter_hub.errors import UsageError
from adapter_hub.prompts.rows import (
    Chat,
    Completion,
    Instruction,
    Message,
    RowError,
    Style,
    Text,
    TrainingRow,
)


@dataclass(frozen=True)
class Example:
    """One training sequence: ``loss[i]`` says whether token ``i`` is one to learn.

    ``full_length`` is the number of tokens before truncation.
    """

    input_ids: list[int]
    loss: list[bool]
    full_length: int

    @property
    def loss_tokens(self) -> int:
        """Tokens that are predicted: the first one never is."""
        return sum(self.loss[1:])


@dataclass(frozen=True)
class Encoder:
    """Turns rows into examples and prompts into ids, for one tokenizer and one style."""

    tokenizer: Any
    style: Style
    max_length: int
    train_on: Literal["completion", "all"] = "completion"

    def encode(self, row: TrainingRow) -> list[Example]:
        """The examples of a row: one, but for a long passage or a re-writing chat template.

        Raises RowError when nothing of it could be learned.
        """
        if isinstance(row, Text):
            return self._text(row)
        sequences = self._turns(row)
        return [self._cut(ids, loss) for ids, loss in sequences]

    def encode_prompt(
        self, prompt: str | Instruction | Chat, system: str | None = None
    ) -> list[int]:
        """The ids to start generation from. Raises UsageError where ``system`` has no place."""
        if isinstance(prompt, Chat) or self.style == "chat":
            return self._template(_as_messages(prompt, system), generation_prompt=True)
        if system is not None:
            raise UsageError(
                "--system needs a chat template, and this adapter was trained on plain text.",
                hint="put the text into the prompt",
            )
        return self._open(_as_text(prompt, self.style))

    def _text(self, row: Text) -> list[Example]:
        ids = self._plain(row.text)
        if row.closed:
            ids += self._end()
            return [self._cut(ids, [True] * len(ids))]
        if len(ids) < 2:
            raise RowError("has no token to learn")
        # A passage of running text loses nothing: what does not fit becomes the next example,
        # which starts with the last token before it, so that every token is predicted once.
        starts = range(0, len(ids) - 1, self.max_length - 1)
        pieces = [ids[start : start + self.max_length] for start in starts]
        return [Example(each, [True] * len(each), len(each)) for each in pieces]

    def _turns(self, row: Completion | Instruction | Chat) -> list[tuple[list[int], list[bool]]]:
        if isinstance(row, Completion):
            return [self._join(row.prompt, row.completion)]
        if isinstance(row, Instruction) and self.style != "chat":
            return [self._join(_as_text(row, self.style), row.output)]
        if isinstance(row, Instruction):
            return self._chat(
                (*_as_messages(row, None), {"role": "assistant", "content": row.output})
            )
        return self._chat(row.messages)

    def _join(self, prompt_text: str, completion: str) -> tuple[list[int], list[bool]]:
        prompt = self._open(prompt_text)
        whole = self._plain(prompt_text + completion)
        if whole[: len(prompt)] != prompt:
            # Tokens that span the seam cannot come out of a prompt: encode the completion alone.
            whole = prompt + self._alone(completion)
        ids = whole + self._end()
        return ids, [False] * len(prompt) + [True] * (len(ids) - len(prompt))

    def _chat(self, messages: tuple[Message, ...]) -> list[tuple[list[int], list[bool]]]:
        """One sequence with every assistant turn learned, or one for each such turn.

        The second when the template writes earlier turns differently later on (some drop the
        reasoning): then each turn is learned in the context in which it is asked for.
        """
        whole = self._template(list(messages), generation_prompt=False)
        loss = [False] * len(whole)
        apart: list[tuple[list[int], list[bool]]] = []
        together = True
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self._template(list(messages[:index]), generation_prompt=True)
            after = self._template(list(messages[: index + 1]), generation_prompt=False)
            if after[: len(before)] != before:
                after = before + self._alone(self._answer(list(messages[: index + 1])))
            apart.append((after, [False] * len(before) + [True] * (len(after) - len(before))))
            together = together and whole[: len(after)] == after
            loss[len(before) : len(after)] = [True] * (len(after) - len(before))
        return [(whole, loss)] if together else apart

    def _answer(self, messages: list[Message]) -> str:
        """What the template writes for the last message, behind the prompt for it."""
        before = self._render(messages[:-1], generation_prompt=True)
        after = self._render(messages, generation_prompt=False)
        if not after.startswith(before):
            raise RowError(
                "has a conversation that the chat template does not continue from its own prompt"
            )
        return after[len(before) :]

    def _cut(self, ids: list[int], loss: list[bool]) -> Example:
        if self.train_on == "all":
            loss = [True] * len(ids)
        example = Example(ids[: self.max_length], loss[: self.max_length], len(ids))
        if not example.loss_tokens:
            if not any(loss[1:]):
                raise RowError("has no token to learn")
            first = loss.index(True)
            raise RowError(
                f"is too long: its prompt has {first} tokens, and max_length is {self.max_length}"
            )
        return example

    def _plain(self, text: str) -> list[int]:
        ids: list[int] = list(self.tokenizer(text)["input_ids"])
        end = self.tokenizer.eos_token_id
        # Some tokenizers end every text by themselves; a prompt must stay open.
        if ids and ids[-1] == end and not text.endswith(str(self.tokenizer.eos_token)):
            ids.pop()
        return ids

    def _open(self, text: str) -> list[int]:
        """The ids of a prompt. An empty one starts with the token that starts a text."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            # As a terminal hands on bytes that are no text.
            raise RowError(f"has half a character at position {error.start}") from None
        ids = self._plain(text)
        if not ids:
            start = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
            ids = [token for token in start if token is not None][:1]
        return ids

    def _alone(self, text: str) -> list[int]:
        ids: list[int] = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        return ids

    def _end(self) -> list[int]:
        return [] if self.tokenizer.eos_token_id is None else [self.tokenizer.eos_token_id]

    def _template(self, messages: list[Message], *, generation_prompt: bool) -> list[int]:
        return self._alone(self._render(messages, generation_prompt=generation_prompt))

    def _render(self, messages: list[Message], *, generation_prompt: bool) -> str:
        if not self.tokenizer.chat_template:
            raise UsageError(
                "the base has no chat template, so it cannot be asked or taught with messages.",
                hint="use a base that has one, or rows with prompt and completion",
            )
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=generation_prompt, tokenize=False
            )
            text.encode()  # half a character in it would break the tokenizer
        except Exception as error:
            # Templates raise whatever they like for roles they do not know.
            raise RowError(f"is refused by the chat template ({error})") from error
        return text


def check_prompt_path(encoder: Encoder, row: TrainingRow) -> bool:
    """Whether the inference path gives the ids that ``row`` was trained with."""
    examples = encoder.encode(row)
    if isinstance(row, Text):
        whole = encoder.encode_prompt(row.text)
        trained = [token for example in examples for token in example.input_ids]
        return whole[: encoder.max_length] == trained[: len(whole)][: encoder.max_length]
    if isinstance(row, Completion):
        prompt = encoder.encode_prompt(row.prompt)
    elif isinstance(row, Instruction):
        prompt = encoder.encode_prompt(row)
    else:
        first = next(
            index for index, each in enumerate(row.messages) if each["role"] == "assistant"
        )
        prompt = encoder.encode_prompt(Chat(row.messages[:first]))
    return examples[0].input_ids[: len(prompt)] == prompt[: encoder.max_length]


def end_ids(generation_config: Any, tokenizer: Any) -> list[int]:
    """Every token that ends an answer: the model's own, and the tokenizer's."""
    own = getattr(generation_config, "eos_token_id", None)
    listed = own if isinstance(own, list) else [own]
    return sorted({each for each in (*listed, tokenizer.eos_token_id) if each is not None})


def pad_left(prompts: Sequence[list[int]], pad_id: int) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts as long as the longest, and the attention mask that tells their own tokens, 1, from pads."""
    width = max(map(len, prompts))
    ids = [[pad_id] * (width - len(each)) + each for each in prompts]
    mask = [[0] * (width - len(each)) + [1] * len(each) for each in prompts]
    return ids, mask


def before_end(ids: list[int], ends: Collection[int]) -> list[int]:
    """``ids`` up to the first token that ends an answer."""
    ended = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return ids[:ended]


def _as_messages(prompt: str | Instruction | Chat, system: str | None) -> list[Message]:
    head: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    if isinstance(prompt, Chat):
        own = [each for each in prompt.messages if system is None or each["role"] != "system"]
        return head + own
    text = (
        prompt
        if isinstance(prompt, str)
        else "\n\n".join(filter(None, (prompt.instruction, prompt.input)))
    )
    return [*head, {"role": "user", "content": text}]


def _as_text(prompt: str | Instruction | Chat, style: Style) -> str:
    """Instructions in the form of Stanford Alpaca, which plain bases are usually tuned with."""
    if isinstance(prompt, str):
        if style != "instruction":
            return prompt
        prompt = Instruction(prompt, "", "")
    assert isinstance(prompt, Instruction)
    given = f"### Input:\n{prompt.input}\n\n" if prompt.input else ""
    return f"### Instruction:\n{prompt.instruction}\n\n{given}### Response:\n"
