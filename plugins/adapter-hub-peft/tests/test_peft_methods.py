"""Every method of the installed peft: offered, trained, saved, loaded again; or refused with a reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import adapter_hub_peft
import pytest
from adapter_hub_peft import special
from adapter_hub_peft.found import find_methods

from adapter_hub.errors import Interrupted, OptionError
from adapter_hub.options import check_options
from adapter_hub.plugins import Catalog
from adapter_hub.registry.store import Registry
from adapter_hub.testing import (
    assert_method_round_trips,
    catalog_with,
    check_plugin,
    run_training,
    trained_model,
)

pytest_plugins = ["adapter_hub.testing"]
# PEFT warns of what it does at many layers, and of the ranks it has just saved itself.
pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore:The following rank_pattern keys:RuntimeWarning"
)

METHODS = [found.name for found in find_methods() if found.name != "lora"]
WIDTH_OPTIONS: dict[str, dict[str, Any]] = {
    "adaption_prompt": {"adapter_len": 4, "adapter_layers": 2},
    "c3a": {"block_size": 8},
    "fourierft": {"n_frequency": 100},
    "miss": {"r": 8},
    "psoft": {"r": 4},
    "road": {"group_size": 8},
    "shira": {"r": 2},
    "trainable_tokens": {"token_indices": [1, 2, 3]},
    "vblora": {"vector_length": 8},
    "waveft": {"n_frequency": 100},
}
"""Where peft's defaults do not fit a base that is 32 wide, or there are none."""


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return catalog_with(adapter_hub_peft)


@pytest.fixture
def shop(tiny_registry: Registry) -> Path:
    return tiny_registry.folder


def train(shop: Path, catalog: Catalog, method: str, name: str, **how: Any) -> Any:
    """Train and return the model as it is in memory at the end."""
    options = {**WIDTH_OPTIONS.get(method, {}), **how.pop("options", {})}
    return trained_model(shop, catalog, method, name=name, options=options, **how)


def test_it_is_a_plugin_as_the_kit_wants_it() -> None:
    check_plugin(adapter_hub_peft)


def test_what_the_source_tells_is_what_peft_registers() -> None:
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    registered = {
        (kind.value, config.__name__)
        for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()
        if isinstance(kind, PeftType)  # not what a plugin has added
    }
    assert {(each.name.upper(), each.config) for each in find_methods()} >= registered


def test_the_tables_name_no_method_that_peft_does_not_have() -> None:
    for table in (
        special.SUMMARIES,
        special.CANNOT,
        special.REQUIRED,
        special.DEFAULTS,
        special.HOOKS,
    ):
        assert set(table) <= set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_options_have_types_and_help(catalog: Catalog, method: str) -> None:
    options = {each.name: each for each in catalog.find("method", method).options()}
    assert options
    assert not options.keys() & {"peft_type", "task_type", *special.HIDDEN}
    if method in special.CANNOT:
        return
    helpless = [each.name for each in options.values() if not each.help]
    assert len(helpless) <= len(options) // 4, helpless
    check_options(options.values(), WIDTH_OPTIONS.get(method, {}), owner=method)


@pytest.mark.slow
@pytest.mark.parametrize("method", [each for each in METHODS if each not in special.CANNOT])
def test_it_trains_and_loads_again_as_it_was(tiny_bases: dict[str, Path], method: str) -> None:
    if method == "adamss":
        pytest.importorskip("sklearn", reason="AdaMSS needs scikit-learn")
    options = WIDTH_OPTIONS.get(method)
    base = tiny_bases["llama"]
    assert_method_round_trips(method, options, plugin=adapter_hub_peft, base=base)


@pytest.mark.parametrize("method", sorted(special.CANNOT))
def test_what_cannot_be_trained_is_refused_with_its_reason(
    shop: Path, catalog: Catalog, method: str
) -> None:
    assert special.CANNOT[method] in catalog.find("method", method).summary
    with pytest.raises(OptionError, match="cannot be trained here") as caught:
        train(shop, catalog, method, "it")
    assert special.CANNOT[method] in str(caught.value)


def test_a_missing_package_is_named(shop: Path, catalog: Catalog) -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        with pytest.raises(OptionError, match="scikit-learn is required"):
            train(shop, catalog, "adamss", "it")
    else:
        train(shop, catalog, "adamss", "it")


def test_what_peft_refuses_is_said(shop: Path, catalog: Catalog) -> None:
    with pytest.raises(OptionError, match=r"Conv1D.* is not supported"):
        train(shop, catalog, "oft", "it", base="gpt2")
    with pytest.raises(OptionError, match="needs option 'adapter_len', 'adapter_layers'"):
        run_training(shop, method="adaption_prompt", catalog=catalog)


@pytest.fixture
def adalora() -> dict[str, Any]:
    return {"init_r": 6, "target_r": 2, "tinit": 1, "tfinal": 2, "deltaT": 1}


def test_adalora_brings_its_ranks_down(
    shop: Path, catalog: Catalog, adalora: dict[str, Any]
) -> None:
    # With held-out rows, an earlier step may be the best one, and its ranks are kept.
    model = train(shop, catalog, "adalora", "it", options=adalora, steps=8, eval_fraction=0)
    ranks = [sum(kept) for kept in model.active_peft_config.rank_pattern.values()]
    assert sum(ranks) == 2 * len(ranks)
    assert model.active_peft_config.total_step == 8


def test_adalora_goes_on_where_it_was(
    shop: Path, catalog: Catalog, adalora: dict[str, Any]
) -> None:
    def stop(progress: Any, _steps: int) -> None:
        if progress.step == 5:
            os.kill(os.getpid(), 2)

    how: dict[str, Any] = {"options": adalora, "steps": 8}
    train(shop, catalog, "adalora", "whole", **how)
    with pytest.raises(Interrupted):
        train(shop, catalog, "adalora", "parts", on_step=stop, **how)
    train(shop, catalog, "adalora", "parts", resume=True, **how)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        whole, parts = (shop / f"adapters/{each}/1/{name}" for each in ("whole", "parts"))
        assert whole.read_bytes() == parts.read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"tinit": 3, "tfinal": 2}, "leave none of the 5 steps"), ({"target_r": 12}, "must be below")],
)
def test_a_schedule_without_room_is_refused(
    shop: Path, catalog: Catalog, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        train(shop, catalog, "adalora", "it", options=options, steps=5)
