"""A plugin's command: found when it is named, translated like our own, alone when it breaks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import COMMANDS, Site

Hub = Callable[..., Any]

GREET = (
    "import click\n"
    "@click.command(epilog='Example: adapter-hub greet you')\n"
    "@click.argument('name')\n"
    "@click.option('--times', type=int, default=1, help='How often.')\n"
    "@click.pass_obj\n"
    "def command(context, name, times):\n"
    "    '''Greet NAME.'''\n"
    "    context.say('talk')\n"
    "    click.echo(f'hello {name} ' * times)\n"
)


def install(site: Site, name: str, code: str | None = GREET, **how: str) -> None:
    how.setdefault("target", f"fake_{name}:command")
    site.install(name, code, group=COMMANDS, **how)


def raising(what: str) -> str:
    return f"import click\n@click.command()\ndef command():\n    {what}\n"


def test_it_runs_like_one_of_ours(hub: Hub, site: Site) -> None:
    install(site, "greet")
    done = hub("greet", "you", "--times", "2")
    assert (done.code, done.out, done.err) == (0, "hello you hello you \n", "talk\n")
    assert hub("-q", "greet", "you").err == ""
    assert "Greet NAME." in hub("greet", "-h").out


def test_what_was_typed_wrongly_is_said_as_ever(hub: Hub, site: Site) -> None:
    install(site, "greet")
    assert "Invalid value for '--times'" in hub("greet", "you", "--times", "x").err
    assert hub("greet").code == 2
    done = hub("great")
    assert (done.code, "did you mean 'greet'?" in done.err) == (2, True)
    assert "did you mean 'train'?" in hub("trian").err


def test_a_group_of_commands(hub: Hub, site: Site) -> None:
    code = GREET.replace("def command", "def one") + (
        "@click.group()\ndef command(): pass\ncommand.add_command(one, 'one')\n"
    )
    install(site, "many", code)
    assert hub("many", "one", "you").out == "hello you \n"


def test_help_lists_them_on_request_and_imports_none(hub: Hub, site: Site) -> None:
    install(site, "greet")
    install(site, "train")
    assert "greet" not in hub("--help").out
    for arguments in (("--help", "--all"), ("--all", "--help"), ("--all",)):
        told = " ".join(hub(*arguments).out.split())
        assert "Plugin commands: greet of dist-greet 1.2 train of dist-train: " in told
        assert "dist-train: command 'train' is already built in" in told
    assert not {"fake_greet", "fake_train"} & set(sys.modules)


def test_help_says_when_there_are_none(hub: Hub) -> None:
    assert "Plugin commands:\n  none" in hub("--help", "--all").out


BROKEN = {
    "import error": ("import no_such_module\n", "ModuleNotFoundError: No module named"),
    "syntax error": ("def broken(:\n", "SyntaxError"),
    "exit": ("import sys; sys.exit(4)\n", "it called sys.exit(4)"),
    "nothing there": ("", "AttributeError"),
    "no command": ("def command(): pass\n", "fake_broken:command is not a click command"),
}


@pytest.mark.parametrize(("code", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_one_is_one_line(hub: Hub, site: Site, code: str, reason: str) -> None:
    install(site, "broken", code)
    install(site, "greet")
    for arguments in (("broken",), ("broken", "--help"), ("broken", "more")):
        done = hub(*arguments)
        assert (done.code, done.out) == (1, "")
        first, hint = done.err.splitlines()
        assert first.startswith("Error: command 'broken' of dist-broken cannot be used: ")
        assert reason in first
        assert hint == "  adapter-hub plugins"
    assert hub("greet", "you").code == 0


def test_the_list_says_which_work(hub: Hub, site: Site) -> None:
    install(site, "greet")
    install(site, "broken", "1 / 0\n")
    install(site, "train")
    install(site, "early", requires="adapter-hub>=99")
    built_in, *lines = hub("plugins", "--json").json
    assert built_in["name"] == "built in"
    told = {each["name"]: each for each in lines}
    assert told["greet"] == {
        "name": "greet",
        "distribution": "dist-greet",
        "version": "1.2",
        "status": "ok",
        "offers": ["command greet"],
    }
    assert told["broken"]["status"] == "ZeroDivisionError: division by zero"
    assert told["train"]["status"] == "command 'train' is already built in"
    assert told["early"]["status"].startswith("it needs adapter-hub>=99")
    assert {each["version"] for each in lines} == {"1.2"}
    assert hub("plugins", "--check").code == 1


def test_of_two_with_one_name_the_later_is_rejected(hub: Hub, site: Site) -> None:
    install(site, "greet", distribution="dist-b", target="fake_b:command")
    install(site, "greet", distribution="dist-a")
    told = {each["distribution"]: each["status"] for each in hub("plugins", "--json").json}
    assert told["dist-a"] == "ok"
    assert told["dist-b"] == "command 'greet' is already offered by dist-a"
    assert hub("greet", "you").code == 0


def test_only_what_is_allowed(hub: Hub, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "greet")
    monkeypatch.setenv("ADAPTER_HUB_PLUGINS", "")
    assert "there is no command 'greet'" in hub("greet", "you").err
    assert "greet" not in hub("--help", "--all").out
    monkeypatch.setenv("ADAPTER_HUB_PLUGINS", "dist-greet")
    assert hub("greet", "you").code == 0


def test_strict_ends_the_list(hub: Hub, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "broken", "1 / 0\n")
    monkeypatch.setenv("ADAPTER_HUB_STRICT_PLUGINS", "1")
    done = hub("plugins")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Error: plugin broken (dist-broken): ZeroDivisionError")


def test_our_errors_and_clicks_are_translated(hub: Hub, site: Site) -> None:
    ours = "from adapter_hub.errors import ConflictError as E; raise E('it is there.', hint='go')"
    install(site, "ours", raising(ours))
    done = hub("ours")
    assert (done.code, done.err) == (4, "Error: it is there.\n  go\n")
    install(site, "clicks", raising("raise click.ClickException('no good')"))
    done = hub("clicks")
    assert (done.code, done.err) == (1, "Error: no good\n")
    install(site, "code", raising("raise click.exceptions.Exit(5)"))
    assert (hub("code").code, hub("code").err) == (5, "")
    install(site, "stopped", raising("raise KeyboardInterrupt"))
    assert hub("stopped").code == 130


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("open('no-such-file')", "FileNotFoundError: [Errno 2] No such file"),
        ("raise ConnectionError('nobody\\nthere')", "ConnectionError: nobody there"),
    ],
)
def test_any_other_error_names_the_plugin(
    hub: Hub, site: Site, what: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "bad", raising(what.replace("\n", "\\n")))
    done = hub("bad")
    assert (done.code, done.out) == (1, "")
    first, hint = done.err.splitlines()
    assert first.startswith(f"Error: command 'bad' of dist-bad broke: {line}")
    assert "ADAPTER_HUB_DEBUG=1" in hint
    monkeypatch.setenv("ADAPTER_HUB_DEBUG", "1")
    with pytest.raises((ArithmeticError, OSError)):
        hub("bad")


def test_printing_at_import_is_talk(hub: Hub, site: Site) -> None:
    install(site, "greet", "import os; os.write(1, b'noise\\n'); print('more')\n" + GREET)
    done = hub("greet", "you")
    assert done.out == "hello you \n"
    assert {"noise", "more"} < set(done.err.splitlines())


def test_what_is_built_in_never_looks(
    hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for a distribution's files: the scan itself would be seen here."""
    from importlib import metadata

    def seen() -> None:
        raise AssertionError("entry points were looked at")

    monkeypatch.setattr(metadata, "distributions", seen)
    assert hub("list").code == 0
    assert hub("list", "--help").code == 0
    assert hub("--help").code == 0
    assert "entry points were looked at" in hub("greet").err


def test_a_trace_shows_its_import(hub: Hub, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "greet")
    monkeypatch.setenv("ADAPTER_HUB_TRACE_PLUGINS", "1")
    assert "trace: import of greet (dist-greet 1.2): " in hub("greet", "you").err
