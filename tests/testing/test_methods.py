"""Round trips of methods that survive them, and of methods that do not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import peft
import pytest

from adapter_hub import hookimpl
from adapter_hub.errors import OptionError, PluginError, UnknownNameError
from adapter_hub.hookspecs import TrainHooks
from adapter_hub.testing import assert_method_round_trips, catalog_with


def plugin_with(*arguments: Any, **keywords: Any) -> ModuleType:
    """A plugin that offers one method."""
    module = ModuleType("adapter_hub_made_up")

    def register_methods(register: Callable[..., None]) -> None:
        register(*arguments, **keywords)

    vars(module)["register_methods"] = hookimpl(register_methods)
    return module


def test_lora_round_trips() -> None:
    assert_method_round_trips("lora", {"target_modules": "all-linear"}, learning_rate=0.01)


def test_a_method_of_a_plugin_on_another_base(tiny_bases: dict[str, Path]) -> None:
    plugin = plugin_with("scales", "peft:IA3Config", peft_type="IA3")
    assert_method_round_trips("scales", plugin=plugin, base=tiny_bases["gpt2"], steps=2)


class Scaled(peft.LoraConfig):
    """LoRA whose layers are changed while it trains, which no file tells."""


class Doubling(TrainHooks):
    def after_step(self, model: Any, step: int) -> None:
        for module in model.modules():
            if isinstance(module, peft.tuners.lora.Linear):
                module.scaling["default"] = 20.0


class Forgetting(TrainHooks):
    def after_step(self, model: Any, step: int) -> None:
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                weights.data.zero_()


def test_what_is_not_saved_is_noticed() -> None:
    plugin = plugin_with("scaled", peft.LoraConfig, hooks=Doubling)
    with pytest.raises(AssertionError, match=r"another one after it was saved and loaded: logits"):
        assert_method_round_trips("scaled", plugin=plugin, learning_rate=0.01)


def test_what_changes_nothing_is_noticed() -> None:
    plugin = plugin_with("forgets", peft.LoraConfig, hooks=Forgetting)
    with pytest.raises(AssertionError, match="answers exactly as the base does"):
        assert_method_round_trips("forgets", plugin=plugin)


def test_errors_are_those_of_training() -> None:
    with pytest.raises(UnknownNameError, match="there is no method 'nothing'"):
        assert_method_round_trips("nothing")
    with pytest.raises(OptionError, match="has no option 'rank'"):
        assert_method_round_trips("lora", {"rank": 8})


def test_a_catalog_has_what_is_built_in_and_the_plugins() -> None:
    catalog = catalog_with(plugin_with("scales", "peft:IA3Config"))
    assert catalog.find("method", "lora")
    offer = catalog.find("method", "scales")
    assert (offer.plugin, offer.distribution, offer.version) == (
        "made_up",
        "adapter-hub-made-up",
        "0",
    )
    with pytest.raises(PluginError, match="already built in"):
        catalog_with(plugin_with("lora", "peft:LoraConfig"))


def test_an_installed_plugin_is_called_what_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "other_name-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-name\nVersion: 1.2\n")
    (info / "top_level.txt").write_text("adapter_hub_made_up\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    offer = catalog_with(plugin_with("scales", "peft:IA3Config")).find("method", "scales")
    assert (offer.distribution, offer.version) == ("other-name", "1.2")
