"""train and run, from the command line to the files and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli

Hub = Callable[..., Any]
TRAIN = ("--base", "llama", "--data", "rows.jsonl", "--steps", "3", "--learning-rate", "0.01")


@pytest.fixture
def trained(hub: Hub, project: Path) -> Path:
    result = hub("train", "sums", *TRAIN, "-q")
    assert result.code == 0, result.err
    return project


def test_train_json_has_the_contract_s_fields(hub: Hub, project: Path) -> None:
    result = hub("train", "sums", *TRAIN, "--json")
    assert result.code == 0, result.err
    told = result.json
    assert set(told) == {
        "name", "version", "digest", "path", "trainable_parameters", "total_parameters", "steps", "tokens",
        "loss_tokens", "train_loss", "eval_loss", "base_eval_loss", "perplexity", "seconds", "tokens_per_second",
        "best_step", "samples",
    }  # fmt: skip
    assert (told["name"], told["version"], told["steps"]) == ("sums", 1, 3)
    assert "trainable params: " in result.err
    assert "step 3/3" in result.err
    assert "held out for evaluation" in result.err


def test_flags_become_the_recipe(hub: Hub, trained: Path) -> None:
    entry = tomli.loads((trained / "registry.toml").read_text())["adapters"]["sums"]
    assert entry["base"] == "llama"
    assert entry["data"] == "rows.jsonl"
    assert entry["training"] == {"steps": 3, "learning_rate": 0.01}
    assert [each["state"] for each in hub("status", "--json").json] == ["current"]
    assert hub("train", "sums", "-o", "r=2", "-q").code == 0
    assert hub("show", "sums", "--json").json["versions"] == [1, 2]
    assert tomli.loads((trained / "registry.toml").read_text())["adapters"]["sums"]["options"] == {
        "r": 2
    }


def test_a_hand_edited_recipe_is_stale(hub: Hub, trained: Path) -> None:
    path = trained / "registry.toml"
    path.write_text(path.read_text().replace("steps = 3", "steps = 4"))
    assert [each["state"] for each in hub("status", "--json").json] == ["stale"]


def test_what_is_saved(trained: Path) -> None:
    folder = trained / "adapters/sums/1"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "README.md",
        "adapter_config.json",
        "adapter_hub.json",
        "adapter_model.safetensors",
        "loss.png",
        "report.html",
        "training.png",
    }
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((folder / "adapter_hub.json").read_text())
    assert record["data"]["rows"] == 40
    assert set(record["base"]["identity"]) == {"config", "weights", "tokenizer"}
    for path in folder.iterdir():
        assert str(trained).encode() not in path.read_bytes(), path.name


def test_dry_run_touches_nothing(hub: Hub, project: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*")}
    result = hub("train", "sums", *TRAIN, "--dry-run", "--json")
    assert result.code == 0, result.err
    assert result.json["steps"] == 3
    assert result.json["trainable_parameters"] > 0
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*")} == before


def test_run_streams_and_answers_in_json(hub: Hub, trained: Path) -> None:
    flags = ("--greedy", "--max-new-tokens", "6", "--dtype", "float32")
    told = hub("run", "sums", "Q: 1 plus one?\nA:", *flags, "--json").json
    assert {
        "reference", "version", "digest", "base", "base_revision", "prompt", "text", "finish_reason",
        "prompt_tokens", "completion_tokens", "seconds", "seed",
    } == set(told)  # fmt: skip
    assert (told["reference"], told["version"], told["seed"]) == ("sums", 1, None)
    assert hub("run", "sums@1", "Q: 1 plus one?\nA:", *flags).out == told["text"] + "\n"
    assert (
        hub("run", "./adapters/sums/1", "Q: 1 plus one?\nA:", *flags, "--json").json["text"]
        == told["text"]
    )


def test_run_from_a_file_of_prompts(hub: Hub, trained: Path) -> None:
    result = hub("run", "sums", "--prompts", "rows.jsonl", "--greedy", "--max-new-tokens", "3")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert len(lines) == 40
    assert lines[7]["prompt"] == "Q: 7 plus one?\nA:"


def test_run_reads_standard_input(hub: Hub, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("Q: 3 plus one?\nA:\n"))
    told = hub("run", "sums", "--greedy", "--max-new-tokens", "2", "--json").json
    assert told["prompt"] == "Q: 3 plus one?\nA:"


def test_the_bare_base(hub: Hub, project: Path) -> None:
    told = hub("run", "base:llama", "hello", "--seed", "1", "--max-new-tokens", "4", "--json").json
    again = hub("run", "base:llama", "hello", "--seed", "1", "--max-new-tokens", "4", "--json").json
    assert told["text"] == again["text"]
    assert told["version"] is None


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--epochs", "1"), 2, "exclude each other"),
        (("--eval-data", "rows.jsonl", "--eval-fraction", "0.1"), 2, "exclude each other"),
        (("-o", "r"), 2, "key=value"),
        (("-o", "r=0"), 2, "PEFT refuses"),
        (("-o", 'target_modules=["nope"]'), 2, "PEFT refuses"),
        (("--data", "missing.jsonl"), 1, "no data file"),
        (("--resume",), 2, "no interrupted run"),
        (("--max-length", "3"), 1, "too long"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_train_refuses(
    hub: Hub, project: Path, flags: tuple[str, ...], code: int, words: str
) -> None:
    before = (project / "registry.toml").read_bytes()
    result = hub("train", "sums", *TRAIN, *flags)
    assert (result.code, words in result.err) == (code, True), result.err
    assert "Traceback" not in result.err
    assert (project / "registry.toml").read_bytes() == before


def test_bad_rows_are_named_or_counted(hub: Hub, project: Path) -> None:
    with (project / "rows.jsonl").open("a") as file:
        file.write('{"prompt": "x", "completion": ""}\nnot json\n')
    failed = hub("train", "sums", *TRAIN)
    assert failed.code == 1
    assert "rows.jsonl:41: the row has an empty completion." in failed.err
    skipped = hub("train", "sums", *TRAIN, "--on-bad-row", "skip")
    assert skipped.code == 0
    assert "2 bad rows skipped, the first rows.jsonl:41" in skipped.err


def test_empty_data(hub: Hub, project: Path) -> None:
    (project / "empty.jsonl").write_text("\n")
    result = hub("train", "sums", "--base", "llama", "--data", "empty.jsonl")
    assert result.code == 1
    assert "has no usable row" in result.err


def test_data_named_from_elsewhere(
    hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "sub").mkdir()
    monkeypatch.chdir(project / "sub")
    assert (
        hub(
            "train", "sums", "--base", "llama", "--data", "../rows.jsonl", "--steps", "1", "-q"
        ).code
        == 0
    )
    assert (
        tomli.loads((project / "registry.toml").read_text())["adapters"]["sums"]["data"]
        == "rows.jsonl"
    )


def test_preview(hub: Hub, project: Path) -> None:
    told = hub("data", "preview", "rows.jsonl", "--base", "llama", "--rows", "2", "--json").json
    assert told["rows"] == 40
    first = told["first"][0]
    assert [piece["loss"] for piece in first["pieces"]] == [False, True]
    assert first["pieces"][1]["text"] == " 1<|endoftext|>"
    assert "⟦ 1<|endoftext|>⟧" in hub("data", "preview", "rows.jsonl", "--base", "llama").out


def test_import_of_a_plain_peft_folder(hub: Hub, trained: Path) -> None:
    result = hub("import", "adapters/sums/1", "--as", "taken", "--json")
    assert result.code == 0, result.err
    assert result.json["base"] == "llama"
    flags = ("hello", "--greedy", "--max-new-tokens", "4", "--json")
    assert hub("run", "taken", *flags).json["text"] == hub("run", "sums", *flags).json["text"]
