"""``train --stale``: exactly what status calls stale or never trained, whatever fails."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.errors import Interrupted
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.training.several import Training, train_several
from adapter_hub.training.stale import to_train
from adapter_hub.training.status import all_status

TRAINING = 'training = { steps = 3, dtype = "float32", max_length = 64 }\n'


@pytest.fixture
def three(own: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``conv`` is current; ``after`` was never trained, ``broken`` cannot be, ``sums`` is stale."""
    workshop.add_to_registry(
        own,
        f'\n[adapters.after]\nbase = "llama"\ndata = "rows.jsonl"\n{TRAINING}'
        f'\n[adapters.broken]\nbase = "llama"\ndata = "nowhere.jsonl"\n{TRAINING}',
    )
    path = own / "registry.toml"
    head, found, sums = path.read_text().partition("[adapters.sums]")
    path.write_text(head + found + sums.replace("steps = 6", "steps = 2", 1))
    monkeypatch.chdir(own)
    return own


def versions(folder: Path) -> dict[str, int | None]:
    return {each.name: each.version for each in all_status(Registry.open(folder))}


def run(
    folder: Path, on_step: Callable[..., None] = lambda *_: None
) -> tuple[list[Training], list[str]]:
    registry, said = Registry.open(folder), []
    trainings = to_train(registry)

    def progress() -> AbstractContextManager[Any]:
        return nullcontext(on_step)

    try:
        train_several(
            trainings,
            registry=registry,
            catalog=load_catalog(),
            say=said.append,
            progress=progress,
            again="adapter-hub train --stale",
        )
    except Interrupted as error:
        said.append(error.message)
    return trainings, said


def test_each_is_trained_and_a_failure_ends_nothing(three: Path) -> None:
    trainings, said = run(three)
    assert [(each.name, each.outcome) for each in trainings] == [
        ("after", "trained"),
        ("broken", "failed"),
        ("sums", "trained"),
    ]
    assert "1 of 3: after, never trained" in said
    assert "3 of 3: sums, stale: training.steps 6 → 2" in said
    assert "there is no data file" in trainings[1].error
    assert versions(three) == {"after": 1, "broken": None, "conv": 1, "sums": 2, "talk": 1}
    assert [each.name for each in to_train(Registry.open(three))] == ["broken"]


def stop_at(step: int) -> Callable[..., None]:
    """What the terminal does at Ctrl-C, after so many steps in a run."""

    def on_step(progress: Any, _steps: int) -> None:
        if progress.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return on_step


def test_ctrl_c_stops_all_and_the_next_time_goes_on(three: Path) -> None:
    trainings, said = run(three, stop_at(2))
    assert [each.outcome for each in trainings] == ["interrupted", "not tried", "not tried"]
    assert said[-1] == "after was interrupted; 0 of 3 were trained."
    assert versions(three)["after"] is None
    steps: list[int] = []
    trainings, said = run(three, lambda progress, _: steps.append(progress.step))
    assert "going on after step 2" in said
    assert steps == [3, 1, 2]
    assert versions(three)["after"] == 1


def test_an_interrupted_run_of_another_recipe_is_started_anew(three: Path) -> None:
    run(three, stop_at(1))
    path = three / "registry.toml"
    path.write_text(path.read_text().replace("steps = 3", "steps = 4"))
    trainings, said = run(three)
    assert trainings[0].result is not None
    assert trainings[0].result.steps == 4
    assert "the 1 steps of an interrupted run are given up" in said


def test_the_command(three: Path, hub: Any) -> None:
    listed = hub("train", "--stale", "--dry-run")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == [
        "name", "after", "broken", "sums",
    ]  # fmt: skip
    assert "training.steps 6 → 2" in listed.out
    assert versions(three)["after"] is None
    done = hub("train", "--stale", "--json")
    assert done.code == 1
    assert [(each["name"], each["outcome"]) for each in done.json] == [
        ("after", "trained"), ("broken", "failed"), ("sums", "trained"),
    ]  # fmt: skip
    assert done.json[2]["result"]["version"] == 2
    assert done.json[2]["changes"][0]["key"] == "training.steps"
    path = three / "registry.toml"
    path.write_text(path.read_text().replace("nowhere.jsonl", "rows.jsonl"))
    done = hub("train", "--stale")
    assert done.code == 0
    assert done.out.splitlines()[1].split()[:3] == ["broken", "trained", "1"]
    done = hub("train", "--stale")
    assert (done.code, done.out) == (0, "")
    assert "nothing is stale" in done.err
    assert hub("train", "--stale", "--json").json == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sums",), "it takes no NAME"),
        (("--seed", "1"), "it takes no --seed"),
        (("-o", "r=4"), "it takes no --option"),
        (("--restart",), "it takes no --restart"),
        (("--resume",), "leave --resume out"),
    ],
)
def test_what_has_no_meaning_with_it(
    hub: Any, project: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = hub("train", "--stale", *arguments)
    assert done.code == 2
    assert said in done.err


def test_a_name_is_needed_without_it(hub: Any, project: Path) -> None:
    done = hub("train", "--dry-run")
    assert done.code == 2
    assert "NAME" in done.err


def test_one_process_only(hub: Any, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "in one process" in hub("train", "--stale").err
