"""Training speed, memory and held-out loss beside the plain script, with Trainer and with TRL.

    python benchmarks/train.py FOLDER [--steps N] [--rounds N] [--targets qv|all] [--only NAME …]

FOLDER holds ``train-prompt-completion.jsonl`` and ``valid-prompt-completion.jsonl`` (see
``wikisql.py``). LoRA r=8 on SmolLM2-135M-Instruct, batches of 8, the same seed, learning rates and
number of steps, each in a process of its own, in turns. Speed is real (unpadded) tokens a second
from the second step on; memory the process's peak; the held-out loss is measured at the end, by
the same code for all. Beside each speed stands the share of what a bare matrix multiplication
of the same type reaches here: 4 operations a token for every frozen parameter on the way, and 4
for every parameter of the head, where it is used.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BASE = "smollm2-135m-instruct"
RATE, BATCH, SEED = 5e-4, 8, 0
TARGETS = {"qv": ["q_proj", "v_proj"], "all": "all-linear"}
PEERS = {
    "adapter-hub": "adapter-hub train",
    "float32": "plain script, float32",
    "bfloat16": "plain script, bfloat16",
    "trl": "TRL SFTTrainer, defaults",
}


def main() -> None:
    """Measure every kind in turns and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="with the two files of rows")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--targets", choices=list(TARGETS), default="all")
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--one", choices=list(PEERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure = adapter_hub if arguments.one == "adapter-hub" else plainly
        print("RESULT", json.dumps(measure(arguments)))
        return
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in arguments.only}
    for _ in range(arguments.rounds):
        for kind in arguments.only:
            found[kind].append(in_a_process(kind, arguments))
    peaks = {name: matmul_speed(name) for name in ("float32", "bfloat16")}
    print(", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items()))
    medians = {
        kind: {key: statistics.median(each[key] for each in runs) for key in runs[0]}
        for kind, runs in found.items()
    }
    ours = medians.get("adapter-hub", next(iter(medians.values())))
    print(f"{'':26}tokens/s  ours is  memory  ours is  held-out loss  of the peak")
    for kind, each in medians.items():
        share = each["flops"] / peaks["bfloat16" if each["bfloat16"] else "float32"]
        print(
            f"{PEERS[kind]:26}{each['speed']:8.0f} {ours['speed'] / each['speed']:7.2f}x "
            f"{each['memory'] / 1e9:5.1f}GB {ours['memory'] / each['memory']:7.2f}x "
            f"{each['loss']:14.4f} {share:11.0%}"
        )


def in_a_process(kind: str, arguments: argparse.Namespace) -> dict[str, float]:
    flags = ["--steps", str(arguments.steps), "--targets", arguments.targets, "--one", kind]
    done = subprocess.run(
        [sys.executable, __file__, str(arguments.folder), *flags],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    if done.returncode:
        raise SystemExit(f"{kind} failed")
    result: dict[str, float] = json.loads(done.stdout.rpartition("RESULT ")[2])
    print(f"{kind}: {result}", file=sys.stderr)
    return result


def matmul_speed(dtype: str) -> float:
    """Operations a second of the multiplication that most of a step is made of, the best of ten."""
    import torch

    left = torch.randn(8 * 96, 576, dtype=getattr(torch, dtype))
    right = torch.randn(1536, 576, dtype=getattr(torch, dtype))
    best = math.inf
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(20):
            torch.nn.functional.linear(left, right)
        best = min(best, time.perf_counter() - start)
    return 20 * 2 * left.numel() * right.shape[0] / best


class Clock:
    """Tokens, loss tokens and times of the steps; the first one does not count."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.tokens: list[int] = []
        self.loss_tokens: list[int] = []

    def result(self, memory: float, loss: float, head_tokens: list[int], dtype: Any) -> Any:
        import torch

        seconds = self.times[-1] - self.times[0]
        tokens, head = sum(self.tokens[1:]), sum(head_tokens[1:])
        layers, head_size = 106_168_320, 49_152 * 576  # of SmolLM2-135M
        return {
            "speed": tokens / seconds,
            "memory": memory,
            "loss": loss,
            "flops": 4 * (layers * tokens + head_size * head) / seconds,
            "bfloat16": float(dtype is torch.bfloat16),
        }


def peak_memory() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


def rows(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield row["prompt"], row["completion"]


def adapter_hub(arguments: argparse.Namespace) -> Any:
    """``adapter-hub train``, by its Python call, with its defaults."""
    import torch

    from adapter_hub import Changes, Registry, train
    from adapter_hub.loading.dtype import choose_dtype

    clock = Clock()

    def on_step(progress: Any, _steps: int) -> None:
        clock.times.append(time.perf_counter())
        clock.tokens.append(progress.tokens - sum(clock.tokens))
        clock.loss_tokens.append(progress.loss_tokens - sum(clock.loss_tokens))

    with tempfile.TemporaryDirectory() as folder:
        text = f'schema = 1\n\n[bases.smollm2]\nsource = "plugin:{BASE}"\n'
        (Path(folder) / "registry.toml").write_text(text, encoding="utf-8")
        targets = TARGETS[arguments.targets]
        changes = Changes(
            base="smollm2",
            data=str(arguments.folder.resolve() / "train-prompt-completion.jsonl"),
            options={"r": 8, "lora_alpha": 16, "target_modules": targets},
            training={
                "steps": arguments.steps,
                "batch_size": BATCH,
                "learning_rate": RATE,
                "seed": SEED,
                "eval_fraction": 0.0,
            },
        )
        result = train("sql", changes, registry=Registry.open(Path(folder)), on_step=on_step)
        memory = peak_memory()
        from peft import AutoPeftModelForCausalLM

        base = base_folder()
        config = json.loads((Path(result.path) / "adapter_config.json").read_text())
        config["base_model_name_or_path"] = str(base)
        (Path(result.path) / "adapter_config.json").write_text(json.dumps(config))
        model = AutoPeftModelForCausalLM.from_pretrained(result.path, dtype=torch.float32)
        loss = held_out_loss(model, arguments.folder)
    return clock.result(memory, loss, clock.loss_tokens, choose_dtype("auto")[0])


def plainly(arguments: argparse.Namespace) -> Any:
    """The script that everybody copies: PEFT and Trainer, or TRL's."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    transformers.set_seed(SEED)
    dtype = torch.bfloat16 if arguments.one == "bfloat16" else torch.float32
    base = base_folder()
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    config = LoraConfig(
        task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules=TARGETS[arguments.targets]
    )
    clock = Clock()

    class Callback(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "output_dir": folder,
            "max_steps": arguments.steps,
            "per_device_train_batch_size": BATCH,
            "learning_rate": RATE,
            "lr_scheduler_type": "cosine",
            "warmup_steps": max(1, round(0.05 * arguments.steps)),
            "seed": SEED,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "use_cpu": True,
        }
        data = list(rows(arguments.folder / "train-prompt-completion.jsonl"))
        if arguments.one == "trl":
            trainer = _trl(model, tokenizer, config, data, settings)
        else:
            model = get_peft_model(model, config)
            collate = transformers.DataCollatorForSeq2Seq(tokenizer, padding=True)
            trainer = transformers.Trainer(
                model=model,
                args=transformers.TrainingArguments(**settings, logging_steps=10),
                train_dataset=[encoded(tokenizer, *row) for row in data],
                data_collator=collate,
            )
        trainer.add_callback(Callback())
        original, padded = trainer.data_collator, []

        def counting(features: Any) -> Any:
            batch = original(features)
            clock.tokens.append(int(batch["attention_mask"].sum()))
            padded.append(batch["attention_mask"].numel())
            return batch

        trainer.data_collator = counting
        trainer.train()
    clock.tokens = clock.tokens[: len(clock.times)]
    memory = peak_memory()
    loss = held_out_loss(trainer.model.float(), arguments.folder)
    return clock.result(memory, loss, padded[: len(clock.times)], dtype)


def _trl(model: Any, tokenizer: Any, config: Any, data: Any, settings: Any) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    table = Dataset.from_list([{"prompt": prompt, "completion": answer} for prompt, answer in data])
    return SFTTrainer(
        model=model,
        args=SFTConfig(**settings),
        train_dataset=table,
        processing_class=tokenizer,
        peft_config=config,
    )


def encoded(tokenizer: Any, prompt: str, answer: str) -> dict[str, list[int]]:
    ids = tokenizer(prompt)["input_ids"]
    whole = tokenizer(prompt + answer)["input_ids"] + [tokenizer.eos_token_id]
    labels = [-100] * len(ids) + whole[len(ids) :]
    return {"input_ids": whole, "attention_mask": [1] * len(whole), "labels": labels}


def held_out_loss(model: Any, folder: Path) -> float:
    """Nats a token of the answers, one row at a time, in float32."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(base_folder())
    total, count = 0.0, 0
    model.eval()
    for prompt, answer in rows(folder / "valid-prompt-completion.jsonl"):
        row = encoded(tokenizer, prompt, answer)
        ids, labels = (torch.tensor([row[key]]) for key in ("input_ids", "labels"))
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, :-1].float()
        wanted = labels[0, 1:] != -100
        loss = torch.nn.functional.cross_entropy(
            logits[wanted], labels[0, 1:][wanted], reduction="sum"
        )
        total, count = total + loss.item(), count + int(wanted.sum())
    return total / count


def base_folder() -> Path:
    from adapter_hub.loading.bases import base_folder as find
    from adapter_hub.model import Base, parse_source
    from adapter_hub.plugins import load_catalog

    return find(Base("smollm2", parse_source(f"plugin:{BASE}"), None), load_catalog(), Path())


if __name__ == "__main__":
    main()
