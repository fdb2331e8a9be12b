"""Methods, trained for real on a tiny base, saved, and loaded again by plain PEFT."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from adapter_hub.hookspecs import TrainHooks
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.testing.models import save_llama
from adapter_hub.testing.workshop import SUMS, run_training, write_rows

if TYPE_CHECKING:
    import torch

STEPS = 3
LEARNING_RATE = 1e-3


def catalog_with(*plugins: ModuleType) -> Catalog:
    """What is built in and what ``plugins`` offer, whether or not they are installed.

    Raises PluginError for a plugin that adapter-hub would refuse.
    """
    catalog = load_catalog()
    for plugin in plugins:
        module = plugin.__name__.partition(".")[0]
        distribution = metadata.packages_distributions().get(module, [module.replace("_", "-")])[0]
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            version = "0"
        catalog.add_plugin(plugin, module.removeprefix("adapter_hub_"), distribution, version)
    return catalog


def assert_method_round_trips(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    plugin: ModuleType | None = None,
    base: Path | None = None,
    **settings: Any,
) -> None:
    """Train ``name`` for a few steps, save, load with plain PEFT, and compare the answers.

    The method is an installed one, or one of ``plugin``. ``base`` is a model's folder, else a
    random Llama 32 wide. ``settings`` are of the training: ``steps``, ``learning_rate``, …

    Raises AssertionError in a sentence where the adapter changes nothing of what the base
    answers, or is another one after it was loaded; and what ``train`` raises.
    """
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    catalog = catalog_with(plugin) if plugin else load_catalog()
    with tempfile.TemporaryDirectory(prefix="adapter-hub-testing-") as temporary:
        folder = Path(temporary)
        source = base or save_llama(folder / "base")
        # Named by its whole path, so that plain PEFT finds it from anywhere.
        entry = f"[bases.llama]\nsource = {json.dumps(f'path:{source.resolve()}')}\n"
        (folder / "registry.toml").write_text(f"schema = 1\n{entry}", encoding="utf-8")
        write_rows(folder / "rows.jsonl", SUMS)
        trained = logits_of(trained_model(folder, catalog, name, options=options, **settings))
        plain = logits_of(AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32))
        if torch.equal(trained, plain):
            raise AssertionError(
                f"method {name!r} was trained and answers exactly as the base does."
            )
        saved = folder / "adapters/it/1"
        loaded = logits_of(AutoPeftModelForCausalLM.from_pretrained(saved, dtype=torch.float32))
    if not torch.allclose(loaded, trained, rtol=1e-4, atol=1e-5):
        most = (loaded - trained).abs().max().item()
        raise AssertionError(
            f"method {name!r} is another one after it was saved and loaded: logits differ by up "
            f"to {most:.2g}. What it trains is not all in adapter_model.safetensors, or its "
            "configuration is not all in adapter_config.json."
        )


def trained_model(
    folder: Path,
    catalog: Catalog,
    method: str,
    *,
    name: str = "it",
    options: Mapping[str, Any] | None = None,
    **how: Any,
) -> Any:
    """Train as ``run_training`` does and return the ``PeftModel`` as it is in memory at the end."""
    offer = catalog.find("method", method)
    models: list[Any] = []

    def watching() -> TrainHooks:
        """The method's own hooks; they leave the model here too."""
        hooks = offer.train_hooks()
        own = hooks.after_step

        def after_step(model: Any, step: int) -> None:
            models.append(model)
            own(model, step)

        vars(hooks)["after_step"] = after_step
        return hooks

    watched: Any = dataclasses.replace(offer, hooks=watching)  # type: ignore[arg-type]
    seen = dataclasses.replace(catalog, offers={**catalog.offers, "method": {method: watched}})
    settings = {"steps": STEPS, "learning_rate": LEARNING_RATE, **how}
    run_training(folder, name, method=method, catalog=seen, options=dict(options or {}), **settings)
    return models[-1]


def logits_of(model: Any) -> torch.Tensor:
    """The logits of ten fixed tokens, (1, 10, vocabulary); those of virtual tokens are left out."""
    import torch

    ids = torch.arange(5, 15).reshape(1, 10)
    with torch.no_grad():
        out = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    logits: torch.Tensor = out.logits[:, -ids.shape[1] :]
    return logits
