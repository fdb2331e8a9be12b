"""Text as it comes: whole characters, and nothing behind a stop string."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter_hub.generation.stream import (
    REPLACEMENT,
    StopAtText,
    TextStream,
    cut_at_stop,
    decode,
)
from adapter_hub.loading.bases import load_tokenizer
from adapter_hub.prompts.encode import before_end


@pytest.fixture(scope="module")
def tokenizer(bases: dict[str, Path]) -> Any:
    return load_tokenizer(bases["llama"])


def stream(
    tokenizer: Any, ids: list[int], stops: tuple[str, ...] = (), ends: tuple[int, ...] = ()
) -> list[str]:
    """The pieces shown while ``ids`` come one by one behind a prompt."""
    pieces: list[str] = []
    text = TextStream(tokenizer, stops, ends, pieces.append)
    text.put(torch.tensor([[1, 2, 3]]))
    for token in ids:
        text.put(torch.tensor([token]))
    text.end()
    assert text.ids == ids
    return pieces


def single_bytes(tokenizer: Any, text: str) -> list[int]:
    """One token for each byte: the hardest way to write ``text``."""
    pieces = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
    return [tokenizer.convert_tokens_to_ids(byte) for byte in "".join(piece for piece, _ in pieces)]


@pytest.mark.parametrize("text", ["the cat", "naïve café", "日本語", "👩‍👩‍👧 family", "a\u0301"])
def test_characters_are_shown_whole(tokenizer: Any, text: str) -> None:
    ids = single_bytes(tokenizer, text)
    assert len(ids) == len(text.encode())
    pieces = stream(tokenizer, ids)
    assert "".join(pieces) == text
    assert not any(REPLACEMENT in piece for piece in pieces)
    assert len(pieces) == len(text)


def test_a_character_that_never_ends_is_shown_at_the_end(tokenizer: Any) -> None:
    ids = single_bytes(tokenizer, "aé")[:-1]
    assert stream(tokenizer, ids) == ["a", REPLACEMENT]


def test_special_tokens_are_not_shown(tokenizer: Any) -> None:
    ids = [*tokenizer("the cat")["input_ids"], tokenizer.eos_token_id]
    assert "".join(stream(tokenizer, ids)) == "the cat"


def test_a_common_token_that_ends_answers_is_not_shown(tokenizer: Any) -> None:
    ids = tokenizer("the cat sat")["input_ids"]
    assert "".join(stream(tokenizer, ids, ends=(ids[1],))) == decode(tokenizer, ids[:1])


@pytest.mark.parametrize(
    ("text", "stops", "shown"),
    [
        ("one two three", ("two",), "one "),
        ("one two three", ("three", "two"), "one "),
        ("one two three", ("four",), "one two three"),
        ("one twotwo", ("two t",), "one twotwo"),
        ("ababac", ("abac",), "ab"),
        ("one", ("one",), ""),
        ("aéb", ("éb",), "a"),
        ("aéb", ("aé",), ""),
        ("x\n\ny", ("\n\n",), "x"),
    ],
)
def test_a_stop_string_is_never_shown(
    tokenizer: Any, text: str, stops: tuple[str, ...], shown: str
) -> None:
    pieces = stream(tokenizer, single_bytes(tokenizer, text), stops)
    assert "".join(pieces) == shown == cut_at_stop(text, stops)[0]


@given(
    ids=st.lists(st.integers(0, 299), max_size=40),
    stops=st.lists(st.text("atheé ", min_size=1, max_size=3), max_size=2),
    ends=st.sets(st.integers(0, 299), max_size=3),
)
@settings(max_examples=100, deadline=None)
def test_pieces_join_to_the_text(
    tokenizer: Any, ids: list[int], stops: list[str], ends: set[int]
) -> None:
    final = cut_at_stop(decode(tokenizer, before_end(ids, ends)), tuple(stops))[0]
    assert "".join(stream(tokenizer, ids, tuple(stops), tuple(ends))) == final


@pytest.mark.parametrize(
    ("text", "stops", "cut"),
    [
        ("abc", (), ("abc", False)),
        ("abc", ("c", "b"), ("a", True)),
        ("abc", ("x",), ("abc", False)),
        ("abc", ("abc",), ("", True)),
    ],
)
def test_the_first_stop_string_cuts(
    text: str, stops: tuple[str, ...], cut: tuple[str, bool]
) -> None:
    assert cut_at_stop(text, stops) == cut


def test_only_new_text_stops_a_sequence(tokenizer: Any) -> None:
    prompt = tokenizer("the cat the")["input_ids"]
    rows = [single_bytes(tokenizer, each) for each in ("cat", "sat", "ca ")]
    stopped = StopAtText(tokenizer, ("cat",), len(prompt))(
        torch.tensor([prompt + each for each in rows]), None
    )
    assert stopped.tolist() == [True, False, False]
