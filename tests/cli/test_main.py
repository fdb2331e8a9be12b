"""The group: help, suggestions, and errors as people and programs see them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from workshop import add_to_registry

from adapter_hub.cli.main import SECTIONS, group

Hub = Callable[..., Any]


def all_commands() -> list[tuple[str, click.Command]]:
    context = click.Context(group)
    found: list[tuple[str, click.Command]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", each) for sub, each in command.commands.items()]
    return found


@pytest.mark.parametrize(
    ("name", "command"), all_commands(), ids=lambda each: each if isinstance(each, str) else ""
)
def test_every_command_has_help_with_an_example(name: str, command: click.Command) -> None:
    assert command.help
    if not isinstance(command, click.Group):
        assert command.epilog is not None
        assert command.epilog.startswith(f"Example: adapter-hub {name}")
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"


def test_help_lists_every_command(hub: Hub) -> None:
    result = hub("--help")
    assert result.code == 0
    for names in SECTIONS.values():
        for name in names:
            assert f"  {name}" in result.out


def test_unknown_command_is_suggested(hub: Hub) -> None:
    result = hub("trian")
    assert result.code == 2
    assert "did you mean 'train'?" in result.err


def test_unknown_adapter_is_suggested(hub: Hub, project: Path) -> None:
    add_to_registry(project, '\n[adapters.sums]\nbase = "llama"\n')
    result = hub("show", "summs")
    assert (result.code, result.out) == (2, "")
    assert (
        result.err
        == "Error: registry.toml has no adapter 'summs' (did you mean 'sums'?).\n  adapter-hub list\n"
    )


def test_missing_registry(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = hub("list")
    assert result.code == 1
    assert "there is no registry.toml" in result.err
    assert "adapter-hub init" in result.err


def test_malformed_registry_names_file_and_line(hub: Hub, project: Path) -> None:
    (project / "registry.toml").write_text("schema = 1\n[bases.x\n")
    result = hub("list")
    assert result.code == 1
    assert "registry.toml is not valid TOML" in result.err
    assert "line 2" in result.err
    assert "Traceback" not in result.err


def test_registry_by_flag_and_by_environment(
    hub: Hub,
    project: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert "llama" in hub("--registry", str(project / "registry.toml"), "base", "list").out
    assert "llama" in hub("--registry", str(project), "base", "list").out
    monkeypatch.setenv("ADAPTER_HUB_REGISTRY", str(project / "registry.toml"))
    assert "llama" in hub("base", "list").out


def test_an_unexpected_error_is_one_line_and_a_traceback_on_request(
    hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapter_hub.registry.store import Registry

    def broken(self: Registry) -> list[str]:
        raise RuntimeError("boom")

    monkeypatch.setattr(Registry, "base_names", broken)
    result = hub("base", "list")
    assert result.code == 1
    assert "RuntimeError: boom" in result.err
    assert "ADAPTER_HUB_DEBUG=1" in result.err
    monkeypatch.setenv("ADAPTER_HUB_DEBUG", "1")
    with pytest.raises(RuntimeError, match="boom"):
        hub("base", "list")


def test_quiet_before_and_behind_the_command(hub: Hub, project: Path) -> None:
    assert hub("list").err != ""
    assert hub("-q", "list").err == ""
    assert hub("list", "-q").err == ""
