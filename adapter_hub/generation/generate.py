"""``run REF``: load through PEFT, build the prompt as in training, generate."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from adapter_hub.errors import AdapterHubError, DataError, UsageError
from adapter_hub.loading.adapters import Opened, load, open_reference
from adapter_hub.loading.memory import memory_shortage
from adapter_hub.model import DType, Reference, parse_reference
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.prompts.encode import Encoder, before_end, end_ids, pad_left
from adapter_hub.prompts.rows import Chat, Instruction, RowError, Style
from adapter_hub.registry.store import Registry

if TYPE_CHECKING:
    import torch

Prompt = str | Instruction | Chat


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen. ``temperature`` 0 is greedy. Raises UsageError.

    ``seed`` sets the random state once for one call, be it of one prompt or of many in batches.
    """

    max_new_tokens: int = 256
    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rules = (
            ("max-new-tokens", self.max_new_tokens >= 1, "at least 1"),
            ("temperature", self.temperature >= 0, "at least 0"),
            ("top-p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("top-k", self.top_k >= 0, "at least 0 (0: no limit)"),
            ("stop", all(self.stop), "not empty"),
            ("seed", self.seed is None or 0 <= self.seed < 2**63, "from 0 to 2**63 - 1"),
        )
        for name, holds, rule in rules:
            if not holds:
                raise UsageError(f"--{name} must be {rule}.")


@dataclass(frozen=True)
class Generation:
    """One answer, as ``run --json`` prints it. ``seconds`` is the generation alone."""

    reference: str
    version: int | None
    digest: str | None
    base: str
    base_revision: str | None
    prompt: str
    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    seed: int | None


class Generator:
    """An adapter (or a bare base) in memory, ready to answer prompts."""

    def __init__(self, opened: Opened, model: Any, tokenizer: Any, style: Style) -> None:
        from adapter_hub.loading.bases import context_length

        self.opened = opened
        self.style = style
        self._model = model
        self._tokenizer = tokenizer
        self._context = context_length(model.config)
        self._encoder = Encoder(tokenizer, style, self._context or 1 << 30)
        self._ends = end_ids(model.generation_config, tokenizer)
        adapters = getattr(model, "peft_config", {})
        # Of prompt tuning and its kin: they take up context in front of every prompt.
        self._virtual_tokens = sum(
            each.num_virtual_tokens for each in adapters.values() if each.is_prompt_learning
        )

    def stream(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        system: str | None = None,
        on_text: Callable[[str], None] = lambda text: None,
    ) -> Generation:
        """Answer one prompt; ``on_text`` gets the answer piece by piece.

        Raises UsageError, DataError.
        """
        ids = self._prompt_ids(prompt, system)
        return self._alone(prompt, ids, sampling, self.seed(sampling), on_text)

    def _alone(
        self,
        prompt: Prompt,
        ids: list[int],
        sampling: Sampling,
        seed: int | None,
        on_text: Callable[[str], None] = lambda text: None,
    ) -> Generation:
        import torch

        from adapter_hub.generation.stream import TextStream

        stream = TextStream(self._tokenizer, sampling.stop, self._ends, on_text)
        started = time.perf_counter()
        self._generate(torch.tensor([ids]), None, [len(ids)], sampling, streamer=stream)
        return self._result(
            prompt, len(ids), stream.ids, sampling, time.perf_counter() - started, seed
        )

    def batch(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        *,
        system: str | None = None,
        seed: int | None = None,
    ) -> list[Generation]:
        """Answer several prompts at once, padded on the left. ``seconds`` is the batch's share.

        ``seed`` is what the random state was seeded with already, for a batch that goes on where
        another one ended; without it the state is seeded now. Raises UsageError, DataError.
        """
        import torch

        if not prompts:
            return []
        encoded = [self._prompt_ids(prompt, system) for prompt in prompts]
        if seed is None:
            seed = self.seed(sampling)
        if self._virtual_tokens:
            # They stand in front of the padding, which would part them from their prompt.
            return [
                self._alone(prompt, ids, sampling, seed)
                for prompt, ids in zip(prompts, encoded, strict=True)
            ]
        width = max(map(len, encoded))
        ids, mask = map(torch.tensor, pad_left(encoded, self._tokenizer.pad_token_id))
        started = time.perf_counter()
        output = self._generate(ids, mask, [width], sampling)
        share = (time.perf_counter() - started) / len(prompts)
        return [
            self._result(prompt, len(own), self._unpadded(new.tolist()), sampling, share, seed)
            for prompt, own, new in zip(prompts, encoded, output[:, width:], strict=True)
        ]

    def check(self, prompts: Sequence[Prompt], system: str | None = None) -> None:
        """Raises UsageError or DataError for the first prompt that cannot be answered, by number."""
        for number, prompt in enumerate(prompts, 1):
            try:
                self._prompt_ids(prompt, system)
            except AdapterHubError as error:
                error.reword(f"prompt {number} of {len(prompts)}: {error.message}")
                raise

    def seed(self, sampling: Sampling) -> int | None:
        """Seed the random state and return the seed; None when nothing is drawn.

        Without one in ``sampling`` a new one is drawn, so that its answers can be repeated.
        """
        import torch

        if sampling.temperature == 0:
            return None
        seed = random.SystemRandom().randrange(2**32) if sampling.seed is None else sampling.seed
        torch.manual_seed(seed)
        return seed

    def _unpadded(self, new: list[int]) -> list[int]:
        """Without what fills an answer up that a stop string ended before the others."""
        pad, length = self._tokenizer.pad_token_id, len(new)
        while pad not in self._ends and length and new[length - 1] == pad:
            length -= 1
        return new[:length]

    def _prompt_ids(self, prompt: Prompt, system: str | None) -> list[int]:
        try:
            ids = self._encoder.encode_prompt(prompt, system)
        except RowError as error:
            raise DataError(f"the prompt {error}.") from error
        if not ids:
            raise UsageError(
                f"the prompt is empty, and the tokenizer of base {self.opened.base.name!r} "
                "has no token to start from."
            )
        if self._context and len(ids) + self._virtual_tokens >= self._context:
            more = f" and {self._virtual_tokens} of the adapter" if self._virtual_tokens else ""
            base = self.opened.base.name
            raise UsageError(
                f"the prompt has {len(ids)} tokens{more}, and base {base!r} sees {self._context} at most.",
                hint="shorten the prompt",
            )
        return ids

    def _generate(
        self,
        ids: torch.Tensor,
        mask: Any,
        lengths: list[int],
        sampling: Sampling,
        streamer: Any = None,
    ) -> torch.Tensor:
        import torch

        from adapter_hub.generation.stream import StopAtText

        room = (self._context or 1 << 30) - self._virtual_tokens - max(lengths)
        choice: dict[str, Any] = {"do_sample": False}
        if sampling.temperature > 0:
            choice = {
                "do_sample": True,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": sampling.top_k,
            }
        if sampling.stop:
            width = ids.shape[1]
            choice["stopping_criteria"] = [StopAtText(self._tokenizer, sampling.stop, width)]
        device = self._model.device
        shortage = memory_shortage(
            f"{ids.shape[0]} prompts of {ids.shape[1]} tokens and their answers",
            "try a smaller --batch-size or --max-new-tokens",
        )
        with shortage, torch.inference_mode(), warnings.catch_warnings():
            # Virtual tokens shift them, and PEFT counts anew.
            warnings.filterwarnings("ignore", message="Position ids are not supported")
            output: torch.Tensor = self._model.generate(
                input_ids=ids.to(device),
                attention_mask=(torch.ones_like(ids) if mask is None else mask).to(device),
                max_new_tokens=min(sampling.max_new_tokens, room),
                pad_token_id=self._tokenizer.pad_token_id,
                eos_token_id=self._ends or None,
                streamer=streamer,
                **choice,
            )
        return output.cpu()

    def _result(
        self,
        prompt: Prompt,
        prompt_tokens: int,
        new: list[int],
        sampling: Sampling,
        seconds: float,
        seed: int | None,
    ) -> Generation:
        from adapter_hub.generation.stream import cut_at_stop, decode

        kept = before_end(new, self._ends)
        text, stopped = cut_at_stop(decode(self._tokenizer, kept), sampling.stop)
        return Generation(
            reference=str(self.opened.reference),
            version=self.opened.version,
            digest=self.opened.digest,
            base=self.opened.base.name,
            base_revision=self.opened.base.revision,
            prompt=_shown(prompt),
            text=text,
            finish_reason="stop" if stopped or len(kept) < len(new) else "length",
            prompt_tokens=prompt_tokens,
            completion_tokens=len(kept),
            seconds=round(seconds, 4),
            seed=seed,
        )


def open_generator(
    reference: str | Reference,
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    style: Style | None = None,
    dtype: DType = "auto",
) -> Generator:
    """Find, check and load what ``reference`` names. ``style`` overrides the recorded one.

    Raises UsageError, UnknownNameError, BaseModelError, IncompatibleError.
    """
    from adapter_hub.loading.dtype import choose_dtype

    if isinstance(reference, str):
        reference = parse_reference(reference)
    opened = open_reference(reference, registry, catalog or load_catalog())
    model, tokenizer = load(opened, choose_dtype(dtype)[0])
    return Generator(opened, model, tokenizer, style or _style(opened, tokenizer))


def generate(
    reference: str,
    prompt: str,
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    system: str | None = None,
    **sampling: Any,
) -> Generation:
    """Answer one prompt: ``generate("gpt-lora", "Once upon a time", temperature=0)``."""
    chosen = Sampling(**sampling)
    return open_generator(reference, registry=registry, catalog=catalog).stream(
        prompt, chosen, system=system
    )


def in_batches(
    generator: Generator,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    batch_size: int,
    *,
    system: str | None = None,
) -> Iterator[Generation]:
    """Answers in the order of ``prompts``, computed ``batch_size`` at a time.

    The random state is seeded once, before the first of them: equal prompts get different
    answers, and the same seed with the same prompts in the same batches gives all of them again.
    Raises UsageError, DataError.
    """
    generator.check(prompts, system)
    seed = generator.seed(sampling)
    for start in range(0, len(prompts), batch_size):
        batch = prompts[start : start + batch_size]
        yield from generator.batch(batch, sampling, system=system, seed=seed)


def _style(opened: Opened, tokenizer: Any) -> Style:
    """The style the version was trained with; without a record, a template means chat."""
    recorded = opened.record.get("style")
    if recorded in ("plain", "chat", "instruction"):
        style: Style = recorded
        return style
    return "chat" if tokenizer.chat_template else "plain"


def _shown(prompt: Prompt) -> str:
    if isinstance(prompt, Chat):
        return "\n".join(f"{each['role']}: {each['content']}" for each in prompt.messages)
    if isinstance(prompt, Instruction):
        return "\n\n".join(filter(None, (prompt.instruction, prompt.input)))
    return prompt
