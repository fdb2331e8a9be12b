"""eval: loss, tokens and answers, against training, generation and the plain computation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.errors import DataError, UnknownNameError, UsageError
from adapter_hub.generation.generate import Sampling, in_batches, open_generator
from adapter_hub.registry.store import Registry
from adapter_hub.registry.verify import verify
from adapter_hub.testing.workshop import SUMS
from adapter_hub.training.evaluate import Evaluation, evaluate, metric_prefix

HELD_OUT = [
    {"prompt": f"Q: {n} plus one?\nA:", "completion": f" {n + 1}" + " the cat" * (n % 7)}
    for n in range(30, 55)
]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, bases: Any) -> Path:
    """``sums``, which knows some answers, with its losses on ``valid.jsonl``."""
    folder = workshop.make_workshop(tmp_path_factory.mktemp("evaluated"), bases, "llama", "chatty")
    workshop.write_rows(folder / "valid.jsonl", HELD_OUT)
    workshop.run_training(
        folder,
        steps=60,
        learning_rate=0.01,
        eval_data="valid.jsonl",
        options={"r": 16, "target_modules": "all-linear"},
    )
    return folder


def measure(folder: Path, *references: str, data: str = "valid.jsonl", **how: Any) -> Evaluation:
    registry = Registry.open(folder)
    return evaluate(references, data, registry=registry, dtype="float32", **how)[0]


def test_losses_are_those_of_the_training(fitted: Path) -> None:
    metrics = Registry.open(fitted).adapter("sums").versions[1].metrics
    adapter = measure(fitted, "sums@1", record=False)
    assert adapter.loss == pytest.approx(metrics["eval_loss"], abs=1e-4)
    base = measure(fitted, "base:llama")
    assert base.loss == pytest.approx(metrics["base_eval_loss"], abs=1e-4)
    assert base.recorded is adapter.recorded is False
    assert (base.version, base.digest, base.base) == (None, None, "llama")
    assert adapter.rows == adapter.examples == len(HELD_OUT)
    assert adapter.loss < base.loss
    assert adapter.token_accuracy > base.token_accuracy


def test_an_answer_is_right_when_it_would_be_written(fitted: Path) -> None:
    cats = [{**row, "completion": " the cat"} for row in SUMS]
    workshop.write_rows(fitted / "cats.jsonl", cats)
    options = {"r": 16, "target_modules": "all-linear"}
    workshop.run_training(fitted, "cats", data="cats.jsonl", steps=60, options=options)
    rows = [*cats[:10], *HELD_OUT]
    workshop.write_rows(fitted / "all.jsonl", rows)
    generator = open_generator("cats", registry=Registry.open(fitted), dtype="float32")
    answers = in_batches(
        generator, [row["prompt"] for row in rows], Sampling(temperature=0, max_new_tokens=40), 8
    )
    written = sum(
        answer.text == row["completion"] and answer.finish_reason == "stop"
        for answer, row in zip(answers, rows, strict=True)
    )
    found = measure(fitted, "cats", data="all.jsonl", record=False)
    assert 0 < written < len(rows)
    assert found.exact_match == pytest.approx(written / len(rows))


def test_batches_change_nothing(fitted: Path) -> None:
    one, many = (measure(fitted, "sums", batch_size=size, record=False) for size in (1, 25))
    assert one.loss == pytest.approx(many.loss, rel=1e-5)
    assert (one.token_accuracy, one.exact_match) == (many.token_accuracy, many.exact_match)


def test_it_is_kept_with_the_version(fitted: Path) -> None:
    before = dict(Registry.open(fitted).adapter("sums").versions[1].metrics)
    found = measure(fitted, "sums")
    assert found.recorded
    metrics = Registry.open(fitted).adapter("sums").versions[1].metrics
    assert found.exact_match is not None
    assert metrics == {
        **before,
        "valid.loss": round(found.loss, 4),
        "valid.token_accuracy": round(found.token_accuracy, 4),
        "valid.exact_match": round(found.exact_match, 4),
    }
    assert [each.problems for each in verify(["sums"], registry=Registry.open(fitted))] == [[]]


def test_rows_that_are_no_answers(fitted: Path) -> None:
    workshop.write_rows(fitted / "texts.jsonl", [{"text": "the cat sat"}, {"text": "a cat"}])
    texts = measure(fitted, "sums", data="texts.jsonl", record=False)
    assert texts.exact_match is None
    everything = measure(fitted, "sums", train_on="all", record=False)
    assert everything.exact_match is None
    assert everything.loss_tokens > measure(fitted, "sums", record=False).loss_tokens
    chats = measure(fitted, "base:chatty", data="chats.jsonl", limit=3)
    assert (chats.rows, chats.exact_match) == (3, 0.0)


def test_virtual_tokens_stand_in_front(fitted: Path) -> None:
    workshop.run_training(
        fitted,
        "prompted",
        method="prompt_tuning",
        options={"num_virtual_tokens": 4},
        eval_data="valid.jsonl",
        catalog=prompt_tuning(),
    )
    recorded = Registry.open(fitted).adapter("prompted").versions[1].metrics["eval_loss"]
    found = measure(fitted, "prompted", record=False, catalog=prompt_tuning())
    assert found.loss == pytest.approx(recorded, abs=1e-4)


def prompt_tuning() -> Any:
    from types import ModuleType

    from adapter_hub.hookspecs import hookimpl
    from adapter_hub.plugins import load_catalog

    module = ModuleType("a_plugin")
    module.register_methods = hookimpl(  # type: ignore[attr-defined]
        lambda register: register(
            "prompt_tuning", "peft:PromptTuningConfig", peft_type="PROMPT_TUNING"
        )
    )
    catalog = load_catalog()
    catalog.add_plugin(module, "a_plugin", "a-plugin", "1")
    return catalog


def test_columns_are_those_of_the_training_where_the_rows_have_them(fitted: Path) -> None:
    renamed = [{"q": row["prompt"], "a": row["completion"]} for row in HELD_OUT]
    workshop.write_rows(fitted / "renamed.jsonl", renamed)
    columns = {"q": "prompt", "a": "completion"}
    workshop.run_training(fitted, "mapped", data="renamed.jsonl", column_map=columns, steps=2)
    same = [
        measure(fitted, "mapped", data="renamed.jsonl", record=False),
        measure(fitted, "mapped", data="valid.jsonl", record=False),
        measure(fitted, "mapped", data="renamed.jsonl", column_map=columns, record=False),
    ]
    assert len({each.loss for each in same}) == 1
    with pytest.raises(DataError, match=r"renamed\.jsonl:1"):
        measure(fitted, "sums", data="renamed.jsonl", record=False)


def test_what_is_wrong_is_told_before_anything_is_loaded(fitted: Path) -> None:
    for arguments, error, words in (
        (("nope", "valid.jsonl"), UnknownNameError, "no adapter 'nope'"),
        (("sums@9", "valid.jsonl"), UnknownNameError, "sums"),
        (("base:nope", "valid.jsonl"), UnknownNameError, "no base 'nope'"),
        (("sums", "nope.jsonl"), DataError, "no data file"),
        (("sums", "nope"), UsageError, "nope"),
    ):
        with pytest.raises(error, match=words):
            measure(fitted, arguments[0], data=arguments[1])


@pytest.mark.parametrize(
    ("data", "prefix"),
    [
        ("rows/valid.jsonl", "valid"),
        ("../2024 test.csv", "_2024-test"),
        ("sql:test", "sql-test"),
        ("hf:me/My.Data", "My-Data"),
        ("shakespeare", "shakespeare"),
        ("é.jsonl", "data"),
    ],
)
def test_a_metric_has_the_name_of_its_rows(data: str, prefix: str) -> None:
    assert metric_prefix(data) == prefix


def test_the_command(
    fitted: Path, hub: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fitted)
    told = hub("eval", "sums", "base:llama", "--dtype", "float32")
    assert told.code == 0, told
    head, sums, base = told.out.splitlines()
    assert head.split()[0] == "reference"
    assert (sums.split()[0], base.split()[0]) == ("sums", "base:llama")
    assert "kept with sums@1" in told.err
    (found,) = hub("list", "--where", "valid.token_accuracy>0", "--json").json
    assert found["name"] == "sums"
    told = hub("eval", "sums", "--data", "valid.jsonl", "--no-record", "--json")
    assert told.json[0]["recorded"] is False
    assert hub("eval", "base:llama").code == 2
