"""``train --dry-run``: what a run would take."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import workshop
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from adapter_hub.errors import DataError, OptionError, UsageError
from adapter_hub.model import TrainingSettings
from adapter_hub.registry.store import Registry
from adapter_hub.training.estimate import Estimate, estimate
from adapter_hub.training.memory import Widest, _loss_of, _Step, peak_bytes
from adapter_hub.training.plan import Changes

SETTINGS = {"steps": 6, "learning_rate": 0.05, "dtype": "float32", "max_length": 64}


def expected(folder: Path, **changes: Any) -> Estimate:
    training = {**SETTINGS, **changes.pop("training", {})}
    whole = {"base": "llama", "data": "rows.jsonl", **changes, "training": training}
    return estimate("sums", Changes(**whole), registry=Registry.open(folder))


def test_it_is_what_the_run_then_takes(shop: Path) -> None:
    told = expected(shop)
    result = workshop.run_training(shop)
    for field in ("steps", "tokens", "loss_tokens", "trainable_parameters", "total_parameters"):
        assert getattr(told, field) == getattr(result, field), field
    assert (told.rows, told.examples, told.held_out, told.skipped) == (40, 38, 2, 0)
    assert told.dtype == "float32"
    assert told.recipe["training"]["steps"] == 6


def test_nothing_is_written_and_no_weights_are_read(shop: Path) -> None:
    path = shop / "bases/llama/model.safetensors"
    before = {each: each.stat().st_mtime_ns for each in shop.rglob("*")}
    expected(shop)
    assert {each: each.stat().st_mtime_ns for each in shop.rglob("*")} == before
    path.chmod(0o400)
    assert json.dumps(asdict(expected(shop)))


def test_more_work_is_more_time_and_longer_rows_more_memory(shop: Path) -> None:
    short, long = expected(shop), expected(shop, training={"steps": 600})
    assert long.seconds > 10 * short.seconds > 0
    assert long.tokens > 50 * short.tokens
    small, large = (expected(shop, training={"batch_size": size}) for size in (1, 32))
    assert large.memory_bytes > small.memory_bytes > 300 << 20


def test_bad_rows_and_cut_rows_are_counted(shop: Path) -> None:
    with (shop / "rows.jsonl").open("a") as file:
        file.write("nonsense\n")
    told = expected(shop, training={"on_bad_row": "skip", "max_length": 24})
    assert told.skipped == 1
    assert told.truncated > 5
    with pytest.raises(DataError, match=r"rows\.jsonl:41: the row is not JSON"):
        expected(shop)


def test_what_train_refuses_is_refused(shop: Path) -> None:
    with pytest.raises(OptionError, match="PEFT refuses these options"):
        expected(shop, options={"r": 0})
    with pytest.raises(UsageError, match="names no data"):
        estimate("sums", Changes(base="llama"), registry=Registry.open(shop))


def test_a_method_that_cannot_be_counted_is_estimated_all_the_same(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = peft.get_peft_model

    def weighing(model: Any, config: Any) -> Any:
        if config.r == 3:
            return model.lm_head.weight.to("cpu")
        return real(model, config)

    monkeypatch.setattr("peft.get_peft_model", weighing)
    told = expected(shop, options={"r": 3})
    assert (told.trainable_parameters, told.total_parameters) == (None, None)
    assert told.memory_bytes == pytest.approx(expected(shop).memory_bytes, rel=0.05)


# --- memory --------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SMALL),
        GPT2Config(vocab_size=300, n_embd=64, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2),
    ],
    ids=["llama", "gpt2"],
)
@pytest.mark.parametrize("length", [40, 300])
def test_what_a_step_keeps_is_counted_to_the_byte(
    config: Any, dtype: torch.dtype, length: int
) -> None:
    """Without content, and with: a real step keeps the same tensors."""
    lora = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear")
    widest = Widest(4, length, 30, 3 * length)
    step = _Step(config, lora, dtype, widest, False)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        model = get_peft_model(model, lora).train()
    mask = torch.ones(4, length, dtype=torch.long)
    mask[0, -1] = 0  # without a pad, no mask is made
    model.register_forward_pre_hook(
        lambda _module, given, named: (given, {"attention_mask": mask, **named}), with_kwargs=True
    )
    own = {each.untyped_storage().data_ptr() for each in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = _loss_of(model, widest)()
    assert loss.isfinite()
    real = sum(each.untyped_storage().nbytes() for key, each in kept.items() if key not in own)
    assert step.kept == pytest.approx(real, rel=0.02)


@pytest.mark.parametrize(("quantize", "less"), [("none", True), ("4bit", False)])
def test_what_rows_share_counts_once_over_whole_weights(
    tmp_path: Path, quantize: Any, less: bool
) -> None:
    """Over a base in fewer bits rows are not packed."""
    lora = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear")
    settings = TrainingSettings(quantize=quantize)
    few, many = (
        peak_bytes(
            LlamaConfig(**SMALL),
            lora,
            settings,
            torch.float32,
            Widest(4, 300, 30, packed),
            tmp_path,
        )
        for packed in (600, 1200)
    )
    assert few is not None
    assert many is not None
    assert (many - few > 2 << 20) is less


def test_fewer_bits_are_less_weight() -> None:
    lora = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear")
    step = _Step(LlamaConfig(**SMALL), lora, torch.float32, Widest(1, 8, 2, 8), False)
    whole, eight, four = (step.weights(each) for each in ("none", "8bit", "4bit"))
    linear = 3 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
    assert whole - eight == 3 * linear
    assert whole - four == pytest.approx(linear * (4 - 4.13 / 8), abs=2)


PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""
"""Peak bytes of a command, started by a small process: Linux counts for a new program what the
process had that it was started from, and that of the tests may be larger than any run."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "flags"),
    [
        ("plugin:tiny", ["--data", "shakespeare", "--batch-size", "16", "--max-length", "256"]),
        ("path:bases/middle", ["--data", "rows.jsonl", "--batch-size", "32"]),
        ("path:bases/middle", ["--data", "rows.jsonl", "--batch-size", "32", "--dtype", "bfloat16"]),
        ("path:bases/conv", ["--data", "rows.jsonl", "--batch-size", "32"]),
    ],
)  # fmt: skip
def test_it_is_within_a_fifth_of_what_a_run_takes(shop: Path, base: str, flags: list[str]) -> None:
    bodies: dict[str, Any] = {
        "middle": LlamaConfig(
            **{**SMALL, "vocab_size": 32_000, "hidden_size": 512, "intermediate_size": 1408,
               "num_hidden_layers": 8, "num_attention_heads": 8},
        ),
        "conv": GPT2Config(
            vocab_size=32_000, n_embd=384, n_layer=12, n_head=6, bos_token_id=1, eos_token_id=2
        ),
    }  # fmt: skip
    for name, config in bodies.items():
        AutoModelForCausalLM.from_config(config).save_pretrained(shop / "bases" / name)
        for path in (shop / "bases/llama").glob("*token*"):
            shutil.copy(path, shop / "bases" / name)
    rows = [{"prompt": "Q: " + "one plus " * 40, "completion": " 7" * 20}] * 64
    workshop.write_rows(shop / "rows.jsonl", rows)
    workshop.add_to_registry(shop, f'\n[bases.chosen]\nsource = "{base}"\n')
    command = [*workshop.ADAPTER_HUB, "train", "a", "--base", "chosen", "--steps", "3", *flags]
    told = subprocess.run(
        [*command, "--dry-run", "--json"],
        cwd=shop, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *command, "-q"],
        cwd=shop, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    peak = int(done.stdout)
    # The goal is a fifth; how an allocator gives memory back is not the same everywhere.
    assert 0.75 < json.loads(told.stdout)["memory_bytes"] / peak < 1.25, (told.stdout, peak)
