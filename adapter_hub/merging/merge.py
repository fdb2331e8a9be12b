"""``merge NAME REF[:W]…``: LoRA adapters of one base composed into a new version.

The arithmetic is PEFT's ``add_weighted_adapter``. What it takes from the first adapter alone, such
as how the update is scaled, is told to it plainly first, and what was written is loaded again on a
clean base and compared with the sum of the parts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import IncompatibleError, RegistryError
from adapter_hub.loading.adapters import Opened, open_reference
from adapter_hub.loading.bases import load_model
from adapter_hub.loading.folders import CONFIG
from adapter_hub.loading.heads import adapter_head
from adapter_hub.loading.identity import base_identity, read_json
from adapter_hub.loading.logits import largest_difference, logits, noise_of, probes
from adapter_hub.loading.plain_lora import pairs
from adapter_hub.loading.saving import base_in_config, sort_sets, travelling, write_record
from adapter_hub.merging.parts import Part, Settings, check_merge, check_parts, density_of, is_exact
from adapter_hub.model import Base, Recipe, Version
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import (
    file_digests,
    publish_version,
    staging_folder,
    version_digest,
)

if TYPE_CHECKING:
    import torch

_MERGED = "merged"


@dataclass(frozen=True)
class Merged:
    """What ``merge --json`` prints.

    ``largest_logit_difference`` is between the version, loaded again, and the weighted sum of its
    parts; where the way is ``exact`` it is no more than float32 rounds off.
    """

    name: str
    version: int
    digest: str
    path: str
    rank: int
    exact: bool
    largest_logit_difference: float
    tolerance: float


def merge(
    name: str,
    parts: Sequence[Part],
    settings: Settings | None = None,
    *,
    registry: Registry | None = None,
    catalog: Catalog | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Merged:
    """Compose ``parts`` into a new version of ``name``.

    A new name gets the base and the shape of the result as its recipe, without data; one that is
    there keeps its own. Raises UsageError, UnknownNameError, ConflictError, IncompatibleError
    before anything is loaded where that can be told; then BaseModelError, IncompatibleError,
    RegistryError, and nothing is registered.
    """
    settings = settings or Settings()
    registry = registry or Registry.open()
    check_merge(name, parts, settings, registry)
    opened = [open_reference(each.reference, registry, catalog or load_catalog()) for each in parts]
    check_parts(name, opened, settings, registry)
    base = opened[0].base
    say(f"base {base.name} ({base.source}) in float32")
    with staging_folder(registry, name) as folder:
        expected = _write(opened, parts, settings, folder)
        config = read_json(folder / CONFIG)
        difference, tolerance = _compared(opened[0], folder, expected)
        exact = is_exact(settings, opened)
        if exact and difference > tolerance:
            raise IncompatibleError(
                f"the merged adapter differs from the sum of its parts by {difference:.2g}, where "
                f"{tolerance:.2g} may be rounding; nothing was registered.",
                hint="this should not happen: please report it, with the adapters' configurations",
            )
        created = datetime.now(timezone.utc).replace(microsecond=0)
        try:
            write_record(folder, _record(name, opened, parts, settings, created))
        except OSError as error:
            raise RegistryError(
                f"{folder} cannot be written: {error.strerror or error}."
            ) from error
        version = Version(number=0, created=created, files=file_digests(folder))
        recipe = None if registry.has_adapter(name) else _recipe(base, config)
        number = publish_version(registry, name, folder, version, recipe, event="merge")
    return Merged(
        name=name,
        version=number,
        digest=version_digest(version.files),
        path=str(registry.version_folder(name, number)),
        rank=int(config["r"]),
        exact=exact,
        largest_logit_difference=difference,
        tolerance=tolerance,
    )


def _write(
    opened: Sequence[Opened], parts: Sequence[Part], settings: Settings, folder: Path
) -> list[torch.Tensor]:
    """Save the merged adapter; the logits of the weighted sum of its parts, [1, tokens, V] each."""
    import torch

    names = [f"part{number}" for number in range(len(opened))]
    weights = [each.weight for each in parts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _with_parts(opened, names)
        expected = _logits_of_sum(model, names, weights)
        for name, each in zip(names, opened, strict=True):
            model.peft_config[name] = _plainly(model.peft_config[name], each)
        torch.manual_seed(settings.seed)
        try:
            model.base_model.add_weighted_adapter(
                names,
                weights,
                _MERGED,
                combination_type=settings.how,
                svd_rank=settings.rank,
                svd_full_matrices=False,
                density=density_of(settings),
                majority_sign_method=settings.majority_sign or "total",
            )
        except (ValueError, TypeError, RuntimeError) as error:
            raise IncompatibleError(
                f"PEFT cannot merge these: {' '.join(str(error).split())}", hint="--how cat"
            ) from error
        _save(model, opened[0].base, folder)
    return expected


def _with_parts(opened: Sequence[Opened], names: Sequence[str]) -> Any:
    import torch
    from peft import PeftModel

    first = opened[0]
    model: Any = load_model(first.base_folder, torch.float32, first.base.trust_remote_code)
    for name, each in zip(names, opened, strict=True):
        if name == names[0]:
            model = PeftModel.from_pretrained(model, str(each.folder), adapter_name=name)
        else:
            model.load_adapter(str(each.folder), adapter_name=name)
    return model.eval()


def _logits_of_sum(
    model: Any, names: Sequence[str], weights: Sequence[float]
) -> list[torch.Tensor]:
    """With all parts switched on at once, each as strong as its weight says."""
    from peft.tuners.lora.layer import LoraLayer

    layers = [each for each in model.modules() if isinstance(each, LoraLayer)]
    before = [dict(each.scaling) for each in layers]
    try:
        for layer in layers:
            for name, weight in zip(names, weights, strict=True):
                if name in layer.scaling:
                    layer.scaling[name] *= weight
        model.base_model.set_adapter(list(names), inference_mode=True)
        return logits(model, probes(model, {}))
    finally:
        for layer, scaling in zip(layers, before, strict=True):
            layer.scaling.update(scaling)


def _plainly(config: Any, opened: Opened) -> Any:
    """The modules by their names, and nothing that would scale or place the result otherwise.

    PEFT gives the result the first part's configuration with alpha = r: scaled by 1 only without
    rsLoRA. The parts' own scales are in their layers already.
    """
    assert opened.folder is not None
    return replace(
        config,
        target_modules={each.module for each in pairs(adapter_head(opened.folder))},
        exclude_modules=None,
        layers_to_transform=None,
        layers_pattern=None,
        use_rslora=False,
        init_lora_weights=True,
    )


def _save(model: Any, base: Base, folder: Path) -> None:
    """``save_pretrained`` of the one adapter, with the base named as the registry names it."""
    config = model.peft_config[_MERGED]
    named, revision = base_in_config(base)
    config.base_model_name_or_path, config.revision = named, revision
    base_model = model.get_base_model()
    base_model.config._name_or_path = base_model.name_or_path = named
    try:
        model.save_pretrained(
            folder,
            safe_serialization=True,
            selected_adapters=[_MERGED],
            save_embedding_layers=False,
        )
        for path in (folder / _MERGED).iterdir():  # PEFT gives every name but "default" a folder
            path.rename(folder / path.name)
        (folder / _MERGED).rmdir()
        sort_sets(folder / CONFIG, config)
    except Exception as error:
        # safetensors reports a full disk in its own error class.
        raise RegistryError(
            f"the version cannot be saved: {error}; nothing was registered."
        ) from error


def _compared(first: Opened, folder: Path, expected: Sequence[torch.Tensor]) -> tuple[float, float]:
    """The largest difference of what was written, on a clean base, and what may be rounding."""
    model = _with_parts([replace(first, folder=folder)], ["reloaded"])
    found = logits(model, probes(model, {}))
    return largest_difference(expected, found), noise_of(expected)


def _recipe(base: Base, config: dict[str, Any]) -> Recipe:
    options = {"r": config["r"], "lora_alpha": config["lora_alpha"]}
    return Recipe(
        base=base.name, options={**options, "target_modules": sorted(config["target_modules"])}
    )


def _record(
    name: str,
    opened: Sequence[Opened],
    parts: Sequence[Part],
    settings: Settings,
    created: datetime,
) -> dict[str, Any]:
    base = opened[0].base
    prunes = density_of(settings)
    return {
        "adapter": name,
        "parents": [
            {
                "kind": "merged",
                "reference": _named(each),
                "digest": each.digest,
                "weight": part.weight,
            }
            for each, part in zip(opened, parts, strict=True)
        ],
        "merge": {**asdict(settings), "density": prunes},
        "base": {
            "name": base.name,
            "source": str(base.source),
            "revision": base.revision,
            "identity": base_identity(opened[0].base_folder).as_record(),
        },
        "method": {"name": "lora", "peft_type": "LORA"},
        "created": created.isoformat().replace("+00:00", "Z"),
    }


def _named(opened: Opened) -> str:
    """``NAME@3``: where an alias points may change."""
    if opened.reference.kind == "name":
        return f"{opened.reference.target}@{opened.version}"
    return travelling(opened.reference)
