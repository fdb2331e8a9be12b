"""``sweep``: each trial is what it is alone, what fails ends nothing, and the best one is named."""

from __future__ import annotations

import json
import os
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import workshop
from workshop import run_training

from adapter_hub.errors import Interrupted, TrainingError, UsageError
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.lineage import lineage
from adapter_hub.registry.store import Registry
from adapter_hub.registry.verify import verify
from adapter_hub.registry.versions import file_digest
from adapter_hub.training.plan import Changes
from adapter_hub.training.several import train_several
from adapter_hub.training.space import Span
from adapter_hub.training.status import all_status
from adapter_hub.training.sweep import Sweep, Sweeping

SPACE: dict[str, Any] = {"options.r": (2, 8), "learning_rate": (1e-4, 0.05)}
KEPT = {"steps": 3, "dtype": "float32", "max_length": 64}
WEIGHTS = "adapter_model.safetensors"


def sweep(
    folder: Path, space: Any = None, on_step: Any = lambda *_: None, **how: Any
) -> tuple[Sweep, list[str]]:
    said: list[str] = []
    registry, changes = Registry.open(folder), how.pop("changes", None)
    settings = {**KEPT, **how.pop("training", {})}
    changes = changes or Changes(base="llama", data="rows.jsonl", training=settings)
    sweeping = Sweeping(registry, "sums", space or SPACE, changes, load_catalog(), **how)

    def work(trainings: Any) -> None:
        train_several(
            trainings,
            registry=registry,
            catalog=sweeping.catalog,
            say=said.append,
            progress=lambda: nullcontext(on_step),
            again="adapter-hub sweep",
            start=sweeping.start,
        )

    return sweeping.run(work), said


def weights(folder: Path, number: int | None, name: str = "sums") -> str:
    return file_digest(folder / "adapters" / name / str(number) / WEIGHTS)


def test_each_trial_is_what_it_is_alone(shop: Path) -> None:
    found, _ = sweep(shop)
    assert [each.version for each in found.tried] == [1, 2, 3, 4]
    for each in found.tried:
        alone = run_training(
            shop,
            "alone",
            options={"r": each.point["options.r"]},
            learning_rate=each.point["learning_rate"],
            steps=3,
        )
        assert weights(shop, each.version) == weights(shop, alone.version, "alone")
        assert each.eval_loss == alone.eval_loss
        for file in ("adapter_config.json", "README.md"):
            ours, theirs = (
                (shop / "adapters" / name / str(number) / file).read_text()
                for name, number in (("sums", each.version), ("alone", alone.version))
            )
            assert ours.replace("sums", "alone") == theirs


def test_the_best_gets_the_alias_and_its_recipe_the_name(shop: Path) -> None:
    found, _ = sweep(shop)
    best = min(found.tried, key=lambda each: each.eval_loss or 9)
    adapter = Registry.open(shop).adapter("sums")
    assert found.best == best.version == adapter.aliases["best"]
    assert adapter.recipe.options["r"] == best.point["options.r"]
    assert adapter.recipe.training.learning_rate == best.point["learning_rate"]
    (status,) = all_status(Registry.open(shop))
    assert (status.state, status.version) == ("current", 4)
    plot = Path(str(found.plot))
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert plot.parent.name == str(found.best)
    assert not any(each.problems for each in verify(registry=Registry.open(shop)))
    assert found.ranking[0].version == found.best


def test_the_call(shop: Path) -> None:
    from adapter_hub import sweep as call

    changes = Changes(base="llama", data="rows.jsonl", training=KEPT)
    found = call("sums", {"options.r": (2, 4)}, changes, registry=Registry.open(shop))
    assert [each.outcome for each in found.tried] == ["trained", "trained"]
    assert Registry.open(shop).adapter("sums").aliases == {"best": found.best}


def test_records_tell_the_sweep_and_the_parent(shop: Path) -> None:
    run_training(shop, steps=1)
    found, _ = sweep(shop)
    for number, each in enumerate(found.tried, 1):
        record = json.loads((shop / f"adapters/sums/{each.version}/adapter_hub.json").read_text())
        assert record["sweep"] == {
            "id": found.sweep, "trial": number, "trials": 4, "varied": each.point,
        }  # fmt: skip
        told = lineage(f"sums@{each.version}", registry=Registry.open(shop))
        assert [(up["kind"], up["reference"]) for up in told["versions"][0]["from"]] == [
            ("varied", "sums@1")
        ]


def test_it_goes_on_where_it_was_interrupted(shop: Path) -> None:
    steps: list[int] = []

    def stop(progress: Any, _steps: int) -> None:
        steps.append(progress.step)
        if len(steps) == 5:  # the second step of the second trial
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="1 of 4 were trained") as raised:
        sweep(shop, on_step=stop)
    assert raised.value.hint == "to go on: adapter-hub sweep"
    assert list(Registry.open(shop).adapter("sums").versions) == [1]
    steps.clear()
    found, said = sweep(shop, on_step=lambda progress, _: steps.append(progress.step))
    assert steps == [3, 1, 2, 3, 1, 2, 3]
    assert "going on after step 2" in said
    assert [(each.outcome, each.version) for each in found.tried] == [
        ("there already", 1), ("trained", 2), ("trained", 3), ("trained", 4),
    ]  # fmt: skip
    assert not list((shop / "adapters/.runs").glob("sums+*"))
    again, _ = sweep(shop)
    assert {each.outcome for each in again.tried} == {"there already"}
    assert (again.best, again.sweep) == (found.best, found.sweep)
    assert [each.eval_loss for each in again.tried] == [each.eval_loss for each in found.tried]


def test_other_rows_are_tried_again(shop: Path) -> None:
    sweep(shop)
    path = shop / "rows.jsonl"
    path.write_text(path.read_text().replace("plus one", "plus two"))
    found, _ = sweep(shop)
    assert {each.outcome for each in found.tried} == {"trained"}


def test_what_is_edited_by_hand_meanwhile_stays(shop: Path) -> None:
    def edit(progress: Any, _steps: int) -> None:
        path = shop / "registry.toml"
        if progress.step == 3 and "batch_size" not in path.read_text():
            text = path.read_text().replace("max_length = 64", "max_length = 64, batch_size = 4")
            path.write_text(text)

    sweep(shop, {"options.r": (2, 4)})
    sweep(shop, {"learning_rate": (0.02, 0.05)}, edit)
    recipe = Registry.open(shop).adapter("sums").recipe
    assert recipe.training.batch_size == 4
    assert recipe.training.learning_rate in (0.02, 0.05)


def test_a_trial_that_fails_ends_none_of_the_others(shop: Path) -> None:
    space = {"options.target_modules": ("nothing", "all-linear")}
    found, said = sweep(shop, space)
    assert [each.outcome for each in found.tried] == ["failed", "trained"]
    assert found.best == 1
    assert any("Target modules nothing not found" in each for each in said)
    with pytest.raises(TrainingError, match="no trial of 'sums' has a held-out loss"):
        sweep(shop, {"options.target_modules": ("nothing", "naught")})


def test_a_worse_sweep_leaves_the_alias(shop: Path) -> None:
    first, _ = sweep(shop)
    worse, _ = sweep(shop, {"learning_rate": (1e-6, 1e-5)})
    assert worse.better == first.best
    adapter = Registry.open(shop).adapter("sums")
    assert adapter.aliases["best"] == first.best
    assert adapter.recipe.training.learning_rate == 0.05
    assert all_status(Registry.open(shop))[0].state == "current"
    other, _ = sweep(shop, {"learning_rate": (1e-6, 1e-5)}, training={"eval_fraction": 0.3})
    assert other.better is None  # other rows: the losses cannot be compared
    assert Registry.open(shop).adapter("sums").aliases["best"] == other.best


def test_every_trial_goes_on_from_a_version(own: Path) -> None:
    from adapter_hub.training.start import find_start

    start = find_start("sums@1", Registry.open(own))
    found, _ = sweep(own, {"learning_rate": (0.01, 0.02)}, start=start)
    told = lineage(f"sums@{found.best}", registry=Registry.open(own))["versions"][0]["from"]
    assert {each["kind"] for each in told} == {"continued", "varied"}
    again, _ = sweep(own, {"learning_rate": (0.01, 0.02)})
    assert {each.outcome for each in again.tried} == {"trained"}


def test_optuna_draws_and_comes_by_the_same_points_again(shop: Path) -> None:
    pytest.importorskip("optuna")
    space = {"options.r": (2, 4), "learning_rate": Span(1e-4, 0.1)}
    found, _ = sweep(shop, space, draws=4)
    assert len(found.tried) == 4
    assert all(1e-4 <= each.point["learning_rate"] <= 0.1 for each in found.tried)
    again, _ = sweep(shop, space, draws=5)
    assert [each.point for each in again.tried[:4]] == [each.point for each in found.tried]
    assert [each.outcome for each in again.tried] == ["there already"] * 4 + ["trained"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"space": {"steps": (1, 2)}, "training": {"eval_fraction": 0.0}}, "eval_fraction is 0"),
        ({"alias": "3"}, "cannot name an alias"),
        ({"space": {"learning_rate": Span(0.1, 0.2)}}, "a grid needs values"),
    ],
)
def test_what_is_no_sweep(shop: Path, how: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        sweep(shop, **how)
    assert not (shop / "adapters").exists()


def test_the_command(shop: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    flags = ("--base", "llama", "--data", "rows.jsonl", "--steps", "2", "--max-length", "64")
    given = ("sweep", "sums", "-o", "r=2,4", *flags)
    planned = hub(*given, "--dry-run")
    assert planned.code == 0, planned.err
    assert [line.split()[0] for line in planned.out.splitlines()] == ["trial", "r=2", "r=4"]
    done = hub(*given, "--json")
    assert done.code == 0, done.err
    assert sorted(each["varied"]["options.r"] for each in done.json["tried"]) == [2, 4]
    table = hub(*given)
    assert "there already" in table.out
    assert "best" in table.out
    assert hub("run", "sums@best", "Q: 1 plus one?", "--max-new-tokens", "2").code == 0
    for wrong, said in (
        (("sweep", "sums"), "nothing is varied"),
        (("sweep", "sums", "-o", "r=2,4", "-o", "q=1"), "has no option 'q'"),
        (("sweep", "sums", "--steps", "1,x"), "takes integer"),
        (("sweep", "sums", "-o", "r=2..8"), "a grid needs values"),
        (("sweep", "nobody", "-o", "r=2,4"), "has no adapter 'nobody'"),
    ):
        refused = hub(*wrong)
        assert refused.code == 2, wrong
        assert said in refused.err
    assert workshop.journal(shop)[-1]["event"] in ("alias", "train")
