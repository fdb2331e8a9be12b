"""A few answers, of the base and of the adapter, beside those that are expected."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from adapter_hub.prompts.encode import end_ids
from adapter_hub.training.data import Examples, Sequence

_MOST, _MORE = 96, 8
"""Tokens of an answer: some more than are expected, and never more than so many."""
_OPENING = 16
"""Of running text so many tokens are given, half of a shorter one."""


@dataclass(frozen=True)
class Question:
    """``prompt``: token ids; ``expected`` is what the row answers; ``where`` the row."""

    where: str
    prompt: list[int]
    shown: str
    expected: str
    most: int


def questions(
    examples: Examples, count: int, tokenizer: Any, context: int | None
) -> list[Question]:
    """``count`` of the examples, from all over them, as far as there are so many.

    ``context`` is how many tokens the base can see, question and answer together.
    """
    count = min(count, len(examples))
    last = len(examples) - 1
    places = [round(number * last / max(1, count - 1)) for number in range(count)]
    return [_question(examples[place], tokenizer, context) for place in places]


def _question(row: Sequence, tokenizer: Any, context: int | None) -> Question:
    """The last answer of a row, and all that comes before it."""
    ids: list[int] = row.input_ids.tolist()
    learned = [place for place, loss in enumerate(row.loss.tolist()) if loss]
    end = learned[-1] + 1
    start = end - 1
    while start > 0 and row.loss[start - 1]:
        start -= 1
    if start == 0:
        start = min(_OPENING, max(1, len(ids) // 2))
    most = min(_MOST, end - start + _MORE)
    return Question(
        where=row.where,
        prompt=ids[max(0, start + most - context) if context else 0 : start],
        shown=_text(ids[:start], tokenizer),
        expected=_text(ids[start:end], tokenizer),
        most=most,
    )


def answers(model: Any, tokenizer: Any, asked: Iterable[Question]) -> list[str]:
    """What the model writes after each prompt, choosing the likeliest token each time."""
    training = model.training
    model.eval()
    try:
        return [_answer(model, tokenizer, each) for each in asked]
    finally:
        model.train(training)


def _answer(model: Any, tokenizer: Any, question: Question) -> str:
    ids = torch.tensor([question.prompt], device=model.device)
    with torch.no_grad(), warnings.catch_warnings():
        # Virtual tokens shift them, and PEFT counts anew.
        warnings.filterwarnings("ignore", message="Position ids are not supported")
        whole = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=question.most,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=end_ids(model.generation_config, tokenizer) or None,
        )
    return _text(whole[0, ids.shape[1] :].tolist(), tokenizer)


def _text(ids: list[int], tokenizer: Any) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True)
    return text
