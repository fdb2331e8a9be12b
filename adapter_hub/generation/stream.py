"""Text as it is generated: whole characters only, and nothing behind a stop string."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from transformers import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from adapter_hub.prompts.encode import before_end

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class TextStream(BaseStreamer):  # type: ignore[misc]
    """Collects one sequence's new tokens and hands its text to ``on_text`` piece by piece.

    A piece is held back while it may be the start of a stop string or of a character.
    """

    def __init__(
        self,
        tokenizer: Any,
        stops: tuple[str, ...],
        ends: Collection[int],
        on_text: Callable[[str], None],
    ) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        self._ends = ends
        self._on_text = on_text
        self._prompt_seen = False
        self._shown = 0
        self.ids: list[int] = []

    def put(self, value: Any) -> None:
        if not self._prompt_seen:  # generate() puts the prompt first
            self._prompt_seen = True
            return
        self.ids += value.reshape(-1).tolist()
        text = self._text()
        self._show(text, len(text) - self._held_back(text))

    def end(self) -> None:
        text = self._text()
        self._show(text, len(text))

    def _text(self) -> str:
        kept = before_end(self.ids, self._ends)
        return cut_at_stop(decode(self._tokenizer, kept), self._stops)[0]

    def _held_back(self, text: str) -> int:
        """Characters at the end that may change or vanish with the next token."""
        whole = text.rstrip(REPLACEMENT)
        longest = 0
        for stop in self._stops:
            for length in range(1, len(stop)):
                if whole.endswith(stop[:length]):
                    longest = max(longest, length)
        return len(text) - len(whole) + longest

    def _show(self, text: str, end: int) -> None:
        if end > self._shown:
            self._on_text(text[self._shown : end])
            self._shown = end


class StopAtText(StoppingCriteria):  # type: ignore[misc]
    """Ends a sequence once its new text has a stop string; the prompt's own text does not count."""

    def __init__(self, tokenizer: Any, stops: tuple[str, ...], prompt_length: int) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        self._prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: Any, **rest: Any) -> torch.Tensor:
        new = input_ids[:, self._prompt_length :].tolist()  # (B, T)
        stopped = [cut_at_stop(decode(self._tokenizer, ids), self._stops)[1] for ids in new]
        return torch.tensor(stopped, device=input_ids.device)


def decode(tokenizer: Any, ids: list[int]) -> str:
    """The text of generated ids, without special tokens."""
    text: str = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def cut_at_stop(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    """``text`` up to the first stop string, and whether there was one."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)
