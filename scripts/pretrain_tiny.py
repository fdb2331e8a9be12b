"""Pretrain the embedded base model on a folder of public-domain fairy tales.

    python scripts/pretrain_tiny.py fairy-tales/ adapter_hub/bases/tiny

The story, in the order of the code: clean the books into tales, hold some text out, train a
byte-level BPE tokenizer, train a small Llama on two CPU cores, measure it on the held-out text,
and save it as transformers reads it. Every choice is an argument and every draw is seeded, so the
same arguments give the same model up to the rounding of the machine's arithmetic.

With ``--checkpoint FILE`` the run is saved there now and then, and continues from there when the
file exists. A run that is getting late can be continued with an earlier ``--decay-from`` and a
smaller ``--steps``: until the decay the learning rate is constant, so nothing before it changes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from textwrap import TextWrapper
from typing import Any, cast

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
say = partial(print, flush=True)  # a run in the background writes to a file

PROMPTS = ("Once upon a time", "The old woman said", '"Who are you?" asked')


# --- The texts -----------------------------------------------------------------------------------

# Sections that are not tales.
NOT_A_TALE = re.compile(
    r"\b(contents|preface|introduction|dedication|preparer.s note|how to get into)\b", re.I
)
# Back matter: nothing after it is a tale.
BACK_MATTER = re.compile(r"^(notes and references|footnotes?|\*{5,})\W*$", re.I)
CHAPTER_MARK = re.compile(r"^(chapter\s+)?[ivxlc\d]+\W*$", re.I)
# Footnotes and sources on lines of their own: "* A Danish mile", "(1) Grimm.", "[Mashona Story.]",
# "(From the Serbian.)", "From the Danish."
NOTE = re.compile(
    r"^(\[.*\]|\(\d+\).*|\*.*|\([^()]*(from|translated|adapted|m[aä]h?rchen)[^()]{,60}\)"
    r"|(from (the )?[‘“]|from the \w+[.]|from the japanische|translated from|adapted from"
    r"|contes |cuentos |\w+ische |slavonic story|west highland tales|footnotes:).{,150})$",
    re.I | re.S,
)
INLINE_NOTE = re.compile(r"\s*\[[^\]]*\]|\(\d+\)|\*")
# Words that a title may leave without a capital.
SMALL_WORDS = re.compile(
    r"(a|an|and|as|at|by|for|from|had|in|into|is|it|of|on|or|out|that|the|to|too|was|went|what|who"
    r"|with)$",
    re.I,
)
SHORTEST_TALE = 600  # characters; what is shorter is a leftover of front matter


def is_heading(block: str) -> bool:
    """Tell a title on lines of its own from a short paragraph: capitals, and no punctuation."""
    if block.upper().startswith("CHAPTER "):
        return True
    if block.count("\n") > 1 or len(block) > 90 or re.search(r"[.!?,;:”\"’'-]$", block):
        return False
    words = re.findall(r"[^\W\d_][\w'’-]*", block)
    return all(word[0].isupper() for word in words if not SMALL_WORDS.match(word))


def straighten(text: str) -> str:
    """Write every quotation with ``"`` and every apostrophe with ``'``; drop marks of emphasis.

    The books disagree on single or double, curly or straight. Settling it gives a small
    vocabulary one way to open a speech and one way to close it.
    """
    text = re.sub(r"[“”]", '"', text.replace("_", "").replace("`", "'"))
    text = re.sub(r"‘(?=(tis|twas|em|twill)\b)", "'", text, flags=re.I).replace("‘", '"')
    text = text.replace("’", "'")
    # A single quote before a word opens, one after punctuation closes; between letters it stays.
    text = re.sub(r"(?<![\w.,!?;'])'(?!(tis|twas|em|twill|t)\b)(?=[\w.])", '"', text, flags=re.I)
    text = re.sub(r"(?<=[.,!?;:-])'(?!\w)", '"', text)
    return re.sub(r"(\"[^\"']*[^\"'s])'(?!\w)", r'\1"', text)


def paragraph(block: str) -> str:
    """Unwrap the lines of a block into one paragraph."""
    text = straighten(INLINE_NOTE.sub("", block))
    text = re.sub(r"\s+", " ", re.sub(r"-{2,}", "--", text)).strip()
    # Some books open every tale with a word in capitals: "ONCE upon a time".
    text = re.sub(r"^[A-Z]{2,}(?= [a-z])", lambda word: word[0].capitalize(), text)
    return text if re.search(r"\w", text) else ""


def tales(book: str) -> list[str]:
    """Cut a book at its headings into tales, with paragraphs separated by blank lines."""
    found: list[list[str]] = [[]]
    skipping = True  # until the first heading that is not front matter
    for block in re.split(r"\n\s*\n", book.replace("\r\n", "\n")):
        block = block.strip()
        # The contents of a book name its notes too; those are not the end of it.
        if BACK_MATTER.match(block) and sum(len(text) for text in chain(*found)) > len(book) / 2:
            break
        if not block or NOTE.match(block) or CHAPTER_MARK.match(block):
            continue
        if is_heading(block):
            skipping = bool(NOT_A_TALE.search(block))
            found.append([])
        elif not skipping and (text := paragraph(block)):
            found[-1].append(text)
    joined = ("\n\n".join(paragraphs) for paragraphs in found)
    return [tale for tale in joined if len(tale) >= SHORTEST_TALE]


def hold_out(book_tales: list[str], share: float) -> tuple[list[str], str]:
    """Take one contiguous block of whole paragraphs from the middle of a book.

    The tales it was cut from end before it and begin again after it, so that no training text
    runs across the gap.
    """
    paragraphs = [(n, text) for n, tale in enumerate(book_tales) for text in tale.split("\n\n")]
    total = sum(len(text) for _, text in paragraphs)
    kept: dict[tuple[int, bool], list[str]] = {}
    held: dict[int, list[str]] = {}
    position = 0
    for number, text in paragraphs:
        if 0.5 * total <= position < (0.5 + share) * total:
            held.setdefault(number, []).append(text)
        else:
            kept.setdefault((number, position > 0.5 * total), []).append(text)
        position += len(text)
    held_out = END_OF_TEXT.join("\n\n".join(texts) for texts in held.values())
    return ["\n\n".join(texts) for texts in kept.values()], held_out


@dataclass(frozen=True)
class Corpus:
    """The cleaned tales to train on, and the held-out block of every book."""

    train: list[str]
    held_out: list[str]
    gutenberg: list[tuple[str, str]]


def read_corpus(folder: Path, share: float) -> Corpus:
    """Clean and split every ``.txt`` file of a folder."""
    train: list[str] = []
    held_out: list[str] = []
    gutenberg: list[tuple[str, str]] = []
    for path in sorted(folder.glob("*.txt")):
        book = tales(path.read_text(encoding="utf-8"))
        kept, held = hold_out(book, share)
        train += kept
        held_out.append(held)
        name, _, number = path.stem.rpartition("-pg")
        gutenberg.append((name.replace("-", " ").title(), number))
        say(f"{path.name}: {len(book)} tales, {sum(map(len, book)):,} characters")
    if not train:
        raise SystemExit(f"no tales in the .txt files of {folder}")
    return Corpus(train, held_out, gutenberg)


# --- The tokenizer -------------------------------------------------------------------------------

# Words with the space before them, digits by threes, punctuation, and runs of newlines whole.
PIECES = r"'(?:s|t|re|ve|m|ll|d)\b| ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\n+|[^\S\n]+(?!\S)|\s+"


def train_tokenizer(texts: list[str], vocab: int, context: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE: any text is encoded and comes back exactly as it was."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[END_OF_TEXT, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=PAD,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Tensor:
    """Join the texts into one stream of ids, every text behind an end-of-text."""
    ids: list[int] = []
    for text in texts:
        ids += [tokenizer.eos_token_id, *tokenizer.backend_tokenizer.encode(text).ids]
    return torch.tensor([*ids, tokenizer.eos_token_id])


def in_lines(texts: list[str], share: float, width: int, seed: int) -> list[str]:
    """Break a share of the texts into lines, as verse and plays are written.

    Else the model would never see a single newline, nor a word without a space before it, and
    no adapter could teach it either: their embeddings would be left as they were drawn.
    """
    chosen = torch.rand(len(texts), generator=torch.Generator().manual_seed(seed)) < share
    wrapper = TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    return [
        "\n\n".join(wrapper.fill(each) for each in text.split("\n\n")) if wrapped else text
        for text, wrapped in zip(texts, chosen.tolist(), strict=True)
    ]


# --- The model and its training ------------------------------------------------------------------


def build_model(args: argparse.Namespace) -> LlamaForCausalLM:
    """Make the untrained Llama."""
    config = LlamaConfig(
        vocab_size=args.vocab,
        hidden_size=args.hidden,
        intermediate_size=args.intermediate,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        num_key_value_heads=args.heads,
        max_position_embeddings=args.context,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
        attention_dropout=0.0,
    )
    return LlamaForCausalLM(config)


def batches(
    streams: tuple[Tensor, Tensor], args: argparse.Namespace, start: int
) -> Iterator[Tensor]:
    """Yield the batches from step ``start`` on, as rows of ids one longer than what they train.

    The second stream takes over at ``--lines-from``. Every pass over a stream cuts it at another
    offset and shuffles the rows. All draws before ``start`` are repeated, so a continued run sees
    the batches that it would have seen.
    """
    draws = torch.Generator().manual_seed(args.seed)
    step = 0
    while True:
        offset = int(torch.randint(args.context, (), generator=draws))
        order_seed = int(torch.randint(2**31, (), generator=draws))
        phase = (step >= args.lines_from, step >= args.long_from)
        length = args.context if phase[1] else args.short
        rows = streams[phase[0]][offset:].unfold(0, length + 1, length)
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(order_seed))
        size = args.batch_tokens // length
        for begin in range(0, len(order) - size, size):
            if phase != (step >= args.lines_from, step >= args.long_from):
                break
            if step >= start:
                yield rows[order[begin : begin + size]]
            step += 1


def optimizers(model: LlamaForCausalLM, args: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, which learn faster by it; AdamW for embeddings and norms."""
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(
            hidden, lr=args.lr, weight_decay=args.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=args.embed_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(step: int, args: argparse.Namespace) -> float:
    """Warm up, stay, then go down in a straight line to zero at the last step."""
    warming: float = min((step + 1) / args.warmup, 1.0)
    decaying: float = max(0, step - args.decay_from) / (args.steps - args.decay_from)
    return warming * (1.0 - decaying)


Loss = Callable[[Tensor], Tensor]


def loss_function(model: LlamaForCausalLM, compiled: bool) -> Loss:
    """Return the mean loss of a batch of rows, in bfloat16 where that is safe."""

    def loss(rows: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=rows[:, :-1], use_cache=False).logits
        return cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())

    return cast(Loss, torch.compile(loss, dynamic=False)) if compiled else loss


@dataclass
class Run:
    """A training run between two steps: all that a checkpoint keeps."""

    model: LlamaForCausalLM
    steppers: list[torch.optim.Optimizer]
    step: int = 0
    train_nats: float = 0.0  # running mean over the last twenty steps or so

    def save(self, path: Path) -> None:
        """Save the run in one move, so that the file is always whole."""
        unfinished = path.with_suffix(".unfinished")
        saved = {
            "step": self.step,
            "recent": self.train_nats,
            "model": self.model.state_dict(),
            "steppers": [stepper.state_dict() for stepper in self.steppers],
        }
        torch.save(saved, unfinished)
        os.replace(unfinished, path)

    def restore(self, path: Path) -> None:
        """Continue from a saved run."""
        saved: dict[str, Any] = torch.load(path, weights_only=True)
        self.model.load_state_dict(saved["model"])
        for stepper, state in zip(self.steppers, saved["steppers"], strict=True):
            stepper.load_state_dict(state)
        self.step, self.train_nats = saved["step"], saved["recent"]
        say(f"continuing after step {self.step}")


def take_step(run: Run, loss_of: Loss, rows: Tensor, args: argparse.Namespace) -> None:
    """Learn from one batch."""
    for stepper, peak in zip(run.steppers, (args.lr, args.embed_lr), strict=True):
        for group in stepper.param_groups:
            group["lr"] = peak * rate(run.step, args)
    loss = loss_of(rows)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    for stepper in run.steppers:
        stepper.step()
        stepper.zero_grad()
    # The first step has no mean to join.
    share = 0.05 if run.step else 1.0
    run.train_nats += share * (loss.item() - run.train_nats)
    run.step += 1


def train(
    model: LlamaForCausalLM,
    streams: tuple[Tensor, Tensor],
    held: Tensor,
    args: argparse.Namespace,
) -> float:
    """Run the steps that remain, saving and reporting on the way; return the last train loss."""
    run = Run(model, optimizers(model, args))
    if args.checkpoint and args.checkpoint.exists():
        run.restore(args.checkpoint)
    loss_of = loss_function(model, args.compile)
    model.train()
    start, began = run.step, time.monotonic()
    for rows in islice(batches(streams, args, start), max(0, args.steps - start)):
        take_step(run, loss_of, rows, args)
        last = run.step == args.steps
        if run.step % args.report_every == 0 or last:
            speed = (run.step - start) * args.batch_tokens / (time.monotonic() - began)
            say(f"step {run.step}/{args.steps} train {run.train_nats:.4f} {speed:.0f} tokens/s")
        if run.step % args.evaluate_every == 0 or last:
            nats, _ = evaluate(model, held, args.context)
            say(f"step {run.step} held-out {nats:.4f} nats/token")
            if args.checkpoint:
                run.save(args.checkpoint)
    return run.train_nats


# --- The measure ---------------------------------------------------------------------------------


@torch.no_grad()
def evaluate(model: LlamaForCausalLM, stream: Tensor, context: int) -> tuple[float, float]:
    """Return the mean and the total loss in nats, over windows that do not overlap."""
    model.eval()
    total = 0.0
    for begin in range(0, len(stream) - 1, context):
        window = stream[begin : begin + context + 1].unsqueeze(0)
        logits = model(input_ids=window[:, :-1]).logits.float()
        total += cross_entropy(logits[0], window[0, 1:], reduction="sum").item()
    model.train()
    return total / (len(stream) - 1), total


@dataclass(frozen=True)
class Report:
    """What a finished run has to say for itself."""

    parameters: int
    train_tokens: int
    tokens_seen: int
    held_out_tokens: int
    held_out_bytes: int
    train_nats: float
    nats: float
    nats_float32: float
    perplexity: float
    bits_per_byte: float
    samples: list[str]


def sample(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompt: str) -> str:
    """Write on from a prompt, as a newcomer would have it do."""
    inputs = tokenizer(prompt, return_tensors="pt")
    output = model.generate(
        **inputs, max_new_tokens=120, do_sample=True, temperature=0.7, top_p=0.9
    )
    return str(tokenizer.decode(output[0], skip_special_tokens=True))


# --- The folder ----------------------------------------------------------------------------------


def save(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path, dtype: torch.dtype
) -> None:
    """Save the model with its tokenizer and its default way of generating."""
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.7, top_p=0.9, bos_token_id=0, eos_token_id=0, pad_token_id=1
    )
    model.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # The class by the name that every release of transformers knows.
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)


def load(folder: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Load a saved folder as anyone would."""
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return cast(LlamaForCausalLM, model), cast(PreTrainedTokenizerFast, tokenizer)


ROUND_TRIPS = (
    "Once upon a time",
    "  two leading spaces\n\n\ttab",
    "naïve “quotes” 日本語 🦊👩‍🚀",
    " don't ,stop . now ",
)


def check_round_trips(tokenizer: PreTrainedTokenizerFast) -> None:
    """Make sure that texts come back from the tokenizer exactly, with nothing put before them."""
    for text in ROUND_TRIPS:
        ids = tokenizer(text).input_ids
        if tokenizer.decode(ids) != text or tokenizer.bos_token_id in ids:
            raise RuntimeError(f"the tokenizer does not round-trip {text!r}")


def measure(
    folder: Path, corpus: Corpus, train_nats: float, exact_nats: float, args: argparse.Namespace
) -> Report:
    """Measure the model as saved: loaded afresh by transformers, in the precision of its file."""
    model, tokenizer = load(folder)
    check_round_trips(tokenizer)
    held = encode(tokenizer, corpus.held_out)
    nats, total = evaluate(model, held, args.context)
    held_out_bytes = sum(len(text.replace(END_OF_TEXT, "").encode()) for text in corpus.held_out)
    torch.manual_seed(args.seed)
    return Report(
        parameters=model.num_parameters(),
        train_tokens=len(encode(tokenizer, corpus.train)),
        tokens_seen=args.steps * args.batch_tokens,
        held_out_tokens=len(held),
        held_out_bytes=held_out_bytes,
        train_nats=train_nats,
        nats=nats,
        nats_float32=exact_nats,
        perplexity=math.exp(nats),
        bits_per_byte=total / math.log(2) / held_out_bytes,
        samples=[sample(model.eval(), tokenizer, prompt) for prompt in PROMPTS],
    )


def command(args: argparse.Namespace) -> str:
    """Write the command that rebuilds this model."""
    elsewhere = {"texts", "output", "checkpoint", "compile", "evaluate_every", "report_every"}
    words = [
        f"--{name.replace('_', '-')} {value}"
        for name, value in vars(args).items()
        if name not in elsewhere
    ]
    lines = [" ".join(words[n : n + 4]) for n in range(0, len(words), 4)]
    return " \\\n    ".join(
        ["python scripts/pretrain_tiny.py fairy-tales/ adapter_hub/bases/tiny", *lines]
    )


README = """\
# tiny: the embedded base model

A Llama of {parameters:,} parameters that writes fairy tales. It was pretrained from scratch on the
books below and on nothing else: it knows their English and no facts, and follows no instructions.

## Measured

On held-out text, loaded from this folder by transformers in {dtype}:

| measure | value |
|---|---|
| nats per token | {nats:.4f} |
| perplexity | {perplexity:.2f} |
| bits per byte | {bits_per_byte:.4f} |
| the same weights before rounding, nats per token | {nats_float32:.4f} |
| loss on the last training batches, nats per token | {train_nats:.4f} |

Held out is one contiguous block of whole paragraphs from the middle of every book, {share:.0%} of
each: {held_out_tokens:,} tokens, {held_out_bytes:,} bytes after cleaning. The loss is measured in
windows of {context} tokens that do not overlap, ends of text included. A few tales stand in more
than one of the books, as other translations.

## Architecture and training

`LlamaForCausalLM`, standard names:

| layers | width | heads | feed-forward | context | vocabulary | embeddings |
|---|---|---|---|---|---|---|
| {layers} | {hidden} | {heads} | {intermediate} | {context} | {vocab:,} | tied |

The tokenizer is a byte-level BPE trained on the training text, so any text comes back exactly.
`<|endoftext|>` (id 0) stands between tales and ends generation; `<|pad|>` is id 1; nothing is put
before a text.

| steps | tokens per step | tokens seen | tokens to train on | passes |
|---|---|---|---|---|
| {steps:,} | {batch_tokens:,} | {tokens_seen:,} | {train_tokens:,} | {passes:.1f} |

Rows are {short} tokens long, and {context} from step {long_from:,} on. From step {lines_from:,} on
{lines:.0%} of the tales come in lines of at most {line_width} characters, as verse and plays do. Muon trains the hidden
matrices, AdamW the embeddings and norms. The rate is constant after {warmup} steps of warmup, and
from step {decay_from:,} on falls in a straight line to zero.

Rebuild, from the books as .txt files in a folder:

```sh
{command}
```

The same arguments give the same model up to the rounding of the machine's arithmetic.

## Samples

Temperature 0.7, top-p 0.9, seed {seed}, not chosen:

{samples}

## Texts and licence

The texts are in the public domain, from Project Gutenberg; the weights are offered on the same
terms. Titles, prefaces, contents and notes were dropped, lines unwrapped, and all quotation marks
written the same way.

| book | Project Gutenberg number |
|---|---|
{books}
"""


def write_report(report: Report, corpus: Corpus, args: argparse.Namespace, folder: Path) -> None:
    """Write the README of the finished folder."""
    values = vars(args) | asdict(report)
    values["share"] = args.held_out
    values["passes"] = report.tokens_seen / report.train_tokens
    values["command"] = command(args)
    values["samples"] = "\n\n".join(
        "> " + text.strip().replace("\n", "\n> ") for text in report.samples
    )
    values["books"] = "\n".join(f"| {name} | {number} |" for name, number in corpus.gutenberg)
    (folder / "README.md").write_text(README.format(**values), encoding="utf-8")


def publish(built: Path, output: Path) -> None:
    """Move the finished files to their place one by one, so that each is whole at any time."""
    output.mkdir(parents=True, exist_ok=True)
    for path in sorted(built.iterdir()):
        os.replace(path, output / path.name)


def main() -> None:
    """Run the whole story."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    corpus = read_corpus(args.texts, args.held_out)
    tokenizer = train_tokenizer(corpus.train, args.vocab, args.context)
    stream, held = encode(tokenizer, corpus.train), encode(tokenizer, corpus.held_out)
    lines = in_lines(corpus.train, args.lines, args.line_width, args.seed)
    model = build_model(args)
    say(f"{model.num_parameters():,} parameters")
    say(f"{len(stream):,} tokens to train on, {len(held):,} held out")
    train_nats = train(model, (stream, encode(tokenizer, lines)), held, args)
    exact_nats, _ = evaluate(model, held, args.context)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.output.parent) as unfinished:
        built = Path(unfinished) / "tiny"
        save(model, tokenizer, built, getattr(torch, args.dtype))
        report = measure(built, corpus, train_nats, exact_nats, args)
        write_report(report, corpus, args, built)
        publish(built, args.output)
    print(json.dumps(asdict(report), indent=2, ensure_ascii=False))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("texts", type=Path, help="folder of .txt files")
    add("output", type=Path, help="folder for the finished model")
    add("--seed", type=int, default=0)
    add("--vocab", type=int, default=2048)
    add("--hidden", type=int, default=256)
    add("--intermediate", type=int, default=640)
    add("--layers", type=int, default=6)
    add("--heads", type=int, default=4)
    add("--context", type=int, default=512, help="longest training rows, and the model's context")
    add("--short", type=int, default=256, help="length of the rows before --long-from")
    add("--long-from", type=int, default=2400, help="first step with rows of --context")
    add("--lines", type=float, default=0.2, help="share of the tales broken into lines")
    add("--line-width", type=int, default=48, help="longest of these lines, in characters")
    add("--lines-from", type=int, default=2000, help="first step with tales in lines")
    add("--batch-tokens", type=int, default=4096)
    add("--steps", type=int, default=2700)
    add("--warmup", type=int, default=50)
    add("--decay-from", type=int, default=2000, help="first step of the decay to zero")
    add("--lr", type=float, default=4e-3, help="of the hidden matrices (Muon)")
    add("--embed-lr", type=float, default=4e-3, help="of embeddings and norms (AdamW)")
    add("--weight-decay", type=float, default=0.1)
    add("--held-out", type=float, default=0.02, help="share of every book held out")
    add("--dtype", choices=("bfloat16", "float16"), default="bfloat16", help="of the saved weights")
    add("--threads", type=int, default=2)
    add("--evaluate-every", type=int, default=200, help="steps between evaluations and checkpoints")
    add("--report-every", type=int, default=20)
    add("--checkpoint", type=Path, help="save here, and continue from here if it exists")
    add("--compile", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
