"""Runs that an executor of a plugin makes: sent as plain data, published where they are made."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from adapter_hub import make_run
from adapter_hub.errors import Interrupted, OptionError, PluginError, UnknownOfferError
from adapter_hub.hookspecs import Executor, hookimpl
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import file_digest
from adapter_hub.training.elsewhere import find_executor, train_elsewhere
from adapter_hub.training.plan import Changes
from adapter_hub.training.run_options import RunOptions
from adapter_hub.training.several import Training
from adapter_hub.training.sweep import Sweep, Sweeping

Done = Callable[[int, Mapping[str, Any]], None]
CHANGES = Changes(
    base="llama",
    data="rows.jsonl",
    training={"steps": 2, "dtype": "float32", "max_length": 64, "learning_rate": 0.01},
)
CODE = """
import json, sys
from adapter_hub import make_run
print(json.dumps(make_run(json.load(sys.stdin))))
"""


class Children:
    """A process of its own for each run; the last one first."""

    at_once = 2

    def __call__(self, runs: Sequence[Mapping[str, Any]], done: Done) -> None:
        for number in reversed(range(len(runs))):
            child = subprocess.run(
                [sys.executable, "-c", CODE],
                input=json.dumps(runs[number]),
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            done(number, json.loads(child.stdout))


class Here:
    """Calls it in this process; ``broken`` is raised after the first run."""

    def __init__(self, broken: BaseException | None = None) -> None:
        self.broken = broken

    at_once = 3

    def __call__(self, runs: Sequence[Mapping[str, Any]], done: Done) -> None:
        for number, run in enumerate(runs):
            done(number, make_run(json.loads(json.dumps(run))))
            if self.broken:
                raise self.broken


def offering(factory: Any) -> Catalog:
    def register_executors(register: Any) -> None:
        register("some", factory, summary="for tests")

    module = ModuleType("executors")
    module.register_executors = hookimpl(register_executors)  # type: ignore[attr-defined]
    catalog = load_catalog()
    catalog.add_plugin(module, "executors", "executors", "1")
    return catalog


def run(folder: Path, executor: Executor, *names: str) -> tuple[list[Training], list[str]]:
    said: list[str] = []
    trainings = [Training(name, changes=CHANGES) for name in names]
    try:
        train_elsewhere(
            trainings,
            executor,
            registry=Registry.open(folder),
            say=said.append,
            again="the same",
            options=RunOptions(samples=0),
        )
    except (Interrupted, PluginError) as error:
        said.append(f"{error.message} {error.hint}")
    return trainings, said


def test_processes_of_their_own_publish_what_they_trained(shop: Path) -> None:
    trainings, said = run(shop, Children(), "one", "two")
    assert [each.outcome for each in trainings] == ["trained", "trained"]
    assert said == ["two: trained", "one: trained"]
    registry = Registry.open(shop)
    assert [list(registry.adapter(name).versions) for name in ("one", "two")] == [[1], [1]]
    assert trainings[0].result is not None
    assert Path(trainings[0].result.path) == shop / "adapters/one/1"


def test_a_failure_is_told(shop: Path) -> None:
    bad = Training("bad", changes=Changes(base="llama", data="nowhere.jsonl"))
    good = Training("good", changes=CHANGES)
    said: list[str] = []
    train_elsewhere(
        [bad, good], Here(), registry=Registry.open(shop), say=said.append, again="the same"
    )
    assert (bad.outcome, good.outcome) == ("failed", "trained")
    assert "nowhere.jsonl" in bad.error
    assert bad.error in said[0]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (KeyboardInterrupt(), "interrupted; 1 of 2 were trained. to go on: the same"),
        (RuntimeError("no more"), "the executor failed: RuntimeError: no more. to go on: the same"),
    ],
)
def test_an_executor_that_stops(shop: Path, broken: BaseException, said: str) -> None:
    trainings, talk = run(shop, Here(broken), "one", "two")
    assert [each.outcome for each in trainings] == ["trained", "not tried"]
    assert talk[-1] == said


def test_a_process_that_does_not_see_the_registry(shop: Path, tmp_path: Path) -> None:
    class Far(Here):
        def __call__(self, runs: Sequence[Mapping[str, Any]], done: Done) -> None:
            super().__call__([{**each, "registry": "/far/registry.toml"} for each in runs], done)

    trainings, _ = run(shop, Far(), "one")
    assert trainings[0].outcome == "failed"
    assert "does not see /far/registry.toml" in trainings[0].error


def sweep(folder: Path, executor: Executor | None, name: str) -> Sweep:
    registry = Registry.open(folder)
    space: Any = {"options.r": (2, 4), "learning_rate": (0.01, 0.02)}
    sweeping = Sweeping(registry, name, space, CHANGES, load_catalog())
    executor = executor or Here()

    def work(trainings: Sequence[Training]) -> None:
        train_elsewhere(trainings, executor, registry=registry, say=lambda _: None, again="")

    return sweeping.run(work, executor.at_once)


def test_a_sweep_goes_there_too(shop: Path) -> None:
    found = sweep(shop, None, "sums")
    assert [each.version for each in found.tried] == [1, 2, 3, 4]
    assert Registry.open(shop).adapter("sums").aliases == {"best": found.best}
    record = json.loads((shop / "adapters/sums/3/adapter_hub.json").read_text())
    assert record["sweep"]["trial"] == 3
    assert (
        len(
            {
                file_digest(shop / f"adapters/sums/{n}/adapter_model.safetensors")
                for n in (1, 2, 3, 4)
            }
        )
        == 4
    )


@pytest.mark.parametrize("at_once", [1, 3])
def test_draws_that_come_again_are_made_once(shop: Path, at_once: int) -> None:
    """Beside each other and one after the other: other processes publish, and this one looks."""
    pytest.importorskip("optuna")
    registry = Registry.open(shop)
    sweeping = Sweeping(registry, "sums", {"options.r": (2, 4)}, CHANGES, load_catalog(), draws=6)
    made: list[str] = []

    def work(trainings: Sequence[Training]) -> None:
        made.extend(each.label for each in trainings)
        train_elsewhere(trainings, Here(), registry=registry, say=lambda _: None, again="")

    found = sweeping.run(work, at_once)
    assert sorted(made) == ["r=2", "r=4"]
    assert len(found.tried) == 6
    assert {each.version for each in found.tried} == {1, 2}
    assert all(each.eval_loss is not None for each in found.tried)


def test_options_and_names_are_checked() -> None:
    def factory(address: str | None = None) -> Executor:
        if address == "down":
            raise ConnectionError("nobody there")
        return Here()

    catalog = offering(factory)
    assert find_executor("some", {"address": "x"}, catalog).at_once == 3
    with pytest.raises(OptionError, match=r"has no option 'adress'.*did you mean 'address'"):
        find_executor("some", {"adress": "x"}, catalog)
    with pytest.raises(UnknownOfferError, match="there is no executor 'sume'"):
        find_executor("sume", {}, catalog)
    with pytest.raises(PluginError, match="nobody there"):
        find_executor("some", {"address": "down"}, catalog)


def test_the_command_tells_of_no_executor(shop: Path, hub: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(shop)
    done = hub("train", "sums", "--base", "llama", "--data", "rows.jsonl", "--on", "nowhere")
    assert done.code == 2
    assert "there is no executor 'nowhere'" in done.err
    done = hub("train", "--stale", "--on-option", "a=b")
    assert done.code in (0, 2)  # nothing is stale in a registry without adapters
