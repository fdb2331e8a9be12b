"""Plugins: real distributions on a real path; whatever one of them does, the rest goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import COMMANDS, Site

from adapter_hub.errors import PluginError, UnknownNameError
from adapter_hub.plugins import BUILT_IN, Catalog, load_catalog

Install = Callable[..., None]
HEAD = "from adapter_hub import hookimpl\n"
GOOD = HEAD + (
    "@hookimpl\n"
    "def register_methods(register):\n"
    "    register('made-up', lambda r=8: None, summary='a method', peft_type='MADE_UP')\n"
    "@hookimpl\n"
    "def register_datasets(register):\n"
    "    register('numbers', lambda: iter('123'))\n"
    "@hookimpl\n"
    "def register_bases(register):\n"
    "    register('small', lambda: None)\n"
    "@hookimpl\n"
    "def register_executors(register):\n"
    "    register('far', lambda address=None: None, summary='elsewhere')\n"
)


@pytest.fixture
def install(site: Site) -> Install:
    """Write a distribution with one plugin into a folder on ``sys.path``, and allow it."""
    return site.install


def loaded() -> Catalog:
    catalog = load_catalog()
    catalog.load_all()
    return catalog


def offered(catalog: Catalog) -> set[str]:
    return {name for offers in catalog.offers.values() for name in offers}


BUILT_INS = offered(load_catalog())


def test_a_plugin_offers_all_four_kinds(install: Install) -> None:
    install("good", GOOD)
    catalog = loaded()
    assert catalog.problems == []
    assert offered(catalog) - BUILT_INS == {"made-up", "numbers", "small", "far"}
    (plugin,) = catalog.plugins
    assert (plugin.name, plugin.distribution, plugin.version) == ("good", "dist-good", "1.2")
    offer = catalog.find("method", "made-up")
    assert (offer.summary, offer.peft_type, offer.plugin) == ("a method", "MADE_UP", "good")
    assert list(catalog.find("dataset", "numbers").resolve()()) == ["1", "2", "3"]
    assert catalog.find_method_of("MADE_UP") is offer
    assert catalog.find_method_of("NEVER") is None


BROKEN = {
    "import error": ("import no_such_module_at_all\n", "ModuleNotFoundError"),
    "syntax error": ("def broken(:\n", "SyntaxError"),
    "raises": ("1 / 0\n", "ZeroDivisionError: division by zero"),
    "exit": ("import sys; sys.exit(3)\n", "it called sys.exit(3)"),
    "silent exit": ("raise SystemExit\n", "it called sys.exit(None)"),
    "hook raises": (
        HEAD + "@hookimpl\ndef register_methods(register): raise OSError('no\\ndisk')\n",
        "OSError: no disk",
    ),
    "hook exits": (
        HEAD + "@hookimpl\ndef register_bases(register): raise SystemExit('bye')\n",
        "it called sys.exit('bye')",
    ),
    "raises after registering": (GOOD + "    register(1 / 0)\n", "ZeroDivisionError"),
    "unknown argument": (
        HEAD + "@hookimpl\ndef register_methods(register, extra): register('x', print)\n",
        "extra",
    ),
    "misspelt hook": (
        GOOD + "@hookimpl\ndef register_method(register): register('x', print)\n",
        "register_method",
    ),
    "no hook": ("def register_methods(register): register('x', print)\n", "implements no hook"),
    "empty": ("", "implements no hook"),
    "twice the same": (
        HEAD + "@hookimpl\ndef register_methods(register):\n"
        "    register('x', print)\n    register('x', print)\n",
        "method 'x' is already offered by dist-broken",
    ),
    "built in already": (
        GOOD + "    register('own', print)\n"
        "@hookimpl(specname='register_methods')\ndef more(register): register('lora', print)\n",
        "method 'lora' is already built in",
    ),
    "not callable": (
        HEAD + "@hookimpl\ndef register_methods(register): register('x', 3)\n",
        "neither a callable nor",
    ),
    "text without a colon": (
        HEAD + "@hookimpl\ndef register_methods(register): register('x', 'peft')\n",
        "neither a callable nor",
    ),
    "an outcome of pytest": ("import pytest; pytest.skip(allow_module_level=True)\n", "Skipped"),
    "an exception of its own kind": ("raise BaseException('gone')\n", "BaseException: gone"),
    "unknown keyword": (
        HEAD + "@hookimpl\ndef register_bases(register): register('x', print, colour=1)\n",
        "colour",
    ),
}


@pytest.mark.parametrize(("code", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_one_line_and_offers_nothing(
    install: Install, code: str, reason: str
) -> None:
    install("broken", code)
    install("good", GOOD.replace("made-up", "fine").replace("numbers", "n2").replace("small", "s2"))
    catalog = loaded()
    (problem,) = catalog.problems
    assert (problem.plugin, problem.distribution) == ("broken", "dist-broken")
    assert reason in problem.reason
    assert "\n" not in problem.reason
    assert offered(catalog) - BUILT_INS == {"fine", "n2", "s2", "far"}
    assert [each.name for each in catalog.plugins] == ["good"]


def test_an_entry_point_that_leads_nowhere(install: Install) -> None:
    install("gone", None, target="fake_gone")
    install("attribute", GOOD, target="fake_attribute:no_such_thing")
    reasons = {each.plugin: each.reason for each in loaded().problems}
    assert "fake_gone" in reasons["gone"]
    assert "no_such_thing" in reasons["attribute"]


def test_a_plugin_may_be_an_object(install: Install) -> None:
    code = (
        "class Plugin:\n"
        "    @hookimpl\n"
        "    def register_bases(self, register): register('by-object', print)\n"
        "plugin = Plugin()\n"
    )
    install("object", HEAD + code, target="fake_object:plugin")
    assert "by-object" in offered(loaded())


def test_a_name_of_another_plugin_is_taken(install: Install) -> None:
    install("a", GOOD)
    install("b", GOOD.replace("'small'", "'large'"))
    catalog = loaded()
    (problem,) = catalog.problems
    assert problem.plugin == "b"
    assert problem.reason == "method 'made-up' is already offered by dist-a"
    assert "large" not in offered(catalog)


def test_asking_for_what_a_broken_plugin_would_have_offered_says_so(install: Install) -> None:
    install("broken", BROKEN["raises after registering"][0])
    with pytest.raises(UnknownNameError) as caught:
        load_catalog().find("method", "made-up")
    assert "there is no method 'made-up'" in caught.value.message
    assert "Plugin broken is broken: ZeroDivisionError" in caught.value.message


def test_an_unknown_name_is_suggested(install: Install) -> None:
    install("good", GOOD)
    with pytest.raises(UnknownNameError, match="did you mean 'made-up'"):
        load_catalog().find("method", "made-op")


def test_what_is_built_in_never_loads_a_plugin(install: Install) -> None:
    install("tripwire", "import sys; sys.exit('loaded')\n")
    catalog = load_catalog()
    assert catalog.find("method", "lora").distribution == BUILT_IN
    assert catalog.find("dataset", "shakespeare").resolve()
    assert catalog.find("base", "tiny").resolve()
    assert catalog.find_method_of("LORA") is not None
    assert not catalog.complete
    assert "fake_tripwire" not in sys.modules


def test_plugins_are_loaded_once(install: Install) -> None:
    install("good", GOOD)
    catalog = loaded()
    catalog.load_all()
    assert len(catalog.plugins) == 1
    assert [each.name for each in catalog.all("method")] == ["lora", "made-up"]


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        ("", []),
        ("a", ["a"]),
        (" b , nobody", ["b"]),
        ("dist-a,b", ["a", "b"]),
        ("A", []),
    ],
)
def test_the_allow_list(
    install: Install, monkeypatch: pytest.MonkeyPatch, allowed: str, names: list[str]
) -> None:
    for name in ("a", "b"):
        install(
            name, HEAD + f"@hookimpl\ndef register_bases(register): register('{name}', print)\n"
        )
    monkeypatch.setenv("ADAPTER_HUB_PLUGINS", allowed)
    assert [each.name for each in loaded().plugins] == names


def test_without_an_allow_list_everything_is_loaded(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("good", GOOD)
    monkeypatch.delenv("ADAPTER_HUB_PLUGINS")
    assert "good" in {each.name for each in loaded().plugins}


@pytest.mark.parametrize("kind", ["import error", "exit", "hook raises", "misspelt hook"])
def test_strict_raises_with_the_cause(
    install: Install, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    code, reason = BROKEN[kind]
    install("broken", code)
    monkeypatch.setenv("ADAPTER_HUB_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError) as caught:
        loaded()
    assert "plugin broken (dist-broken): " in caught.value.message
    assert reason in caught.value.message
    assert caught.value.__cause__ is not None
    monkeypatch.setenv("ADAPTER_HUB_STRICT_PLUGINS", "0")
    assert len(loaded().problems) == 1


def test_a_factory_by_name_is_imported_when_it_is_used(
    install: Install,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (site.folder / "fake_heavy.py").write_text("class Box:\n    class Config: pass\nthree = 3\n")
    (site.folder / "fake_exits.py").write_text("import sys; sys.exit(5)\n")
    install(
        "lazy",
        HEAD + "@hookimpl\ndef register_methods(register):\n"
        "    register('good', 'fake_heavy:Box.Config')\n"
        "    register('gone', 'fake_heavy:Nothing')\n"
        "    register('absent', 'fake_absent:X')\n"
        "    register('number', 'fake_heavy:three')\n"
        "    register('exits', 'fake_exits:X')\n",
    )
    monkeypatch.setenv("ADAPTER_HUB_TRACE_PLUGINS", "1")
    catalog = loaded()
    assert catalog.problems == []
    assert "fake_heavy" not in sys.modules
    assert catalog.find("method", "good").resolve() is sys.modules["fake_heavy"].Box.Config
    assert "trace: import of fake_heavy:Box.Config (dist-lazy): " in capfd.readouterr().err
    for name, words in [
        ("gone", "AttributeError"),
        ("absent", "ModuleNotFoundError"),
        ("number", "fake_heavy:three is not callable"),
        ("exits", r"sys.exit\(5\)"),
    ]:
        with pytest.raises(PluginError, match=f"method '{name}' of dist-lazy.*{words}"):
            catalog.find("method", name).resolve()


def test_what_a_plugin_prints_is_talk(install: Install, capfd: pytest.CaptureFixture[str]) -> None:
    install(
        "loud",
        "import os, subprocess\n"
        "print('imported')\n"
        "os.write(1, b'deeper\\n')\n"
        "subprocess.run(['echo', 'a child'])\n"
        + GOOD.replace("    register('small'", "    print('called'); register('small'"),
    )
    loaded()
    told = capfd.readouterr()
    assert told.out == ""
    assert sorted(told.err.splitlines()) == ["a child", "called", "deeper", "imported"]


def test_a_trace_names_plugin_and_hook(
    install: Install, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    install("good", GOOD)
    install("broken", "1 / 0\n")
    monkeypatch.setenv("ADAPTER_HUB_TRACE_PLUGINS", "1")
    loaded()
    told = capfd.readouterr()
    assert told.out == ""
    lines = [line.rpartition(": ")[0] for line in told.err.splitlines()]
    assert lines[-6:] == [
        "trace: import of broken (dist-broken 1.2)",
        "trace: import of good (dist-good 1.2)",
        "trace: register_methods of good (dist-good)",
        "trace: register_datasets of good (dist-good)",
        "trace: register_bases of good (dist-good)",
        "trace: register_executors of good (dist-good)",
    ]
    assert "trace: register_methods of methods (built in)" in lines


def test_one_for_a_newer_adapter_hub_says_so(install: Install, site: Site) -> None:
    site.install("early", GOOD, requires="adapter-hub>=99")
    (problem,) = loaded().problems
    assert (problem.plugin, problem.distribution) == ("early", "dist-early")
    assert problem.reason.startswith("it needs adapter-hub>=99, and this is adapter-hub ")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "adapter_hub", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_line_lists_them_and_lives_on(install: Install) -> None:
    for index, (code, _) in enumerate(BROKEN.values()):
        install(f"broken{index}", code)
    install("good", "import os; print('noise'); os.write(1, b'noise')\n" + GOOD)
    done = command("plugins", "--json")
    assert done.returncode == 0, done.stderr
    lines: dict[str, Any] = {each["name"]: each for each in json.loads(done.stdout)}
    good = lines.pop("good")
    assert good["status"] == "ok"
    assert good["offers"] == ["method made-up", "dataset numbers", "base small", "executor far"]
    reasons = [reason for _, reason in BROKEN.values()]
    broken = {name: line for name, line in lines.items() if name.startswith("broken")}
    assert len(broken) == len(reasons)
    for index, reason in enumerate(reasons):
        told = broken[f"broken{index}"]
        assert reason.replace("dist-broken", f"dist-broken{index}") in told["status"]
        assert (told["distribution"], told["version"]) == (f"dist-broken{index}", "1.2")
        assert told["offers"] == []
    assert command("plugins", "--check").returncode == 1
    assert "made-up" in command("methods").stdout


COLD = (
    ("--help",),
    ("--version",),
    ("list",),
    ("show", "a"),
    ("status",),
    ("verify",),
    ("base", "list"),
    ("train", "--help"),
    ("methods", "lora"),
    ("datasets", "shakespeare"),
)


def test_cold_commands_do_not_load_them(install: Install, site: Site, tmp_path: Path) -> None:
    """However long a plugin takes: what is not imported delays nothing."""
    loaded = tmp_path / "loaded"
    install("tripwire", f"open({str(loaded)!r}, 'w')\n" + GOOD)
    code = f"import click; open({str(loaded)!r}, 'w')\n@click.command()\ndef command(): pass\n"
    site.install("greet", code, target="fake_greet:command", group=COMMANDS)
    (tmp_path / "registry.toml").write_text("schema = 1\n[adapters.a]\n")
    for arguments in COLD:
        done = command("--registry", str(tmp_path), *arguments)
        assert done.returncode == 0, done.stderr
    assert not loaded.exists()
    assert command("methods").returncode == 0
    assert loaded.exists()


# --- methods that PEFT does not know ---------------------------------------------------------------


def with_tuner(name: str, peft_type: str) -> str:
    return HEAD + (
        "@hookimpl\n"
        "def register_methods(register):\n"
        f"    register('{name}', 'a:B', peft_type='{peft_type}', tuner='a:C')\n"
    )


def test_two_tuners_of_one_type_cannot_both_be_meant(install: Install) -> None:
    install("one", with_tuner("marvel", "MARVEL"))
    install("two", with_tuner("wonder", "MARVEL"))
    catalog = loaded()
    assert offered(catalog) - BUILT_INS == {"marvel"}
    (problem,) = catalog.problems
    assert problem.plugin == "two"
    assert problem.reason == "PEFT type 'MARVEL' is that of method 'marvel' of dist-one"


def test_a_tuner_of_a_type_of_pefts_own_is_refused(install: Install) -> None:
    code = with_tuner("marvel", "IA3").replace("'a:B'", "'peft:LoraConfig'")
    install("one", code.replace("'a:C'", "'peft:LoraModel'"))
    with pytest.raises(PluginError, match=r"PEFT's type 'IA3' is .*IA3Config already"):
        loaded().find("method", "marvel").resolve()


def test_options_are_those_that_a_recipe_can_set(install: Install) -> None:
    code = (
        "@hookimpl\n"
        "def register_methods(register):\n"
        "    register('scales', 'peft:IA3Config', peft_type='IA3')\n"
    )
    install("one", HEAD + code)
    names = {each.name for each in loaded().find("method", "scales").options()}
    assert "target_modules" in names
    assert not names & {"peft_type", "task_type", "base_model_name_or_path", "revision"}


# --- what a dataset says of itself ---------------------------------------------------------------


def about(code: str) -> str:
    return HEAD + (
        "def rows(split='train', limit: int = 3): return []\n"
        "@hookimpl\n"
        f"def register_datasets(register): register('rows', rows, {code})\n"
    )


def test_a_dataset_declares_splits_licence_and_columns(install: Install) -> None:
    install("one", about("splits=['train', 'test'], licence='CC0-1.0', columns={'text': 'a line'}"))
    offer = loaded().find("dataset", "rows")
    assert (offer.splits, offer.licence) == (("train", "test"), "CC0-1.0")
    assert offer.columns == {"text": "a line"}
    assert [each.name for each in offer.options()] == ["limit"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("splits='train'", "the splits of dataset 'rows' must be names such as"),
        ("splits=('a', 'a')", "must be names such as"),
        ("splits=('a:b',)", "must be names such as"),
        ("splits=('',)", "must be names such as"),
        ("splits=(1,)", "must be names such as"),
        ("splits=1", "'int' object is not iterable"),
        ("licence=1", "the licence of dataset 'rows' must be a string, not 1"),
        ("columns=['text']", "the columns of dataset 'rows' must be a table of names and meanings"),
        ("columns={'text': 1}", "must be a table of names and meanings, not {'text': 1}"),
    ],
)
def test_what_it_says_must_have_its_form(install: Install, code: str, reason: str) -> None:
    install("one", about(code))
    catalog = loaded()
    (problem,) = catalog.problems
    assert reason in problem.reason
    assert "rows" not in offered(catalog)


def test_without_splits_everything_is_an_option(install: Install) -> None:
    """Also what has the name of a field that PEFT keeps to itself."""
    code = (
        "def rows(split='train', revision='x'): return []\n"
        "@hookimpl\n"
        "def register_datasets(register): register('rows', rows)\n"
    )
    install("one", HEAD + code)
    options = loaded().find("dataset", "rows").options()
    assert [each.name for each in options] == ["split", "revision"]


def test_a_wrong_data_option_fails_before_anything_heavy(install: Install, tmp_path: Path) -> None:
    install("one", about("splits=['train', 'validation']"))
    (tmp_path / "registry.toml").write_text('schema = 1\n[bases.tiny]\nsource = "plugin:tiny"\n')
    script = (
        "import sys\n"
        "from adapter_hub.cli.main import group\n"
        "try: group.main(sys.argv[1:])\n"
        "except SystemExit as end: print(end.code)\n"
        "print(sorted({'torch', 'peft', 'transformers', 'datasets', 'numpy'} & sys.modules.keys()))"
    )
    where, base = ("--registry", str(tmp_path)), ("--base", "tiny")
    for words, told in [
        (
            ("train", "x", *base, "--data", "rows", "--data-option", "limt=2"),
            "did you mean 'limit'",
        ),
        (("train", "x", *base, "--data", "rows", "--data-option", "limit=x"), "takes integer"),
        (("train", "x", *base, "--data", "rows:valid"), "did you mean 'validation'"),
        (("data", "preview", "rows", *base, "--data-option", "limt=2"), "did you mean 'limit'"),
        (("data", "preview", "rows:valid", *base), "did you mean 'validation'"),
        (("data", "preview", "rows", *base, "--data-option", "limit=[2"), "--data-option 'limit="),
    ]:
        done = subprocess.run(
            [sys.executable, "-c", script, *where, *words], capture_output=True, text=True
        )
        assert done.stdout == "2\n[]\n", done.stderr
        assert told in done.stderr
