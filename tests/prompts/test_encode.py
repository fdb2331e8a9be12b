"""Rows and prompts to ids, with real tokenizers of every habit."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
from tokenizers import models as tokenizer_models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from adapter_hub.errors import UsageError
from adapter_hub.prompts.encode import Encoder, before_end, check_prompt_path, pad_left
from adapter_hub.prompts.rows import Chat, Completion, Instruction, RowError, Style, Text
from adapter_hub.testing import models as tiny

END = "<|endoftext|>"
# Drops what earlier answers thought, as templates of reasoning models do.
FORGETFUL_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.role == 'assistant' and not loop.last %}{{ message.content.split('</think>')[-1] }}"
    "{% else %}{{ message.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CLOSED_TEMPLATE = "{% for message in messages %}[{{ message.content }}]{% endfor %}"
PICKY_TEMPLATE = "{{ raise_exception('roles must alternate') }}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny.save_tokenizer(folder, chat=True)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("plain")
    tiny.save_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def chatty(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


def with_template(folder: Path, template: str) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    return tokenizer


def spiked(pattern: str) -> Any:
    """A byte-level tokenizer that puts its own tokens around every text: ``<s> $A </s>``."""
    tokenizer = Tokenizer(tokenizer_models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(tiny.CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=pattern, special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


def metaspace() -> Any:
    """As SentencePiece does it: a space in front of every text, and words glued across the seam."""
    tokenizer = Tokenizer(tokenizer_models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator([*tiny.CORPUS, "answer answer answer: 42 : 42"] * 9, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def glued(templates: str | None = None) -> Any:
    """A byte-level tokenizer that merges line ends with each other and spaces with letters."""
    tokenizer = Tokenizer(tokenizer_models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["\n\n\n\n", "t\n\n", "A: B", ": B"] * 9, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")
    if templates:
        fast.chat_template = templates
    return fast


@pytest.fixture(scope="module")
def tokenizers(plain: Any, chatty: Any) -> dict[str, Any]:
    return {
        "plain": plain,
        "chatty": chatty,
        "bos": spiked("<s> $A"),
        "eos": spiked("$A </s>"),
        "both": spiked("<s> $A </s>"),
        "metaspace": metaspace(),
        "glued": glued(tiny.CHAT_TEMPLATE),
    }


HABITS = ("plain", "chatty", "bos", "eos", "both", "metaspace", "glued")


def encoder(tokenizer: Any, style: Style = "plain", length: int = 512, **more: Any) -> Encoder:
    return Encoder(tokenizer, style, length, **more)


def learned(encoded: Any, tokenizer: Any) -> str:
    return str(
        tokenizer.decode(
            list(itertools.compress(encoded.input_ids, encoded.loss)),
            clean_up_tokenization_spaces=False,
        )
    )


def conversation(*contents: str) -> Chat:
    roles = itertools.cycle(["user", "assistant"])
    return Chat(tuple({"role": next(roles), "content": text} for text in contents))


# --- the promise: a row begins with the ids of its prompt ----------------------------------------

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
filled = texts.filter(str.strip)


@pytest.mark.parametrize("habit", HABITS)
@given(prompt=texts, completion=filled)
@settings(max_examples=40, deadline=None)
def test_a_completion_begins_with_its_prompt(
    tokenizers: dict[str, Any], habit: str, prompt: str, completion: str
) -> None:
    tokenizer = tokenizers[habit]
    work = encoder(tokenizer)
    (example,) = work.encode(Completion(prompt, completion))
    asked = work.encode_prompt(prompt)
    assert asked
    assert example.input_ids[: len(asked)] == asked
    assert example.loss == [False] * len(asked) + [True] * (len(example.loss) - len(asked))
    assert example.input_ids[-1] == tokenizer.eos_token_id
    assert example.input_ids.count(tokenizer.eos_token_id) >= 1
    assert check_prompt_path(work, Completion(prompt, completion))


@pytest.mark.parametrize("habit", HABITS)
@given(instruction=filled, given_text=texts, output=filled)
@settings(max_examples=20, deadline=None)
def test_an_instruction_begins_with_its_prompt(
    tokenizers: dict[str, Any], habit: str, instruction: str, given_text: str, output: str
) -> None:
    style: Style = "chat" if tokenizers[habit].chat_template else "instruction"
    work = encoder(tokenizers[habit], style)
    (example,) = work.encode(Instruction(instruction, given_text, output))
    asked = work.encode_prompt(Instruction(instruction, given_text, ""))
    assert example.input_ids[: len(asked)] == asked
    assert not any(example.loss[: len(asked)])
    assert check_prompt_path(work, Instruction(instruction, given_text, output))


@pytest.mark.parametrize("habit", ["chatty", "glued"])
@given(contents=st.lists(filled, min_size=2, max_size=6).filter(lambda each: len(each) % 2 == 0))
@settings(max_examples=40, deadline=None)
def test_a_conversation_begins_with_its_prompt(
    tokenizers: dict[str, Any], habit: str, contents: list[str]
) -> None:
    work = encoder(tokenizers[habit], "chat", 4096)
    row = conversation(*contents)
    examples = work.encode(row)
    for turn in range(1, len(contents), 2):
        asked = work.encode_prompt(Chat(row.messages[:turn]))
        whole = examples[0] if len(examples) == 1 else examples[turn // 2]
        assert whole.input_ids[: len(asked)] == asked
        assert not whole.loss[len(asked) - 1]
        assert whole.loss[len(asked)]
    assert check_prompt_path(work, row)


@pytest.mark.parametrize("habit", HABITS)
@given(text=filled)
@settings(max_examples=20, deadline=None)
def test_a_document_begins_with_its_beginning(
    tokenizers: dict[str, Any], habit: str, text: str
) -> None:
    work = encoder(tokenizers[habit])
    (example,) = work.encode(Text(text, closed=True))
    assert example.input_ids == [*work.encode_prompt(text), tokenizers[habit].eos_token_id]
    assert all(example.loss)
    assert check_prompt_path(work, Text(text, closed=True))


# --- completions ---------------------------------------------------------------------------------


def test_only_the_completion_is_learned(plain: Any) -> None:
    (example,) = encoder(plain).encode(Completion("Q: one?\nA:", " two"))
    assert learned(example, plain) == f" two{END}"
    assert example.loss_tokens == sum(example.loss)
    assert example.full_length == len(example.input_ids)


def test_every_token_is_learned_when_asked(plain: Any) -> None:
    (example,) = encoder(plain, train_on="all").encode(Completion("Q: one?\nA:", " two"))
    assert learned(example, plain) == f"Q: one?\nA: two{END}"
    assert example.loss_tokens == len(example.input_ids) - 1


def test_an_empty_prompt_starts_as_run_does(plain: Any) -> None:
    (example,) = encoder(plain).encode(Completion("", "the cat"))
    start = encoder(plain).encode_prompt("")
    assert start == [plain.bos_token_id]
    assert example.input_ids[:1] == start
    assert learned(example, plain) == f"the cat{END}"


def test_without_any_start_token_an_empty_prompt_is_empty() -> None:
    bare = glued()
    bare.eos_token = None
    assert encoder(bare).encode_prompt("") == []
    (example,) = encoder(bare).encode(Completion("", "A: B A: B"))
    assert all(example.loss)


@pytest.mark.parametrize(
    ("pattern", "prompt", "row"),
    [
        ("<s> $A", ["<s>"], ["<s>", "</s>"]),
        ("$A </s>", [], ["</s>"]),
        ("<s> $A </s>", ["<s>"], ["<s>", "</s>"]),
    ],
)
def test_a_tokenizer_s_own_ends_come_once(pattern: str, prompt: list[str], row: list[str]) -> None:
    tokenizer = spiked(pattern)
    work = encoder(tokenizer)

    def special(ids: list[int]) -> list[str]:
        return [tokenizer.convert_ids_to_tokens(each) for each in ids if each < 2]

    assert special(work.encode_prompt("the cat")) == prompt
    (example,) = work.encode(Completion("the cat", " sat"))
    assert special(example.input_ids) == row
    (document,) = work.encode(Text("the cat sat", closed=True))
    assert special(document.input_ids) == row
    (passage,) = work.encode(Text("the cat sat", closed=False))
    assert special(passage.input_ids) == prompt


def test_an_end_that_the_text_itself_has_stays(plain: Any) -> None:
    ids = encoder(plain).encode_prompt(f"the cat{END}")
    assert ids[-1] == plain.eos_token_id


def test_a_seam_inside_a_token_is_not_merged() -> None:
    tokenizer = metaspace()
    work = encoder(tokenizer)
    merged = tokenizer("answer: 42")["input_ids"]
    asked = work.encode_prompt("answer: 4")
    assert merged[: len(asked)] != asked, "the tokenizer must merge across this seam"
    (example,) = work.encode(Completion("answer: 4", "2"))
    assert example.input_ids[: len(asked)] == asked
    assert "2" in learned(example, tokenizer)


def test_a_seam_between_tokens_is_encoded_as_one_text() -> None:
    tokenizer = metaspace()
    (example,) = encoder(tokenizer).encode(Completion("answer:", " 42"))
    whole = tokenizer("answer: 42")["input_ids"]
    assert example.input_ids == [*whole, tokenizer.eos_token_id]


def test_an_instruct_row_on_a_plain_base_is_alpaca(plain: Any) -> None:
    work = encoder(plain, "instruction")
    (example,) = work.encode(Instruction("Add.", "1 1", "2"))
    assert plain.decode(example.input_ids) == (
        f"### Instruction:\nAdd.\n\n### Input:\n1 1\n\n### Response:\n2{END}"
    )
    assert plain.decode(work.encode_prompt("Add.")) == "### Instruction:\nAdd.\n\n### Response:\n"


# --- chat ----------------------------------------------------------------------------------------


def test_every_assistant_turn_is_learned_and_nothing_else(chatty: Any) -> None:
    (example,) = encoder(chatty, "chat").encode(conversation("hi", "hello", "bye", "farewell"))
    assert learned(example, chatty) == "hello<|im_end|>\nfarewell<|im_end|>\n"
    assert chatty.decode(example.input_ids) == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>\n"
        "<|im_start|>user\nbye<|im_end|>\n<|im_start|>assistant\nfarewell<|im_end|>\n"
    )


def test_a_template_that_rewrites_earlier_turns_gives_one_example_a_turn(folder: Path) -> None:
    tokenizer = with_template(folder, FORGETFUL_TEMPLATE)
    work = encoder(tokenizer, "chat")
    row = conversation("hi", "<t></think>hello", "bye", "<t></think>farewell")
    first, second = work.encode(row)
    assert learned(first, tokenizer) == "<t></think>hello<|im_end|>\n"
    assert learned(second, tokenizer) == "<t></think>farewell<|im_end|>\n"
    assert tokenizer.decode(second.input_ids).count("</think>") == 1
    for example, turn in ((first, 1), (second, 3)):
        asked = work.encode_prompt(Chat(row.messages[:turn]))
        assert example.input_ids[: len(asked)] == asked


def test_a_template_that_never_rewrites_gives_one_example(folder: Path) -> None:
    tokenizer = with_template(folder, FORGETFUL_TEMPLATE)
    assert len(encoder(tokenizer, "chat").encode(conversation("hi", "hello", "bye", "ok"))) == 1


def test_an_answer_that_melts_into_its_prompt_is_learned_from_its_prompt() -> None:
    tokenizer = glued(tiny.CHAT_TEMPLATE)
    work = encoder(tokenizer, "chat")
    row = conversation("hi", "\nhello", "bye", "ok")
    whole = tokenizer.apply_chat_template(list(row.messages), return_dict=False)
    asked = work.encode_prompt(Chat(row.messages[:1]))
    assert whole[: len(asked)] != asked, "the tokenizer must merge the two line ends"
    first, second = work.encode(row)
    assert first.input_ids[: len(asked)] == asked
    assert learned(first, tokenizer) == "\nhello<|im_end|>\n"
    assert learned(second, tokenizer) == "ok<|im_end|>\n"


def test_a_template_that_does_not_continue_its_prompt_is_a_row_error(folder: Path) -> None:
    shouting = "{% if add_generation_prompt %}!{% endif %}" + CLOSED_TEMPLATE
    work = encoder(with_template(folder, shouting), "chat")
    with pytest.raises(RowError, match="does not continue from its own prompt"):
        work.encode(conversation("hi", "hello"))


def test_a_template_that_refuses_is_a_row_error(folder: Path) -> None:
    work = encoder(with_template(folder, PICKY_TEMPLATE), "chat")
    with pytest.raises(RowError, match=r"is refused by the chat template \(roles must alternate\)"):
        work.encode(conversation("hi", "hello"))


def test_half_a_character_in_a_tool_call_is_a_row_error(folder: Path) -> None:
    template = "{% for message in messages %}{{ message.tool_calls }}{% endfor %}"
    work = encoder(with_template(folder, template), "chat")
    call = {"role": "assistant", "content": "", "tool_calls": "\ud83d"}
    with pytest.raises(RowError, match="is refused by the chat template"):
        work.encode(Chat(({"role": "user", "content": "hi"}, call)))


def test_instructions_go_through_a_template_where_there_is_one(chatty: Any) -> None:
    work = encoder(chatty, "chat")
    (example,) = work.encode(Instruction("Add.", "1 1", "2"))
    assert chatty.decode(example.input_ids) == (
        "<|im_start|>user\nAdd.\n\n1 1<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
    )
    assert work.encode_prompt(Instruction("Add.", "1 1", "")) == work.encode_prompt("Add.\n\n1 1")


def test_a_base_without_a_template_cannot_chat(plain: Any) -> None:
    work = encoder(plain, "chat")
    with pytest.raises(UsageError, match="the base has no chat template"):
        work.encode(conversation("hi", "hello"))
    with pytest.raises(UsageError, match="the base has no chat template"):
        work.encode_prompt("hi")


# --- the system message --------------------------------------------------------------------------


def test_a_system_message_comes_first(chatty: Any) -> None:
    text = chatty.decode(encoder(chatty, "chat").encode_prompt("hi", system="be brief"))
    assert text.startswith("<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nhi<|im_end|>")
    assert text.endswith("<|im_start|>assistant\n")


def test_a_system_message_replaces_the_conversation_s_own(chatty: Any) -> None:
    own = Chat(({"role": "system", "content": "be long"}, {"role": "user", "content": "hi"}))
    text = chatty.decode(encoder(chatty, "chat").encode_prompt(own, system="be brief"))
    assert "be long" not in text
    assert "be brief" in text
    assert "be long" in chatty.decode(encoder(chatty, "chat").encode_prompt(own))


@pytest.mark.parametrize("style", ["plain", "instruction"])
def test_a_system_message_needs_a_template(plain: Any, style: Style) -> None:
    with pytest.raises(UsageError, match="--system needs a chat template"):
        encoder(plain, style).encode_prompt("hi", system="be brief")


# --- lengths -------------------------------------------------------------------------------------


def test_what_is_too_long_is_cut_and_its_full_length_kept(plain: Any) -> None:
    (whole,) = encoder(plain).encode(Completion("Q:", " the cat sat on the mat"))
    (cut,) = encoder(plain, length=6).encode(Completion("Q:", " the cat sat on the mat"))
    assert cut.input_ids == whole.input_ids[:6]
    assert cut.full_length == len(whole.input_ids) > 6


@pytest.mark.parametrize("length", [2, 3, 5])
def test_a_prompt_that_leaves_no_room_is_a_row_error(plain: Any, length: int) -> None:
    tokens = len(plain("xyzzy")["input_ids"])
    assert tokens == 5
    with pytest.raises(
        RowError, match=f"is too long: its prompt has 5 tokens, and max_length is {length}"
    ):
        encoder(plain, length=length).encode(Completion("xyzzy", "q"))
    (example,) = encoder(plain, length=6).encode(Completion("xyzzy", "q"))
    assert example.loss_tokens == 1


def test_one_token_is_nothing_to_learn(plain: Any) -> None:
    with pytest.raises(RowError, match="has no token to learn"):
        encoder(plain).encode(Text("x", closed=False))


@given(text=filled, length=st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_a_passage_is_cut_without_loss(tokenizers: dict[str, Any], text: str, length: int) -> None:
    tokenizer = tokenizers["plain"]
    ids = tokenizer(text)["input_ids"]
    if len(ids) < 2:
        return
    examples = encoder(tokenizer, length=length).encode(Text(text, closed=False))
    predicted = [token for example in examples for token in example.input_ids[1:]]
    assert [ids[0], *predicted] == ids
    assert all(2 <= len(each.input_ids) <= length for each in examples)
    assert all(each.full_length == len(each.input_ids) for each in examples)


def test_the_check_sees_a_tokenizer_that_answers_differently(plain: Any) -> None:
    class Moody:
        """Asked about the same text a second time, it says something else."""

        chat_template = None
        eos_token_id, bos_token_id, eos_token = plain.eos_token_id, plain.bos_token_id, END

        def __init__(self) -> None:
            self.moods = itertools.count()

        def __call__(self, text: str, **more: Any) -> dict[str, list[int]]:
            return {"input_ids": [next(self.moods), *plain(text, **more)["input_ids"]]}

    make: Callable[[], Encoder] = lambda: encoder(Moody())  # noqa: E731
    assert not check_prompt_path(make(), Text("the cat", closed=True))
    assert not check_prompt_path(make(), Completion("the cat", " sat"))


def test_ids_before_the_end() -> None:
    assert before_end([4, 5, 6, 5], {5, 6}) == [4]
    assert before_end([4, 5], {6}) == [4, 5]
    assert before_end([], {6}) == []


def test_prompts_of_several_lengths_end_together() -> None:
    assert pad_left([[4, 5, 6], [7], [8, 0]], 0) == (
        [[4, 5, 6], [0, 0, 7], [0, 8, 0]],
        [[1, 1, 1], [0, 0, 1], [0, 1, 1]],
    )
