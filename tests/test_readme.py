"""The README is true: its commands run, its tables are complete, its plugin works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import tomli

from adapter_hub.cli.init import TEMPLATE
from adapter_hub.cli.main import group
from adapter_hub.registry.store import Registry

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = (ROOT / ".ci/run").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def joined(block: str) -> list[str]:
    """The lines of a shell block; one that a backslash goes on with is one."""
    return block.replace("\\\n", " ").splitlines()


def commands() -> list[list[str]]:
    """Every line of adapter-hub in a shell block, without its redirection."""
    lines = [line for block in blocks("sh") for line in joined(block)]
    ours = [line for line in lines if line.startswith("adapter-hub ")]
    return [shlex.split(line.partition(" >")[0])[1:] for line in ours]


def command_names() -> set[str]:
    context = click.Context(group)
    names = set()
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            names |= {f"{name} {each}" for each in command.list_commands(context)}
        if not isinstance(command, click.Group) or command.invoke_without_command:
            names.add(name)
    return names


def test_ci_runs_the_test_command_as_written() -> None:
    demo, test = blocks("sh")[:2]
    assert demo == "pip install -c constraints.txt -e . && adapter-hub demo\n"
    install, _, run = test.strip().partition(" && ")
    assert re.search(rf"^{re.escape(test.strip())}$", CI, re.M), (install, run)


def test_the_registry_is_one_that_the_demo_makes(tmp_path: Path) -> None:
    shown = blocks("toml")[0]
    (tmp_path / "registry.toml").write_text(shown.replace("…", "0" * 64), encoding="utf-8")
    assert Registry.open(tmp_path).adapter("gpt-lora").newest.number == 1
    versions = tomli.loads(shown)["adapters"]["gpt-lora"].pop("versions")
    assert list(versions) == ["1"]
    recipe = tomli.loads(shown.partition("[adapters.gpt-lora.versions.1]")[0])
    assert recipe == tomli.loads(TEMPLATE)


def test_the_table_has_every_command() -> None:
    table = README.partition("| command | does |")[2].partition("\n\n")[0]
    first_cells = re.findall(r"^\| (.*?) \|", table, re.M)
    named = {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}
    assert named == command_names()


def test_every_command_line_is_one_that_the_command_takes() -> None:
    assert commands()
    for words in commands():
        context: click.Context = group.make_context("adapter-hub", list(words))
        while isinstance(context.command, click.Group):
            rest = [*context._protected_args, *context.args]
            name, command, rest = context.command.resolve_command(context, rest)
            assert command is not None
            context = command.make_context(name, rest, parent=context)


def test_the_plugin_works(tmp_path: Path) -> None:
    settings: dict[str, Any] = tomli.loads(blocks("toml")[1])
    source = blocks("python")[2]
    assert len(source.splitlines()) + len(blocks("toml")[1].splitlines()) <= 24
    (tmp_path / "adapter_hub_haiku.py").write_text(source)
    info = tmp_path / "adapter_hub_haiku-0.1.0.dist-info"
    info.mkdir()
    name, version = settings["project"]["name"], settings["project"]["version"]
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = settings["project"]["entry-points"]["adapter_hub"]
    lines = "".join(f"{key} = {value}\n" for key, value in points.items())
    (info / "entry_points.txt").write_text(f"[adapter_hub]\n{lines}")
    settings_of = {**os.environ, "PYTHONPATH": str(tmp_path), "ADAPTER_HUB_PLUGINS": "haiku"}

    def output(*words: str) -> str:
        command = [sys.executable, "-m", "adapter_hub", *words]
        done = subprocess.run(
            command, env=settings_of, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert "ok" in output("plugins")
    assert "target_modules" in output("methods", "ia3")
    assert "a crow on the branch" in output("datasets", "haiku")


@pytest.mark.slow
def test_the_tour_of_own_data_runs_as_written(tmp_path: Path) -> None:
    rows = [f'{{"prompt": "Q: {n} plus one?", "completion": " {n + 1}"}}' for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    tour = next(block for block in blocks("sh") if "adapter-hub init" in block)
    script = f"set -e\nadapter-hub() {{ '{sys.executable}' -m adapter_hub \"$@\"; }}\n{tour}"
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True, timeout=900)
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == len(rows)
    call = next(block for block in blocks("python") if "from adapter_hub import Registry" in block)
    done = subprocess.run(
        [sys.executable, "-c", call], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
