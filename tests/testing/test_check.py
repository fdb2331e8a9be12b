"""The strict check of a plugin: everything at once, each thing in a sentence."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from adapter_hub.testing import PluginFindings, check_plugin

Write = Callable[[str], ModuleType]
HEAD = "from typing import Annotated, Any\nfrom adapter_hub import TrainHooks, hookimpl\n"
GOOD = HEAD + (
    "@hookimpl\n"
    "def register_methods(register):\n"
    "    register('scales', 'peft:IA3Config', summary='learned scales', peft_type='IA3')\n"
    "    register('own', own, summary='my own')\n"
    "@hookimpl\n"
    "def register_datasets(register): register('numbers', numbers, summary='1, 2, 3')\n"
    "@hookimpl\n"
    "def register_bases(register): register('small', small, summary='a small one')\n"
    "def own(*, r: Annotated[int, 'rank'] = 8):\n"
    "    '''A method.'''\n"
    "def numbers():\n"
    "    '''Numbers.'''\n"
    "def small():\n"
    "    '''A base.'''\n"
)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """A module of this code, imported."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def module(code: str) -> ModuleType:
        (tmp_path / "adapter_hub_made_up.py").write_text(code)
        sys.modules.pop("adapter_hub_made_up", None)
        importlib.invalidate_caches()
        return importlib.import_module("adapter_hub_made_up")

    yield module
    sys.modules.pop("adapter_hub_made_up", None)


def findings(plugin: ModuleType) -> tuple[str, ...]:
    with pytest.raises(PluginFindings) as caught:
        check_plugin(plugin)
    assert isinstance(caught.value, AssertionError)
    assert all(each in str(caught.value) for each in caught.value.findings)
    return caught.value.findings


def test_a_good_plugin_passes(write: Write) -> None:
    check_plugin(write(GOOD))


def methods(call: str, rest: str = "") -> str:
    return HEAD + f"@hookimpl\ndef register_methods(register):\n    {call}\n{rest}"


FACTORY = "def own(*, {}):\n    '''A method.'''\n"
WRONG = {
    "no hook": ("x = 1\n", "it implements no hook; the hooks are register_bases"),
    "misspelt": (
        GOOD + "@hookimpl\ndef register_method(register): ...\n",
        r"register_method is marked @hookimpl and is no hook \(did you mean 'register_methods'\?\)\.",
    ),
    "not marked": (
        GOOD.replace("@hookimpl\ndef register_bases", "def register_bases"),
        "register_bases is not marked @hookimpl, so nothing calls it",
    ),
    "misspelt and not marked": (
        GOOD + "def register_dataset(register): ...\n",
        "register_dataset is not marked @hookimpl and not spelt register_datasets",
    ),
    "other signature": (
        HEAD + "@hookimpl\ndef register_methods(): ...\n",
        r"register_methods\(\) must be register_methods\(register\)",
    ),
    "raises": (methods("1 / 0"), "register_methods raises ZeroDivisionError: division by zero"),
    "exits": (methods("raise SystemExit(3)"), "register_methods raises SystemExit: 3"),
    "nothing": (methods("..."), "register_methods registers nothing"),
    "clash": (
        methods("register('lora', 'peft:LoraConfig', summary='mine')"),
        "method 'lora' is already built in",
    ),
    "twice": (
        methods("[register('x', 'peft:IA3Config', summary='s') for _ in range(2)]"),
        "method 'x' is already offered by adapter_hub_made_up",
    ),
    "unknown keyword": (
        methods("register('x', 'peft:IA3Config', summary='s', colour=1)"),
        r"register_methods: register\S* got an unexpected keyword argument 'colour'",
    ),
    "no factory": (methods("register('x', 3)"), "neither a callable nor"),
    "name": (
        methods("register('a b', 'peft:IA3Config', summary='s')"),
        "'a b' cannot name a method: use letters",
    ),
    "no summary": (methods("register('x', 'peft:IA3Config')"), "method 'x' has no summary"),
    "long summary": (
        methods("register('x', 'peft:IA3Config', summary='a\\nb')"),
        "the summary of method 'x' is more than one line",
    ),
    "not importable": (
        methods("register('x', 'peft:NoSuchConfig', summary='s')"),
        "method 'x' of adapter_hub_made_up cannot be loaded: AttributeError",
    ),
    "no docstring": (
        methods("register('x', own, summary='s')", "def own(): ...\n"),
        "the factory of method 'x' has no docstring",
    ),
    "a dataclass without docstring": (
        methods(
            "register('x', Own, summary='s')",
            "import dataclasses\n@dataclasses.dataclass\nclass Own: ...\n",
        ),
        "the factory of method 'x' has no docstring",
    ),
    "no type": (
        methods("register('x', own, summary='s')", FACTORY.format("r: Annotated[Any, 'rank'] = 8")),
        "option 'r' of method 'x' has no type",
    ),
    "no help": (
        methods("register('x', own, summary='s')", FACTORY.format("r: int = 8")),
        "option 'r' of method 'x' has no help: write Annotated",
    ),
    "a default that does not fit": (
        methods("register('x', own, summary='s')", FACTORY.format("r: Annotated[int, 'r'] = 'a'")),
        "its own default does not fit: method 'x': option 'r' takes integer, not 'a'",
    ),
    "a tuner of PEFT's": (
        methods(
            "register('x', 'peft:LoraConfig', summary='s', peft_type='IA3', tuner='peft:LoraModel')"
        ),
        "method 'x' of adapter_hub_made_up: PEFT's type 'IA3' is",
    ),
    "no hooks of training": (
        methods("register('x', 'peft:IA3Config', summary='s', hooks=dict)"),
        "the hooks of method 'x' are no adapter_hub.TrainHooks",
    ),
    "a misspelt moment": (
        methods(
            "register('x', 'peft:IA3Config', summary='s', hooks=Hooks)",
            "class Hooks(TrainHooks):\n    def after_steps(self, model, step): ...\n",
        ),
        r"after_steps of method 'x' is no moment of TrainHooks \(did you mean 'after_step'\?\)",
    ),
    "a base that needs something": (
        HEAD + "@hookimpl\ndef register_bases(register): register('x', small, summary='s')\n"
        "def small(where: Annotated[str, 'place']):\n    '''A base.'''\n",
        "the factory of base 'x' is called without arguments, and needs 'where'",
    ),
    "heavy": (
        "import huggingface_hub\n" + GOOD,
        "importing it imports huggingface_hub, and every list",
    ),
    "talkative": (GOOD + "print('hello')\n", "importing it prints"),
    "imports by chance": (
        GOOD + "import sys\nassert 'pytest' in sys.modules, 'only here'\n",
        "a new process cannot import it: AssertionError: only here",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said(write: Write, kind: str) -> None:
    code, words = WRONG[kind]
    (found,) = findings(write(code))
    assert re.search(words, found), found
    assert found.endswith((".", "division by zero", "3", "only here")), found


def test_everything_is_said_at_once(write: Write) -> None:
    code = GOOD.replace("summary='1, 2, 3'", "summary=''").replace("'small'", "'tiny'")
    found = findings(write(code + "@hookimpl\ndef register_base(register): ...\n"))
    assert len(found) == 3
    assert "3 things" in str(PluginFindings("p", found))


def test_an_object_that_is_no_file_passes_too() -> None:
    from adapter_hub import hookimpl

    plugin = ModuleType("made_in_memory")

    def register_datasets(register: Callable[..., None]) -> None:
        register("numbers", lambda: iter("123"), summary="1, 2, 3")

    vars(plugin)["register_datasets"] = hookimpl(register_datasets)
    check_plugin(plugin)


@pytest.mark.parametrize("room", ["methods", "datasets", "bases"])
def test_what_is_built_in_is_written_like_a_plugin(room: str) -> None:
    """Its names are taken, by itself; nothing else is found."""
    found = findings(importlib.import_module(f"adapter_hub.{room}"))
    assert all("is already built in" in each for each in found), found
