"""A plugin goes and its adapters stay: they are still seen, and say what to install."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workshop
from fakes import Site

from adapter_hub.errors import UnknownOfferError
from adapter_hub.loading.bases import base_folder
from adapter_hub.loading.origins import (
    newest_record,
    recorded_distributions,
    users_of,
    with_origin,
)
from adapter_hub.model import Base, Source
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry

Hub = Callable[..., Any]

HEAD = "from adapter_hub import hookimpl\nfrom pathlib import Path\n"
METHOD = HEAD + (
    "@hookimpl\ndef register_methods(register):\n"
    "    register('scales', 'peft:IA3Config', peft_type='IA3')\n"
)
DATA = HEAD + (
    "@hookimpl\ndef register_datasets(register):\n"
    "    register('numbers', lambda: (f'{n} and {n + 1}' for n in range(40)))\n"
)
RECORD = {
    "recipe": {"method": "scales", "data": "numbers:train", "eval_data": "sums"},
    "method": {"name": "scales", "distribution": "dist-gone"},
    "base": {"source": "plugin:small"},
    "plugins": {"dist-gone": "1.2", "click": "8"},
}


def base_code(folder: Path) -> str:
    return HEAD + (
        "@hookimpl\ndef register_bases(register):\n"
        f"    register('small', lambda: print('made') or Path({str(folder)!r}))\n"
    )


@pytest.fixture
def made(shop: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry whose adapter ``a`` was made with the plugins ``method``, ``data`` and ``base``."""
    site.install("method", METHOD)
    site.install("data", DATA)
    site.install("base", base_code(shop / "bases/llama"))
    registry = shop / "registry.toml"
    registry.write_text(registry.read_text() + '\n[bases.small]\nsource = "plugin:small"\n')
    workshop.run_training(shop, "a", base="small", method="scales", data="numbers", steps=1)
    monkeypatch.chdir(shop)
    return shop


def test_uninstalled_while_its_adapters_remain(made: Path, site: Site, hub: Hub) -> None:
    record = newest_record(Registry.open(made), "a")
    assert recorded_distributions(record) == ["dist-base", "dist-data", "dist-method"]
    for name, kind, what in (
        ("method", "method", "scales"),
        ("data", "dataset", "numbers"),
        ("base", "base", "small"),
    ):
        site.remove(name)
        done = hub("train", "a")
        assert (done.code, done.out) == (2, "")
        assert f"Error: {kind} '{what}' came with dist-{name}, which is not installed." in done.err
        assert f"pip install dist-{name}\n" in done.err
        site.install(name, {"method": METHOD, "data": DATA}.get(name, base_code(made)))
    for name in ("method", "data", "base"):
        site.remove(name)
    assert [each["name"] for each in hub("list", "--json").json] == ["a"]
    assert hub("show", "a", "--json").json["recipe"]["method"] == "scales"
    assert hub("status", "--json").json[0]["state"] == "current"
    assert hub("verify").code == 0
    done = hub("run", "a", "Q:")
    assert done.code == 2
    assert (
        "Error: base 'small' came with dist-base or dist-data or dist-method, "
        "which is not installed." in done.err
    )
    done = hub("run", "./adapters/a/1", "Q:")
    assert "pip install dist-base dist-data dist-method" in done.err


def test_a_base_that_prints_while_it_is_made(
    bases: dict[str, Path], site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    site.install("base", base_code(bases["llama"]))
    base = Base("small", Source("plugin", "small"))
    assert base_folder(base, load_catalog(), Path()) == bases["llama"]
    assert capfd.readouterr() == ("", "made\n")


def test_who_needs_a_plugin(made: Path, site: Site) -> None:
    registry = Registry.open(made)
    catalog = load_catalog()
    assert users_of(["dist-method"], registry, catalog) == {"a": ["method scales"]}
    assert users_of(["Dist_Base", "dist-data"], registry, catalog) == {
        "a": ["dataset numbers", "base small"]
    }
    assert users_of(["dist-other"], registry, catalog) == {}
    site.install("broken", "1 / 0\n")
    site.remove("data")
    site.install("data", "1 / 0\n")
    assert users_of(["dist-data"], registry, load_catalog()) == {"a": ["its newest version"]}


@pytest.mark.parametrize(
    ("kind", "name", "known"),
    [
        ("method", "scales", True),
        ("method", "numbers", False),
        ("dataset", "numbers", True),
        ("dataset", "sums", True),
        ("base", "small", True),
        ("base", "large", False),
    ],
)
def test_only_what_the_record_used_came_with_its_plugins(kind: str, name: str, known: bool) -> None:
    error = UnknownOfferError("there is none.", kind=kind, name=name, hint="look")
    told = with_origin(error, RECORD)
    assert (told is error) is not known
    if known:
        assert told.message == f"{kind} '{name}' came with dist-gone, which is not installed."
        assert told.hint == "pip install dist-gone"


def test_a_record_gives_no_command_of_its_own() -> None:
    """It can come from a Hub, and its hint is copied into a shell."""
    bad = ["x; rm -rf ~", "--index-url=http://x", "-r", "x y", "", "a\nb", "$(x)", "built in"]
    for no_name in (["x"], {}, 3, None, "a b"):
        record = {"plugins": dict.fromkeys(bad, "1"), "method": {"distribution": no_name}}
        assert recorded_distributions(record) == []


def test_a_record_that_cannot_be_read_hides_no_error(made: Path) -> None:
    (made / "adapters/a/1/adapter_hub.json").write_text("{")
    assert newest_record(Registry.open(made), "a") == {}
    assert newest_record(Registry.open(made), "nobody") == {}
    (made / "adapters/a/1/adapter_hub.json").write_text(json.dumps({"plugins": []}))
    assert recorded_distributions(newest_record(Registry.open(made), "a")) == []
