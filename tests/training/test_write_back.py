"""What a training run writes into the recipe it trained: what its flags changed, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.errors import UsageError
from adapter_hub.model import Recipe
from adapter_hub.registry.store import Registry
from adapter_hub.training.plan import Changes, change_recipe
from adapter_hub.training.status import adapter_status

RECIPE = """
# mine
[adapters.sums]
base = "llama"
data = "rows.jsonl"  # by hand
options = { r = 4, lora_alpha = 8 }
training = { epochs = 1, steps = 2, learning_rate = 2e-4, max_length = 64, dtype = "float32" }
"""


def train(shop: Path, **how: Any) -> str:
    """Train ``sums`` as its recipe says but for ``how``; the entry's text, without the version."""
    from adapter_hub.training.train import train

    train("sums", Changes(**how), registry=Registry.open(shop))
    return (shop / "registry.toml").read_text().partition("[adapters.sums.versions.1]")[0]


def states(shop: Path) -> list[str]:
    registry = Registry.open(shop)
    return [adapter_status(registry, each).state for each in registry.adapters()]


@pytest.fixture
def by_hand(shop: Path) -> Path:
    with (shop / "registry.toml").open("a") as file:
        file.write(RECIPE)
    return shop


def test_without_flags_the_recipe_stays_byte_for_byte(by_hand: Path) -> None:
    before = (by_hand / "registry.toml").read_text()
    assert train(by_hand).rstrip() == before.rstrip()


def test_a_setting_that_goes_back_to_its_default_leaves_the_recipe(by_hand: Path) -> None:
    text = train(by_hand, training={"epochs": 0.1})
    assert "steps" not in text
    assert "epochs = 0.1" in text
    assert states(by_hand) == ["current"]


def test_options_are_merged_key_by_key(by_hand: Path) -> None:
    text = train(by_hand, options={"r": 2})
    assert "options = { r = 2, lora_alpha = 8 }" in text or "lora_alpha = 8, r = 2" in text
    assert 'data = "rows.jsonl"  # by hand' in text


def test_what_was_edited_meanwhile_stays(by_hand: Path) -> None:
    path = by_hand / "registry.toml"

    def edit(*_step: Any) -> None:
        text = path.read_text()
        path.write_text(text.replace("learning_rate = 2e-4", "learning_rate = 3e-4"))

    workshop.run_training(by_hand, on_step=edit, steps=1, learning_rate=2e-4, base=None, data=None)
    text = path.read_text()
    assert "learning_rate = 3e-4" in text or "learning_rate = 0.0003" in text
    assert "steps = 1" in text
    assert states(by_hand) == ["stale"]


def test_a_split_and_a_file_of_held_out_rows_replace_each_other() -> None:
    recipe = change_recipe(Recipe(), Changes(eval_data="other.jsonl"))
    recipe = change_recipe(recipe, Changes(training={"eval_fraction": 0.5}))
    assert recipe.eval_data is None
    recipe = change_recipe(recipe, Changes(eval_data="other.jsonl"))
    assert recipe.training.eval_fraction is None


@pytest.mark.parametrize("flag", ["base", "method", "data", "eval_data"])
def test_an_empty_flag_is_refused(by_hand: Path, flag: str) -> None:
    """Such as an unset variable of a shell script."""
    with pytest.raises(UsageError, match=f"--{flag.replace('_', '-')} is empty"):
        train(by_hand, **{flag: ""})
