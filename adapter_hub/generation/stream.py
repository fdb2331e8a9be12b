"""Text as it is generated: whole characters only, and nothing behind a stop string."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers.generation.streamers import BaseStreamer

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class TextStream(BaseStreamer):  # type: ignore[misc]
    """Collects one sequence's new tokens and hands its text to ``on_text`` piece by piece.

    A piece is held back while it may be the start of a stop string or of a character.
    """

    def __init__(
        self, tokenizer: Any, stops: tuple[str, ...], on_text: Callable[[str], None]
    ) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
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
        return cut_at_stop(decode(self._tokenizer, self.ids), self._stops)[0]

    def _held_back(self, text: str) -> int:
        """Characters at the end that may change or vanish with the next token."""
        if text.endswith(REPLACEMENT):
            return len(text) - len(text.rstrip(REPLACEMENT))
        longest = 0
        for stop in self._stops:
            for length in range(1, len(stop)):
                if text.endswith(stop[:length]):
                    longest = max(longest, length)
        return longest

    def _show(self, text: str, end: int) -> None:
        if end > self._shown:
            self._on_text(text[self._shown : end])
            self._shown = end


def decode(tokenizer: Any, ids: list[int]) -> str:
    """The text of generated ids, without special tokens."""
    text: str = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def cut_at_stop(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    """``text`` up to the first stop string, and whether there was one."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)
