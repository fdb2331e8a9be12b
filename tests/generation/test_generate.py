"""Answers of real, very small models."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import workshop
from peft import AutoPeftModelForCausalLM, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from adapter_hub.errors import DataError, OutOfMemoryError, UsageError
from adapter_hub.generation.generate import (
    Generator,
    Sampling,
    generate,
    in_batches,
    open_generator,
)
from adapter_hub.prompts.rows import Chat, Instruction, Style
from adapter_hub.registry.store import Registry

GREEDY = Sampling(temperature=0, max_new_tokens=12)
DRAWN = Sampling(temperature=1.5, max_new_tokens=12, top_p=1.0, seed=3)
PROMPTS = ["Q: 1 plus one?\nA:", "the", "Once upon a time there was a king and the cat", "x"]


def make(folder: Path, reference: str, style: Style | None = None) -> Generator:
    registry = Registry.open(folder)
    return open_generator(reference, registry=registry, style=style, dtype="float32")


@pytest.fixture(scope="module")
def sums(trained: Path) -> Generator:
    return make(trained, "sums")


@pytest.fixture(scope="module")
def talk(trained: Path) -> Generator:
    return make(trained, "talk")


@pytest.fixture(scope="module")
def base(trained: Path) -> Generator:
    return make(trained, "base:llama")


# --- greedy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sums", "conv"])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_is_what_transformers_generates(
    trained: Path, monkeypatch: pytest.MonkeyPatch, name: str, prompt: str
) -> None:
    monkeypatch.chdir(trained)
    told = make(trained, name).stream(prompt, GREEDY)
    model = AutoPeftModelForCausalLM.from_pretrained(
        f"adapters/{name}/1", dtype=torch.float32, local_files_only=True
    )
    model = model.eval()
    tokenizer = AutoTokenizer.from_pretrained(trained / "bases/llama")
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=12,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    assert told.text == tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
    assert told.prompt_tokens == ids.shape[1]
    assert told.seed is None


@pytest.mark.parametrize("fixture", ["sums", "talk", "base"])
@pytest.mark.parametrize("prompt", ["the café 日本", "Q: 7 plus one?\nA:"])
def test_pieces_join_to_the_answer(
    request: pytest.FixtureRequest, fixture: str, prompt: str
) -> None:
    generator: Generator = request.getfixturevalue(fixture)
    for sampling in (GREEDY, DRAWN):
        pieces: list[str] = []
        told = generator.stream(prompt, sampling, on_text=pieces.append)
        assert "".join(pieces) == told.text


def test_a_batch_answers_as_each_prompt_alone(sums: Generator, talk: Generator) -> None:
    for generator in (sums, talk):
        alone = [generator.stream(prompt, GREEDY) for prompt in PROMPTS]
        together = generator.batch(PROMPTS, GREEDY)
        for one, other in zip(alone, together, strict=True):
            assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
            assert one.completion_tokens == other.completion_tokens
            assert one.prompt_tokens == other.prompt_tokens


def test_batches_keep_the_order(sums: Generator) -> None:
    told = list(in_batches(sums, PROMPTS, GREEDY, 3))
    assert [each.prompt for each in told] == PROMPTS
    assert [each.text for each in told] == [sums.stream(each, GREEDY).text for each in PROMPTS]
    assert sums.batch([], GREEDY) == []
    assert list(in_batches(sums, [], GREEDY, 3)) == []


def test_a_prompt_that_is_too_long_is_named_before_any_is_answered(sums: Generator) -> None:
    told = in_batches(sums, [*PROMPTS, "the cat " * 500], GREEDY, 1)
    number = len(PROMPTS) + 1
    with pytest.raises(UsageError, match=rf"prompt {number} of {number}: the prompt has \d+ tok"):
        next(told)


# --- seeds ---------------------------------------------------------------------------------------


def test_a_seed_repeats_an_answer(sums: Generator) -> None:
    first, second = sums.stream("the", DRAWN), sums.stream("the", DRAWN)
    assert first.text == second.text
    assert first.seed == 3
    others = {sums.stream("the", Sampling(**{**vars(DRAWN), "seed": n})).text for n in range(5)}
    assert len(others) > 1


def test_without_a_seed_one_is_drawn_and_told(sums: Generator) -> None:
    free = Sampling(**{**vars(DRAWN), "seed": None})
    told = sums.stream("the", free)
    assert told.seed is not None
    again = sums.stream("the", Sampling(**{**vars(DRAWN), "seed": told.seed}))
    assert again.text == told.text


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_seed_is_set_once_for_all_batches(sums: Generator, size: int) -> None:
    first = list(in_batches(sums, ["the"] * 6, DRAWN, size))
    assert len({each.text for each in first}) == 6
    assert {each.seed for each in first} == {3}
    again = list(in_batches(sums, ["the"] * 6, DRAWN, size))
    assert [each.text for each in again] == [each.text for each in first]


def test_a_seed_that_is_drawn_repeats_all_batches(sums: Generator) -> None:
    free = Sampling(**{**vars(DRAWN), "seed": None})
    told = list(in_batches(sums, PROMPTS, free, 2))
    (seed,) = {each.seed for each in told}
    again = list(in_batches(sums, PROMPTS, Sampling(**{**vars(DRAWN), "seed": seed}), 2))
    assert [each.text for each in again] == [each.text for each in told]


def test_one_candidate_is_greedy(sums: Generator) -> None:
    only = Sampling(temperature=1.0, top_k=1, max_new_tokens=12)
    assert sums.stream("the", only).text == sums.stream("the", GREEDY).text


# --- ends ----------------------------------------------------------------------------------------


def test_the_length_ends_an_answer(base: Generator) -> None:
    told = base.stream("the", Sampling(temperature=0, max_new_tokens=3))
    assert (told.finish_reason, told.completion_tokens) == ("length", 3)


def test_the_end_token_ends_an_answer(trained: Path) -> None:
    generator = make(trained, "base:llama")
    free = generator.stream("the cat", GREEDY)
    ids = generator._tokenizer("the cat")["input_ids"]
    with torch.no_grad():
        first = int(generator._model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
    generator._model.generation_config.eos_token_id = [first, 2]
    ending = Generator(generator.opened, generator._model, generator._tokenizer, "plain")
    pieces: list[str] = []
    told = ending.stream("the cat", GREEDY, on_text=pieces.append)
    assert (told.text, told.finish_reason, told.completion_tokens) == ("", "stop", 0)
    assert pieces == []
    assert free.completion_tokens > 0
    batch = ending.batch(["the cat", "x"], GREEDY)
    assert (batch[0].text, batch[0].finish_reason, batch[0].completion_tokens) == ("", "stop", 0)


@pytest.mark.parametrize("start", [0, 1, 3])
def test_a_stop_string_ends_an_answer(base: Generator, start: int) -> None:
    free = base.stream("the cat", DRAWN).text
    stop = free[start : start + 4]
    assert len(stop) == 4
    pieces: list[str] = []
    sampling = Sampling(**{**vars(DRAWN), "stop": (stop, "never")})
    told = base.stream("the cat", sampling, on_text=pieces.append)
    assert told.text == free[: free.index(stop)] == "".join(pieces)
    assert told.finish_reason == "stop"
    assert told.completion_tokens <= 12


def test_a_stopped_answer_of_a_batch_counts_its_own_tokens(base: Generator) -> None:
    free = [base.stream(each, GREEDY) for each in PROMPTS]
    stop = free[0].text[:2]
    stopping = Sampling(temperature=0, max_new_tokens=12, stop=(stop,))
    together = base.batch(PROMPTS, stopping)
    assert together[0].text == ""
    assert together[0].finish_reason == "stop"
    for one, other in zip((base.stream(each, stopping) for each in PROMPTS), together, strict=True):
        assert one.completion_tokens == other.completion_tokens
        assert one.text == other.text
    assert max(each.completion_tokens for each in together) > together[0].completion_tokens


def test_a_stop_string_that_begins_in_the_prompt_is_none(base: Generator) -> None:
    free = base.stream("the cat", GREEDY)
    stopping = Sampling(temperature=0, max_new_tokens=12, stop=("e cat" + free.text[0],))
    told = base.stream("the cat", stopping)
    assert (told.text, told.finish_reason) == (free.text, free.finish_reason)


# --- prompts -------------------------------------------------------------------------------------


def test_an_empty_prompt_starts_from_the_start_token(sums: Generator) -> None:
    assert sums.stream("", GREEDY).prompt_tokens == 1


def test_an_empty_prompt_without_a_start_token_is_refused(own: Path) -> None:
    workshop.edit_json(own / "bases/llama/tokenizer_config.json", bos_token=None, eos_token=None)
    generator = make(own, "base:llama")
    with pytest.raises(UsageError, match="the prompt is empty, and the tokenizer of base 'llama'"):
        generator.stream("", GREEDY)


def test_a_prompt_of_half_characters_is_refused(sums: Generator, talk: Generator) -> None:
    with pytest.raises(DataError, match="the prompt has half a character at position 2"):
        sums.stream("hi\udcff", GREEDY)
    with pytest.raises(DataError, match="the prompt is refused by the chat template"):
        talk.stream("hi\udcff", GREEDY)


def test_a_prompt_must_fit_the_context(sums: Generator) -> None:
    with pytest.raises(UsageError, match="the prompt has 128 tokens, and base 'llama' sees 128 at"):
        sums.stream("x" * 128, GREEDY)
    told = sums.stream("x" * 125, GREEDY)
    assert told.completion_tokens <= 3


@pytest.fixture
def tuned(own: Path) -> Generator:
    """A soft prompt of ten tokens on Llama, as plain PEFT saves it."""
    base = AutoModelForCausalLM.from_pretrained(own / "bases/llama")
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=10)
    model = get_peft_model(base, config)
    model.peft_config["default"].base_model_name_or_path = "bases/llama"
    model.save_pretrained(own / "tuned", save_embedding_layers=False)
    return make(own, str(own / "tuned"))


def test_virtual_tokens_take_up_context(tuned: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "has 118 tokens and 10 of the adapter, and base 'llama' sees 128 at most"
    with pytest.raises(UsageError, match=words):
        tuned.stream("x" * 118, GREEDY)
    room: list[int] = []
    generate = tuned._model.generate

    def watched(*, max_new_tokens: int, **rest: Any) -> Any:
        room.append(max_new_tokens)
        return generate(max_new_tokens=max_new_tokens, **rest)

    monkeypatch.setattr(tuned._model, "generate", watched)
    assert tuned.stream("x" * 113, GREEDY).completion_tokens <= 5
    assert room == [5]


def test_prompts_behind_virtual_tokens_draw_on(tuned: Generator) -> None:
    told = list(in_batches(tuned, ["the"] * 4, DRAWN, 2))
    assert len({each.text for each in told}) == 4
    assert {each.seed for each in told} == {3}


def test_memory_that_runs_out_is_said(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = make(own, "base:llama")
    too_much = lambda *_arguments: torch.empty(2**60)  # noqa: E731
    generator._model.register_forward_pre_hook(too_much)
    with pytest.raises(OutOfMemoryError, match="not enough memory for 2 prompts of"):
        generator.batch(["the", "cat"], GREEDY)


def test_a_system_message_needs_chat(sums: Generator, talk: Generator) -> None:
    with pytest.raises(UsageError, match="--system needs a chat template"):
        sums.stream("hi", GREEDY, system="be brief")
    longer = talk.stream("hi", GREEDY, system="be brief").prompt_tokens
    assert longer > talk.stream("hi", GREEDY).prompt_tokens


def test_a_prompt_that_the_template_refuses(own: Path) -> None:
    shutil.copytree(own / "bases/chatty", own / "bases/picky")
    (own / "bases/picky/chat_template.jinja").write_text("{{ raise_exception('no') }}")
    with (own / "registry.toml").open("a") as file:
        file.write('\n[bases.picky]\nsource = "path:bases/picky"\n')
    with pytest.raises(DataError, match=r"the prompt is refused by the chat template \(no\)"):
        make(own, "base:picky").stream("hi", GREEDY)


# --- styles --------------------------------------------------------------------------------------


def test_the_style_of_the_training_is_the_style_of_the_prompt(
    trained: Path, talk: Generator, sums: Generator
) -> None:
    assert (sums.style, talk.style) == ("plain", "chat")
    text = talk._tokenizer.decode(talk._prompt_ids("hi", None))
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    raw = make(trained, "talk", style="plain")
    assert raw._tokenizer.decode(raw._prompt_ids("hi", None)) == "hi"


def test_a_bare_base_chats_where_it_can(trained: Path) -> None:
    assert make(trained, "base:chatty").style == "chat"
    assert make(trained, "base:llama").style == "plain"


def test_a_version_without_a_record_chats_where_it_can(own: Path) -> None:
    for name in ("sums", "talk"):
        shutil.copytree(own / "adapters" / name / "1", own / name)
        (own / name / "adapter_hub.json").unlink()
    assert make(own, str(own / "sums")).style == "plain"
    assert make(own, str(own / "talk")).style == "chat"
    (own / "talk/adapter_hub.json").write_text(json.dumps({"style": "plain"}))
    assert make(own, str(own / "talk")).style == "plain"
    (own / "talk/adapter_hub.json").write_text(json.dumps({"style": "gothic"}))
    assert make(own, str(own / "talk")).style == "chat"


def test_what_was_asked_is_told(sums: Generator, talk: Generator) -> None:
    chat = Chat(({"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"}))
    assert talk.stream(chat, GREEDY).prompt == "user: hi\nassistant: yes?"
    assert sums.stream(Instruction("Add.", "1 1", ""), GREEDY).prompt == "Add.\n\n1 1"


def test_json_of_an_answer(sums: Generator, base: Generator) -> None:
    told = asdict(sums.stream("the", GREEDY))
    assert (told["reference"], told["version"], told["base"]) == ("sums", 1, "llama")
    assert told["digest"].startswith("sha256:")
    assert told["seconds"] >= 0
    json.dumps(told)
    bare = asdict(base.stream("the", GREEDY))
    assert (bare["reference"], bare["version"], bare["digest"]) == ("base:llama", None, None)


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_new_tokens": 0}, "--max-new-tokens must be at least 1"),
        ({"temperature": -0.1}, "--temperature must be at least 0"),
        ({"temperature": float("nan")}, "--temperature must be at least 0"),
        ({"top_p": 0}, "--top-p must be above 0 and at most 1"),
        ({"top_p": 1.1}, "--top-p must be above 0"),
        ({"top_k": -1}, "--top-k must be at least 0"),
        ({"stop": ("",)}, "--stop must be not empty"),
        ({"seed": -1}, "--seed must be from 0"),
    ],
)
def test_a_setting_out_of_range(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Sampling(**values)


def test_one_call_from_python(trained: Path, sums: Generator) -> None:
    told = generate("sums", "the", registry=Registry.open(trained), max_new_tokens=3, seed=1)
    assert (told.reference, told.seed) == ("sums", 1)
