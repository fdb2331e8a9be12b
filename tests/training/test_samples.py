"""A few answers of a model beside the expected ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from adapter_hub.training.data import _SCHEMA, Examples
from adapter_hub.training.samples import answers, questions


@pytest.fixture(scope="module")
def tokenizer(bases: dict[str, Path]) -> Any:
    return AutoTokenizer.from_pretrained(bases["llama"])


def examples(*rows: tuple[list[int], list[bool]]) -> Examples:
    table = [
        {"input_ids": ids, "loss": loss, "full_length": len(ids), "row": n, "where": f"rows:{n}"}
        for n, (ids, loss) in enumerate(rows)
    ]
    return Examples(pa.Table.from_pylist(table, schema=_SCHEMA))


def row(prompt: int, answer: int, start: int = 20) -> tuple[list[int], list[bool]]:
    ids = list(range(start, start + prompt + answer))
    return ids, [False] * prompt + [True] * answer


def test_they_come_from_all_over_the_rows(tokenizer: Any) -> None:
    rows = examples(*[row(3, 2, 10 + n) for n in range(9)])
    assert [each.where for each in questions(rows, 3, tokenizer, None)] == [
        "rows:0",
        "rows:4",
        "rows:8",
    ]
    assert [each.where for each in questions(rows, 1, tokenizer, None)] == ["rows:0"]
    assert questions(rows, 0, tokenizer, None) == []
    assert len(questions(rows, 99, tokenizer, None)) == 9


def test_a_question_is_what_stands_before_the_answer(tokenizer: Any) -> None:
    ids, loss = row(5, 3)
    (asked,) = questions(examples((ids, loss)), 1, tokenizer, None)
    assert asked.prompt == ids[:5]
    assert asked.shown == tokenizer.decode(ids[:5])
    assert asked.expected == tokenizer.decode(ids[5:])
    assert asked.most == 3 + 8


def test_the_last_answer_of_a_conversation_is_asked(tokenizer: Any) -> None:
    ids = list(range(20, 32))
    loss = [False] * 3 + [True] * 2 + [False] * 4 + [True] * 2 + [False]
    (asked,) = questions(examples((ids, loss)), 1, tokenizer, None)
    assert asked.prompt == ids[:9]
    assert asked.expected == tokenizer.decode(ids[9:11])


@pytest.mark.parametrize(("length", "given"), [(100, 16), (6, 3), (2, 1)])
def test_of_running_text_the_opening_is_given(tokenizer: Any, length: int, given: int) -> None:
    (asked,) = questions(examples(row(0, length)), 1, tokenizer, None)
    assert len(asked.prompt) == given
    assert asked.most == min(96, length - given + 8)


def test_question_and_answer_fit_into_the_context(tokenizer: Any) -> None:
    ids, loss = row(30, 2)
    (asked,) = questions(examples((ids, loss)), 1, tokenizer, 32)
    assert len(asked.prompt) + asked.most == 32
    assert asked.prompt == ids[8:30]
    assert asked.shown == tokenizer.decode(ids[:30])


@pytest.mark.parametrize("base", ["llama", "gpt2"])
@pytest.mark.parametrize("config", [None, PromptTuningConfig, PrefixTuningConfig])
def test_answers_are_the_likeliest_tokens(
    bases: dict[str, Path], tokenizer: Any, config: Any, base: str
) -> None:
    """Of prompts and answers of several lengths, each as if it were alone."""
    model = AutoModelForCausalLM.from_pretrained(bases[base])
    if config:
        torch.manual_seed(0)
        model = get_peft_model(model, config(task_type="CAUSAL_LM", num_virtual_tokens=8))
        with torch.no_grad():  # so that it matters where they stand
            model.prompt_encoder.default.embedding.weight.normal_()
    model.train()
    asked = questions(examples(row(5, 3), row(4, 2, 40), row(12, 9, 60)), 3, tokenizer, 64)
    told = answers(model, tokenizer, asked)
    assert model.training
    model.eval()
    for text, each in zip(told, asked, strict=True):
        ids = list(each.prompt)
        for _ in range(each.most):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == tokenizer.eos_token_id:
                break
        assert text == tokenizer.decode(ids[len(each.prompt) :], skip_special_tokens=True)


def test_together_they_need_not_fit_into_the_context(
    bases: dict[str, Path], tokenizer: Any
) -> None:
    """A long prompt beside a long answer: GPT-2 has no more positions than it can see."""
    model = AutoModelForCausalLM.from_pretrained(bases["gpt2"])
    context = model.config.max_position_embeddings
    rows = examples(row(context - 12, 2, 5), row(4, context - 20, 5))
    asked = questions(rows, 2, tokenizer, context)
    assert len(asked[0].prompt) + asked[1].most > context
    assert answers(model, tokenizer, asked) == [
        answers(model, tokenizer, [each])[0] for each in asked
    ]
