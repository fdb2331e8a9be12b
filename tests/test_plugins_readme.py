"""The authors' page is true: its story runs from top to bottom, and it names every hook as it is."""

from __future__ import annotations

import inspect
import re
import typing
from pathlib import Path

import pytest
from fresh import ROOT, Fresh

from adapter_hub import hookspecs

PAGE = (ROOT / "plugins/README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("register_"))


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_has_its_signature_on_the_page(hook: str) -> None:
    parameters = list(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert parameters == ["register"]
    protocol = typing.get_type_hints(getattr(hookspecs, hook))["register"]
    shown = [
        each.name if each.default is each.empty else f"{each.name}={each.default!r}"
        for each in inspect.signature(protocol.__call__).parameters.values()
        if each.name != "self"
    ]
    shown.insert(2, "*")
    assert f"`{hook}(register)`\n\n> `register({', '.join(shown)})`\n" in PAGE


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_has_a_test(hook: str) -> None:
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_plugins.py")]
    assert any(re.search(rf"\b{hook}\b", text) for text in tests)


@pytest.mark.parametrize("language", ["python", "toml"])
def test_each_file_says_where_it_goes(language: str) -> None:
    for kind, text in BLOCKS:
        if kind == language:
            assert re.match(r"# [\w/.]+\n", text)


def test_the_plugins_of_this_folder_are_named() -> None:
    for path in (ROOT / "plugins").glob("*/README.md"):
        assert f"({path.parent.name}/README.md)" in PAGE


@pytest.mark.slow
def test_the_page_from_top_to_bottom(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fresh = Fresh(tmp_path_factory.mktemp("fresh") / "venv")
    project = tmp_path / "adapter-hub-steady"
    where = tmp_path
    for kind, text in BLOCKS:
        if kind != "sh":
            (project / text.split()[1]).write_text(text, encoding="utf-8")
            continue
        for line in text.splitlines():
            if line.startswith("cd "):
                where = (where / line.removeprefix("cd ")).resolve()
                continue
            done = fresh.run("sh", "-c", line, cwd=where)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    listed = fresh.run("adapter-hub", "plugins", cwd=tmp_path).stdout
    assert re.search(r"^steady +adapter-hub-steady +0\.1\.0 .* ok$", listed, re.M)
    census = fresh.run("adapter-hub", "census", cwd=project / "try-it").stdout
    assert census == "3\n"
