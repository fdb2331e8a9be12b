"""``merge``: the exact sum where it must be, a sentence where it cannot, and nothing half-made."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import workshop
from workshop import run_training

from adapter_hub.cli.merge import _HOWS
from adapter_hub.errors import (
    AdapterHubError,
    ConflictError,
    IncompatibleError,
    UnknownNameError,
    UsageError,
)
from adapter_hub.loading.adapters import load, open_reference
from adapter_hub.loading.bases import load_model
from adapter_hub.merging import merge as merging
from adapter_hub.merging.merge import Merged, merge
from adapter_hub.merging.parts import HOWS, Part, Settings, parse_part
from adapter_hub.model import parse_reference
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.lineage import lineage
from adapter_hub.registry.store import Registry
from adapter_hub.registry.verify import verify
from adapter_hub.training.status import all_status

IDS = torch.tensor([[5, 9, 40, 41, 7, 30, 12]])
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"r": 4, "lora_alpha": 8},
    "same": {"r": 4, "lora_alpha": 16},
    "wide": {"r": 8, "target_modules": "all-linear"},
    "rs": {"r": 4, "lora_alpha": 8, "use_rslora": True},
    "patterns": {
        "r": 4,
        "target_modules": "all-linear",
        "rank_pattern": {"q_proj": 6},
        "alpha_pattern": {"v_proj": 3},
    },
    "layered": {"r": 2, "target_modules": ["q_proj"], "layers_to_transform": [1]},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, bases: dict[str, Path]) -> Path:
    folder = workshop.make_workshop(tmp_path_factory.mktemp("merge"), bases, "llama", "gpt2")
    for name, options in KINDS.items():
        run_training(folder, name, options=options, steps=3, seed=len(name))
    run_training(folder, "dora", options={"use_dora": True}, steps=1)
    run_training(folder, "biased", options={"modules_to_save": ["model.norm"]}, steps=1)
    run_training(folder, "elsewhere", base="gpt2", steps=1)
    return folder


def merged(folder: Path, *parts: str, name: str = "both", **settings: Any) -> Merged:
    return merge(
        name,
        [parse_part(each) for each in parts],
        Settings(**settings),
        registry=Registry.open(folder),
    )


def logits(folder: Path, reference: str) -> torch.Tensor:
    opened = open_reference(parse_reference(reference), Registry.open(folder), load_catalog())
    with torch.no_grad():
        found: torch.Tensor = load(opened, torch.float32)[0](input_ids=IDS).logits
    return found


def sum_of(folder: Path, **weights: float) -> torch.Tensor:
    """The logits of a base whose weights have each adapter's update added, by PEFT's own merge."""
    base = load_model(folder / "bases/llama", torch.float32)
    clean = {name: each.clone() for name, each in base.state_dict().items()}
    added = {name: each.clone() for name, each in clean.items()}
    for name, weight in weights.items():
        opened = open_reference(parse_reference(name), Registry.open(folder), load_catalog())
        whole = load(opened, torch.float32)[0].merge_and_unload().state_dict()
        for key in added:
            added[key] += weight * (whole[key] - clean[key])
    base.load_state_dict(added)
    with torch.no_grad():
        found: torch.Tensor = base.eval()(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("one, other", list(itertools.combinations(KINDS, 2)))  # noqa: PT006
def test_cat_is_the_sum(shop: Path, one: str, other: str) -> None:
    done = merged(shop, f"{one}:0.7", f"{other}:-1.5")
    assert done.exact
    assert done.largest_logit_difference <= done.tolerance
    torch.testing.assert_close(
        logits(shop, f"both@{done.version}"), sum_of(shop, **{one: 0.7, other: -1.5}), rtol=1e-4, atol=1e-4
    )  # fmt: skip


def test_svd_is_the_sum_where_its_rank_is_enough(shop: Path) -> None:
    done = merged(shop, "plain", "rs:2", how="svd", rank=8)
    assert (done.exact, done.rank) == (True, 8)
    rough = merged(shop, "plain", "rs:2", how="svd", rank=1)
    assert not rough.exact
    assert rough.largest_logit_difference > done.largest_logit_difference


@pytest.mark.parametrize("how", [each for each in HOWS if each not in ("cat", "svd")])
def test_every_other_way_makes_a_version_that_runs(shop: Path, how: Any) -> None:
    done = merged(shop, "plain", "same:0.5", how=how)
    assert not done.exact
    assert done.rank == 4
    assert torch.isfinite(logits(shop, f"both@{done.version}")).all()
    again = merged(shop, "plain", "same:0.5", how=how)
    files = [
        (shop / f"adapters/both/{number}/adapter_model.safetensors").read_bytes()
        for number in (done.version, again.version)
    ]
    assert files[0] == files[1]


def test_another_seed_drops_other_numbers(shop: Path) -> None:
    one, two = (merged(shop, "plain", "same", how="dare_linear", seed=seed) for seed in (0, 1))
    assert not torch.equal(logits(shop, f"both@{one.version}"), logits(shop, f"both@{two.version}"))


def test_what_is_registered(shop: Path) -> None:
    done = merged(shop, "plain@1", "wide:0.5", name="known")
    registry = Registry.open(shop)
    recipe = registry.adapter("known").recipe
    assert (recipe.base, recipe.method, recipe.data) == ("llama", "lora", None)
    assert recipe.options["r"] == done.rank == 12
    told = lineage("known", registry=registry)["versions"][0]["from"]
    assert [(each["kind"], each["reference"], each["here"]) for each in told] == [
        ("merged", "plain@1", True), ("merged", "wide@1", True),
    ]  # fmt: skip
    record = json.loads((shop / "adapters/known/1/adapter_hub.json").read_text())
    assert [each["weight"] for each in record["parents"]] == [1.0, 0.5]
    assert record["merge"]["how"] == "cat"
    assert not any(each.problems for each in verify(["known"], registry=registry))
    assert all_status(registry, ["known"])[0].state == "current"
    assert workshop.journal(shop)[-1] == {"event": "merge", "adapter": "known", "version": 1}
    config = (shop / "adapters/known/1/adapter_config.json").read_text()
    assert str(shop) not in config
    merged(shop, str(shop / "adapters/plain/1"), "same", name="foreign")
    assert str(shop) not in (shop / "adapters/foreign/1/adapter_hub.json").read_text()
    again = merged(shop, "known", "same", name="biased")
    assert again.version == 2
    assert Registry.open(shop).adapter("biased").recipe.data == "rows.jsonl"  # its own, as it was


@pytest.mark.parametrize(
    ("parts", "settings", "error", "said"),
    [
        (("plain",), {}, UsageError, "two adapters or more"),
        (("plain", "plain"), {}, UsageError, "given twice"),
        (("plain", "base:llama"), {}, UsageError, "is a base"),
        (("plain", "nobody"), {}, UnknownNameError, "nobody"),
        (("plain", "dora"), {}, IncompatibleError, "its method is DoRA"),
        (("plain", "biased@1"), {}, IncompatibleError, "it brings whole modules"),
        (
            ("plain", "elsewhere"),
            {},
            IncompatibleError,
            "different bases: plain on llama, elsewhere",
        ),
        (("plain", "wide"), {"how": "linear"}, IncompatibleError, "plain 4, wide 8"),
        (("same", "patterns"), {"how": "ties"}, IncompatibleError, "patterns 4/6"),
        (("plain", "same"), {"how": "mean"}, UsageError, "no way 'mean'"),
        (("plain", "same"), {"rank": 4}, UsageError, "cat takes no --rank"),
        (("plain", "same"), {"how": "svd", "rank": 0}, UsageError, "at least 1"),
        (("plain", "same"), {"how": "ties", "density": 1.5}, UsageError, "at most 1"),
        (("plain", "same"), {"density": 0.5}, UsageError, "takes no --density"),
    ],
)
def test_what_cannot_be_merged(
    shop: Path, parts: Any, settings: Any, error: type[AdapterHubError], said: str
) -> None:
    before = (shop / "registry.toml").read_bytes(), sorted((shop / "adapters").rglob("*"))
    with pytest.raises(error, match=said):
        merged(shop, *parts, name="none", **settings)
    assert ((shop / "registry.toml").read_bytes(), sorted((shop / "adapters").rglob("*"))) == before


def test_a_name_of_another_base(shop: Path) -> None:
    with pytest.raises(ConflictError, match="'elsewhere' is of base 'gpt2'"):
        merged(shop, "plain", "same", name="elsewhere")


def test_a_result_that_is_not_the_sum_is_not_registered(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is when PEFT scales the result by the first part's rsLoRA."""
    monkeypatch.setattr(merging, "_plainly", lambda config, _opened: config)
    with pytest.raises(IncompatibleError, match="differs from the sum of its parts"):
        merged(shop, "rs", "plain", name="none")
    assert not Registry.open(shop).has_adapter("none")
    assert not (shop / "adapters/none").exists()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a", ("a", 1.0)),
        ("a@prod:0.5", ("a@prod", 0.5)),
        ("a:-2", ("a", -2.0)),
        ("hf:me/a", ("hf:me/a", 1.0)),
        ("hf:me/a@v1:0.25", ("hf:me/a@v1", 0.25)),
        ("./folder:3", ("./folder", 3.0)),
    ],
)
def test_parts(text: str, part: tuple[str, float]) -> None:
    assert parse_part(text) == Part(parse_reference(part[0]), part[1])


@pytest.mark.parametrize("text", ["a:b", "a:", "a:0", "a:nan", "a:inf", ":1"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(UsageError):
        parse_part(text)


def test_the_command(shop: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    assert _HOWS == HOWS
    done = hub("merge", "said", "plain", "./adapters/same/1:0.5", "--json")
    assert done.code == 0, done.err
    assert done.json["exact"] is True
    table = hub("merge", "said", "plain", "same:0.5", "--how", "ties", "--density", "0.3")
    assert table.code == 0
    assert "this way is not exact" in table.out
    assert hub("run", "said", "Q: 1 plus one?", "--max-new-tokens", "2").code == 0
    refused = hub("merge", "said", "plain", "dora")
    assert (refused.code, refused.out) == (5, "")
    assert "Traceback" not in refused.err
