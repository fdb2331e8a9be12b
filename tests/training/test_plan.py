"""What a run will do, settled before anything heavy is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.errors import AdapterHubError, DataError, OptionError, UnknownNameError, UsageError
from adapter_hub.model import Base, Recipe, TrainingSettings, parse_source
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.training.plan import (
    Changes,
    change_recipe,
    data_as_recipe_says,
    make_plan,
    recipe_digest,
    resolved,
)

BASE = Base("llama", parse_source("path:llama"), "sha256:1")
ENTRY = """
[adapters.sums]
base = "llama"
options = { r = 4, target_modules = ["q_proj"] }
data = "rows.jsonl"
training = { epochs = 2, learning_rate = 1e-3 }
"""


def plan(project: Path, name: str = "sums", **changes: Any) -> Any:
    return make_plan(Registry.open(project), name, Changes(**changes), load_catalog())


@pytest.fixture
def recipe(project: Path) -> Path:
    workshop.add_to_registry(project, ENTRY)
    return project


def test_a_recipe_is_planned_as_it_stands(recipe: Path) -> None:
    made = plan(recipe)
    assert (made.name, made.base.name, made.method.name) == ("sums", "llama", "lora")
    assert str(made.data) == "rows.jsonl"
    assert made.recipe.options == {"r": 4, "target_modules": ["q_proj"]}
    assert made.recipe.training.epochs == 2
    assert made.digest == recipe_digest(made.recipe, made.base)


def test_changes_come_on_top(recipe: Path) -> None:
    made = plan(
        recipe, options={"r": 8}, base="gpt2", training={"seed": 3}, column_map={"a": "text"}
    )
    assert made.recipe.options == {"r": 8, "target_modules": ["q_proj"]}
    assert made.base.name == "gpt2"
    assert made.recipe.training == TrainingSettings(epochs=2, learning_rate=1e-3, seed=3)
    assert made.recipe.column_map == {"a": "text"}
    same = change_recipe(made.recipe, Changes(data=made.recipe.data, column_map={"b": "input"}))
    assert same.column_map == {"a": "text", "b": "input"}
    # The columns of other data have other names.
    assert change_recipe(made.recipe, Changes(data="other.jsonl")).column_map == {}


def test_a_new_name_is_an_empty_recipe(project: Path) -> None:
    made = plan(project, "fresh", base="llama", data="shakespeare")
    assert made.recipe == Recipe(base="llama", data="shakespeare")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"base": "lama"}, UnknownNameError, r"no base 'lama' \(did you mean 'llama'\?\)"),
        ({"method": "lorra"}, UnknownNameError, r"no method 'lorra' \(did you mean 'lora'\?\)"),
        ({"data": "shakespear"}, UnknownNameError, "no dataset 'shakespear'"),
        ({"data": "gone.jsonl"}, DataError, r"there is no data file .*gone\.jsonl"),
        ({"eval_data": "gone.jsonl"}, DataError, r"there is no data file .*gone\.jsonl"),
        ({"eval_data": "nothing"}, UnknownNameError, "no dataset 'nothing'"),
        ({"options": {"rr": 4}}, OptionError, "no option 'rr'"),
        ({"options": {"r": "four"}}, OptionError, "option 'r' takes integer"),
        ({"training": {"epochs": 0}}, UsageError, "epochs must be more than 0"),
        ({"training": {"batch_size": 0}}, UsageError, "batch_size must be at least 1"),
        ({"training": {"learning_rate": float("nan")}}, UsageError, "a finite number"),
        ({"training": {"eval_fraction": 1.0}}, UsageError, "from 0 to below 1"),
    ],
)
def test_what_cannot_be_done_is_refused(
    recipe: Path, changes: dict[str, Any], error: type[AdapterHubError], words: str
) -> None:
    with pytest.raises(error, match=words):
        plan(recipe, **changes)


def test_a_recipe_must_say_what_and_on_what(project: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"registry\.toml has no adapter 'fresh'"):
        plan(project, "fresh")
    with pytest.raises(UsageError, match="the recipe of 'fresh' names no data"):
        plan(project, "fresh", base="llama")
    with pytest.raises(UsageError, match="cannot name an adapter"):
        plan(project, "a/b", base="llama", data="rows.jsonl")


def test_data_on_the_hub_is_not_looked_up(project: Path) -> None:
    assert plan(project, base="llama", data="hf:nobody/nothing").data.name == "hf:nobody/nothing"


def test_another_method_starts_with_no_options() -> None:
    recipe = Recipe(options={"r": 4})
    assert change_recipe(recipe, Changes(method="ia3")).options == {}
    assert change_recipe(recipe, Changes(method="lora")).options == {"r": 4}
    assert change_recipe(recipe, Changes(method="ia3", options={"x": 1})).options == {"x": 1}


def test_steps_and_epochs_replace_each_other() -> None:
    stepped = Recipe(training=TrainingSettings(steps=5))
    assert change_recipe(stepped, Changes(training={"epochs": 2.0})).training.steps is None
    passed = Recipe(training=TrainingSettings(epochs=3))
    changed = change_recipe(passed, Changes(training={"steps": 7})).training
    assert (changed.steps, changed.epochs) == (7, 1.0)


def test_a_digest_is_of_the_meaning() -> None:
    whole = Recipe(base="llama", data="x.txt", options={"r": 8, "lora_alpha": 16})
    same = Recipe(
        base="llama",
        data="x.txt",
        options={"lora_alpha": 16.0, "r": 8},
        training=TrainingSettings(epochs=1),
    )
    assert recipe_digest(whole, BASE) == recipe_digest(same, BASE)
    listed = Recipe(options={"target_modules": ["a", "b"]})
    assert recipe_digest(listed, BASE) == recipe_digest(
        Recipe(options={"target_modules": ("a", "b")}), BASE
    )


@pytest.mark.parametrize(
    "other",
    [
        Recipe(data="y.txt"),
        Recipe(eval_data="x.txt"),
        Recipe(data_options={"limit": 1}),
        Recipe(options={"r": 9}),
        Recipe(method="ia3"),
        Recipe(column_map={"a": "b"}),
        Recipe(training=TrainingSettings(seed=1)),
        Recipe(training=TrainingSettings(steps=1)),
    ],
)
def test_a_digest_sees_every_setting(other: Recipe) -> None:
    assert recipe_digest(other, BASE) != recipe_digest(Recipe(), BASE)


def test_a_digest_without_data_options_is_what_it_was_before_there_were_any() -> None:
    assert "data_options" not in resolved(Recipe(), BASE)
    assert (
        recipe_digest(Recipe(data="x.txt"), BASE)
        == "sha256:812c813cfbd5a53bb2da4af3eb988f9834f77fa623d4093c37983a6c72f3e0c6"
    )


def test_a_digest_sees_the_base_but_not_its_name() -> None:
    renamed = Base("other", BASE.source, BASE.revision)
    moved = Base("llama", BASE.source, "sha256:2")
    assert recipe_digest(Recipe(base="other"), renamed) == recipe_digest(Recipe(), BASE)
    assert recipe_digest(Recipe(), moved) != recipe_digest(Recipe(), BASE)


def test_the_resolved_recipe_has_every_default() -> None:
    told = resolved(Recipe(), BASE)
    assert told["base"] == {"source": "path:llama", "revision": "sha256:1"}
    assert told["training"]["batch_size"] == 8
    assert told["training"]["schedule"] == "cosine"


def test_a_file_is_named_from_the_registry(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "registry.toml").write_text("schema = 1\n")
    registry = Registry.open(tmp_path)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert data_as_recipe_says("../x.jsonl", registry) == "x.jsonl"
    assert data_as_recipe_says("x.jsonl", registry) == "sub/x.jsonl"
    assert data_as_recipe_says("/data/x.jsonl", registry) == "/data/x.jsonl"
    assert data_as_recipe_says("hf:me/rows", registry) == "hf:me/rows"
    assert data_as_recipe_says("shakespeare", registry) == "shakespeare"


def test_a_plan_needs_nothing_heavy(recipe: Path) -> None:
    script = (
        "import sys\n"
        "from adapter_hub.plugins import load_catalog\n"
        "from adapter_hub.registry.store import Registry\n"
        "from adapter_hub.training.plan import Changes, make_plan\n"
        "make_plan(Registry.open(), 'sums', Changes(), load_catalog())\n"
        "print(sorted({'torch', 'peft', 'transformers', 'datasets', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=recipe
    )
    assert done.stdout == "[]\n", done.stderr
