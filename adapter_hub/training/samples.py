"""A few answers, of the base and of the adapter, beside those that are expected."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from adapter_hub.loading.bases import context_length
from adapter_hub.prompts.encode import before_end, end_ids, pad_left
from adapter_hub.training.data import Examples, Sequence

_MOST, _MORE = 96, 8
"""Tokens of an answer: some more than are expected, and never more than so many."""
_AT_ONCE = 8
"""Prompts of a batch: a token of three answers takes about as long as a token of one."""
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
        groups = _groups(model, list(asked))
        return [text for group in groups for text in _answer(model, tokenizer, group)]
    finally:
        model.train(training)


def _groups(model: Any, asked: list[Question]) -> list[list[Question]]:
    """Those that are answered at once: ``_AT_ONCE`` that fit into the context with each other.

    Virtual tokens would stand in front of the padding, which would part them from their prompt.
    """
    configs = getattr(model, "peft_config", {}).values()
    context = context_length(model.config)
    longest = max((len(each.prompt) for each in asked), default=0)
    most = max((each.most for each in asked), default=0)
    too_long = context is not None and longest + most > context
    at_once = 1 if too_long or any(each.is_prompt_learning for each in configs) else _AT_ONCE
    return [asked[start : start + at_once] for start in range(0, len(asked), at_once)]


def _answer(model: Any, tokenizer: Any, group: list[Question]) -> list[str]:
    pad_id = tokenizer.pad_token_id
    ids, mask = pad_left([each.prompt for each in group], pad_id)
    ends = end_ids(model.generation_config, tokenizer)
    with torch.no_grad(), warnings.catch_warnings():
        # Virtual tokens shift them, and PEFT counts anew.
        warnings.filterwarnings("ignore", message="Position ids are not supported")
        whole = model.generate(
            input_ids=torch.tensor(ids, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            max_new_tokens=max(each.most for each in group),
            do_sample=False,
            pad_token_id=pad_id,
            eos_token_id=ends or None,
        )
    new = whole[:, len(ids[0]) :].tolist()
    return [
        _text(before_end(own[: each.most], ends), tokenizer)
        for own, each in zip(new, group, strict=True)
    ]


def _text(ids: list[int], tokenizer: Any) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True)
    return text
