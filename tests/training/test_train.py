"""From a recipe to a version that runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tomli
import torch
import workshop
from filelock import FileLock
from safetensors.torch import load_file, save_file

from adapter_hub.errors import (
    AdapterHubError,
    BaseModelError,
    ConflictError,
    DataError,
    IncompatibleError,
    Interrupted,
    RegistryError,
    TrainingError,
    UsageError,
)
from adapter_hub.generation.generate import Sampling, open_generator
from adapter_hub.hookspecs import hookimpl
from adapter_hub.loading.adapters import load, open_reference
from adapter_hub.loading.bases import load_model
from adapter_hub.model import parse_reference
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.training import save

IDS = torch.tensor([[5, 9, 40, 41, 7, 30, 12]])


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits  # type: ignore[no-any-return]


def loaded(folder: Path, name: str = "sums") -> Any:
    opened = open_reference(parse_reference(name), Registry.open(folder), load_catalog())
    return load(opened, torch.float32)[0]


def record(folder: Path, name: str = "sums", version: int = 1) -> Any:
    return json.loads((folder / f"adapters/{name}/{version}/adapter_hub.json").read_text())


# --- the whole way -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "data"), [("llama", "rows.jsonl"), ("gpt2", "rows.jsonl"), ("chatty", "chats.jsonl")]
)
def test_what_is_loaded_is_what_was_trained(
    shop: Path, monkeypatch: pytest.MonkeyPatch, base: str, data: str
) -> None:
    in_memory: list[torch.Tensor] = []
    write = save.write_adapter

    def spy(model: Any, *rest: Any) -> None:
        in_memory.append(logits(model))
        write(model, *rest)

    monkeypatch.setattr(save, "write_adapter", spy)
    result = workshop.run_training(shop, base=base, data=data)
    assert torch.equal(logits(loaded(shop)), in_memory[0])
    bare = load_model(shop / "bases" / base, torch.float32)
    assert not torch.allclose(in_memory[0], logits(bare), atol=1e-2)
    assert result.path == str(shop / "adapters/sums/1")
    assert result.eval_loss is not None
    assert result.base_eval_loss is not None
    assert result.eval_loss < result.base_eval_loss
    assert result.perplexity == pytest.approx(math.exp(result.eval_loss))
    assert result.tokens_per_second == pytest.approx(result.tokens / result.seconds)
    assert record(shop)["metrics"]["eval_loss"] == pytest.approx(result.eval_loss, abs=1e-4)


def test_it_learns_what_it_is_shown(shop: Path) -> None:
    path = shop / "bases/llama/model.safetensors"
    tensors = load_file(path)
    # Random weights are too small for a model that is ever sure of anything.
    tensors["model.embed_tokens.weight"] *= 30
    save_file(tensors, path, metadata={"format": "pt"})
    rows = [{"prompt": f"Q{n % 2}:", "completion": (" yes", " the cat")[n % 2]} for n in range(32)]
    workshop.write_rows(shop / "two.jsonl", rows)
    result = workshop.run_training(
        shop,
        data="two.jsonl",
        steps=250,
        learning_rate=0.005,
        options={"r": 8, "target_modules": "all-linear"},
    )
    assert result.eval_loss is not None
    assert result.eval_loss < 0.05
    generator = open_generator("sums", registry=Registry.open(shop), dtype="float32")
    told = generator.batch(["Q0:", "Q1:"], Sampling(temperature=0, max_new_tokens=9))
    assert [(each.text, each.finish_reason) for each in told] == [
        (" yes", "stop"),
        (" the cat", "stop"),
    ]


@pytest.mark.parametrize(
    ("rows", "style"),
    [
        (
            [{"instruction": "Add.", "input": str(n), "output": "4"} for n in range(4)],
            "instruction",
        ),
        ([{"text": f"the cat {n}"} for n in range(4)], "plain"),
        (["the cat sat on the mat"] * 4, "plain"),
    ],
)
def test_every_shape_of_row_trains(shop: Path, rows: list[Any], style: str) -> None:
    workshop.write_rows(shop / "shape.jsonl", rows)
    assert workshop.run_training(shop, data="shape.jsonl", steps=1).version == 1
    assert record(shop)["style"] == style
    assert record(shop)["evaluations"] == []


def test_a_dataset_by_name(shop: Path) -> None:
    workshop.run_training(shop, data="shakespeare", steps=1, batch_size=2, eval_fraction=0.0)
    assert record(shop)["data"]["examples"] > record(shop)["data"]["rows"] > 100


def test_held_out_rows_of_their_own(shop: Path) -> None:
    said: list[str] = []
    workshop.write_rows(shop / "eval.jsonl", [{"prompt": "Q: 3 plus one?\nA:", "completion": " 4"}])
    workshop.run_training(shop, eval_data="eval.jsonl", steps=2, say=said.append)
    told = record(shop)
    assert (told["eval_data"]["rows"], told["data"]["rows"]) == (1, 40)
    assert "eval.jsonl: 1 rows, 1 examples" in said
    assert [each["step"] for each in told["evaluations"]] == [0, 1, 2]


def test_no_held_out_rows(shop: Path) -> None:
    result = workshop.run_training(shop, eval_fraction=0.0, steps=1)
    assert (result.eval_loss, result.base_eval_loss, result.perplexity) == (None, None, None)
    assert set(Registry.open(shop).adapter("sums").versions[1].metrics) == {"train_loss"}


def test_what_is_said(shop: Path) -> None:
    said: list[str] = []
    workshop.run_training(shop, steps=1, max_length=24, say=said.append)
    assert said[0].startswith("rows.jsonl: 40 rows, 40 examples; ")
    assert said[0].endswith(" cut at 24 tokens")
    assert said[1:] == [
        "2 of 40 examples held out for evaluation (choose with --eval-data or --eval-fraction)",
        "base llama (path:bases/llama) in float32: as asked",
        "trainable params: 1,792 || all params: 29,984 || trainable%: 5.9765",
    ]


def test_rows_longer_than_the_context_are_cut_to_it(shop: Path) -> None:
    workshop.run_training(shop, max_length=5000, steps=1)
    assert record(shop)["max_length"] == 128


def test_epochs_are_counted_in_steps(shop: Path) -> None:
    result = workshop.run_training(shop, steps=None, epochs=2.0, batch_size=4, grad_accum=2)
    assert result.steps == 10  # 38 rows in 10 batches, twice, and 2 batches a step


# --- seeds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 3, 2**33 + 3, 2**63 - 1])
def test_a_seed_is_a_result(shop: Path, seed: int) -> None:
    for _ in range(2):
        workshop.run_training(shop, seed=seed, steps=2, options={"lora_dropout": 0.1})
    one, two = (shop / f"adapters/sums/{n}" for n in (1, 2))
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    workshop.run_training(shop, seed=seed - 1 if seed else 1, steps=2)
    other = shop / "adapters/sums/3/adapter_model.safetensors"
    assert other.read_bytes() != (one / "adapter_model.safetensors").read_bytes()


# --- the registry --------------------------------------------------------------------------------


def test_the_recipe_is_written_back_with_the_version(shop: Path) -> None:
    workshop.run_training(shop, options={"r": 2}, steps=1)
    entry = tomli.loads((shop / "registry.toml").read_text())["adapters"]["sums"]
    assert (entry["base"], entry["data"], entry["options"]) == ("llama", "rows.jsonl", {"r": 2})
    assert entry["training"]["steps"] == 1
    assert list(entry["versions"]) == ["1"]
    workshop.run_training(shop, steps=1)
    assert sorted(Registry.open(shop).adapter("sums").versions) == [1, 2]
    assert sorted(path.name for path in (shop / "adapters/sums").iterdir()) == ["1", "2"]


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"data": "empty.jsonl"}, DataError, "empty.jsonl has no usable row"),
        ({"data": "bad.jsonl"}, DataError, r"bad\.jsonl:2: the row is not JSON"),
        ({"data": "two.jsonl", "eval_fraction": 0.9}, DataError, "too few to hold out 90%"),
        ({"data": "chats.jsonl"}, UsageError, "the base has no chat template"),
        ({"max_length": 3}, DataError, "is too long: its prompt has"),
        ({"eval_data": "chats.jsonl"}, DataError, r"chats\.jsonl:1: the row is of the style chat"),
        ({"column_map": {"question": "prompt"}}, DataError, "has no column 'question'"),
        ({"base": "broken"}, BaseModelError, "has no tokenizer"),
    ],
)
def test_a_run_that_cannot_start_changes_nothing(
    shop: Path, how: dict[str, Any], error: type[AdapterHubError], words: str
) -> None:
    (shop / "empty.jsonl").write_text("\n\n")
    (shop / "bad.jsonl").write_text('{"prompt": "a", "completion": "b"}\n{"prompt"\n')
    (shop / "two.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 2)
    (shop / "bases/broken").mkdir()
    for name in ("config.json", "model.safetensors"):
        (shop / "bases/broken" / name).write_bytes((shop / "bases/llama" / name).read_bytes())
    with (shop / "registry.toml").open("a") as file:
        file.write('\n[bases.broken]\nsource = "path:bases/broken"\n')
    before = (shop / "registry.toml").read_bytes()
    with pytest.raises(error, match=words):
        workshop.run_training(shop, **how)
    assert (shop / "registry.toml").read_bytes() == before
    assert [path.name for path in (shop / "adapters").rglob("*") if path.is_file()] in (
        [],
        ["lock"],
    )


def test_a_warm_up_longer_than_the_run_never_gets_warm(shop: Path) -> None:
    with pytest.raises(UsageError, match="a warm-up of 6 steps leaves none of the 6 steps"):
        workshop.run_training(shop, warmup=6)
    workshop.run_training(shop, warmup=1, steps=2)


def test_one_run_at_a_time(shop: Path) -> None:
    folder = shop / "adapters/.runs/sums"
    folder.mkdir(parents=True)
    with (
        FileLock(folder / "lock"),
        pytest.raises(ConflictError, match="'sums' is being trained by another process"),
    ):
        workshop.run_training(shop)
    assert workshop.run_training(shop, steps=1).version == 1


def test_a_folder_that_cannot_be_made(shop: Path) -> None:
    (shop / "adapters").write_text("a file")
    with pytest.raises(RegistryError, match=r"adapters/\.runs/sums cannot be written: "):
        workshop.run_training(shop)


# --- going on ------------------------------------------------------------------------------------


@pytest.fixture
def interrupted(shop: Path) -> Path:
    import os
    import signal

    with pytest.raises(Interrupted):
        workshop.run_training(shop, on_step=lambda *_: os.kill(os.getpid(), signal.SIGINT))
    return shop


def test_there_must_be_something_to_resume(shop: Path) -> None:
    with pytest.raises(UsageError, match="there is no interrupted run of 'sums' to resume"):
        workshop.run_training(shop, resume=True)


@pytest.mark.parametrize(
    "how", [{"seed": 1}, {"steps": 9}, {"base": "gpt2"}, {"dtype": "bfloat16"}]
)
def test_another_run_is_not_resumed(interrupted: Path, how: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="had another recipe, data, base or number type"):
        workshop.run_training(interrupted, resume=True, **how)
    assert workshop.run_training(interrupted, resume=True).version == 1


def test_changed_rows_are_another_run(interrupted: Path) -> None:
    with (interrupted / "rows.jsonl").open("a") as file:
        file.write('{"prompt": "a", "completion": "b"}\n')
    with pytest.raises(TrainingError, match="had another recipe, data, base or number type"):
        workshop.run_training(interrupted, resume=True)


def test_forgetting_resume_loses_nothing(interrupted: Path) -> None:
    state = interrupted / "adapters/.runs/sums/checkpoint.safetensors"
    before = state.read_bytes()
    with pytest.raises(ConflictError, match="interrupted after step 1") as caught:
        workshop.run_training(interrupted)
    assert "--resume" in str(caught.value.hint)
    assert "--restart" in str(caught.value.hint)
    assert state.read_bytes() == before


@pytest.mark.parametrize("how", [{"restart": True}, {"steps": 1}])
def test_a_new_run_gives_the_old_one_up(interrupted: Path, how: dict[str, Any]) -> None:
    said: list[str] = []
    workshop.run_training(interrupted, say=said.append, **how)
    assert "the 1 steps of an interrupted run are given up" in said
    assert not (interrupted / "adapters/.runs/sums/checkpoint.safetensors").exists()


def test_a_checkpoint_that_is_none(shop: Path) -> None:
    folder = shop / "adapters/.runs/sums"
    folder.mkdir(parents=True)
    (folder / "checkpoint.safetensors").write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match="had another recipe"):
        workshop.run_training(shop, resume=True)
    assert workshop.run_training(shop, steps=1).version == 1


# --- the last check ------------------------------------------------------------------------------


def test_a_prompt_that_run_would_build_differently_is_not_saved(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapter_hub.prompts.encode.check_prompt_path", lambda *_: False)
    with pytest.raises(IncompatibleError, match="differently for run than for training"):
        workshop.run_training(shop, steps=1)
    assert not Registry.open(shop).has_adapter("sums")


# --- methods of others ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factory", "options"),
    [
        ("peft:IA3Config", {"target_modules": ["q_proj", "v_proj"], "feedforward_modules": []}),
        ("peft:PromptTuningConfig", {"num_virtual_tokens": 4}),
    ],
)
def test_a_plugin_s_method_trains_and_runs(
    shop: Path, factory: str, options: dict[str, Any]
) -> None:
    module = ModuleType("others")

    def register_methods(register: Any) -> None:
        register("theirs", factory)

    module.register_methods = hookimpl(register_methods)  # type: ignore[attr-defined]
    catalog = load_catalog()
    catalog.add_plugin(module, "others", "adapter-hub-others", "2.0")
    result = workshop.run_training(
        shop, method="theirs", options=options, catalog=catalog, learning_rate=0.1
    )
    assert result.eval_loss is not None
    assert result.base_eval_loss is not None
    assert result.eval_loss < result.base_eval_loss
    assert record(shop)["method"]["distribution"] == "adapter-hub-others"
    generator = open_generator("sums", registry=Registry.open(shop), dtype="float32")
    greedy = Sampling(temperature=0, max_new_tokens=6)
    prompts = ["Q: 1", "the cat sat on the mat", "x"]
    alone = [generator.stream(each, greedy).text for each in prompts]
    assert [each.text for each in generator.batch(prompts, greedy)] == alone
