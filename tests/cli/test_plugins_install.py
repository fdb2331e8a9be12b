"""``plugins install`` and ``plugins uninstall``: real pip, in an environment of the test's own."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import Site, write_wheel
from fresh import Fresh

Hub = Callable[..., Any]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

GOOD = (
    "from adapter_hub import hookimpl\n"
    "@hookimpl\n"
    "def register_methods(register): register('made-up', 'peft:IA3Config')\n"
    "@hookimpl\n"
    "def register_datasets(register): register('numbers', lambda: iter('123'))\n"
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """adapter-hub in an environment of its own."""
    fresh = Fresh(tmp_path / "environment")
    return functools.partial(fresh.run, "adapter-hub", cwd=tmp_path)


@pytest.mark.slow
def test_install_and_uninstall(run: Run, tmp_path: Path) -> None:
    write_wheel(tmp_path, "good", GOOD, "[adapter_hub]\ngood = fake_good\n")
    write_wheel(tmp_path, "bad", "1 / 0\n", "[adapter_hub]\nbad = fake_bad\n")
    write_wheel(tmp_path, "plain", "")
    wheels = [f"./dist_{name}-1.2-py3-none-any.whl" for name in ("good", "bad", "plain")]
    done = run("plugins", "install", *wheels)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "good (dist-good 1.2): ok, method made-up, dataset numbers",
        "bad (dist-bad 1.2): ZeroDivisionError: division by zero",
        "dist-plain (dist-plain 1.2): it is no plugin of adapter-hub",
    ]
    assert "Successfully installed" in done.stderr

    # What is there already is checked all the same.
    done = run("-q", "plugins", "install", "Dist_Good", wheels[0], "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = json.loads(done.stdout)
    assert (line["name"], line["status"], line["version"]) == ("good", "ok", "1.2")

    (tmp_path / "registry.toml").write_text(
        'schema = 1\n[adapters.a]\nmethod = "made-up"\ndata = "numbers"\n[adapters.b]\n'
    )
    done = run("plugins", "uninstall", "good", "dist-bad")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nobody can be asked here whether to remove dist-good 1.2, dist-bad 1.2" in done.stderr
    assert "adapter 'a' needs it for method made-up, dataset numbers." in done.stderr
    assert "adapter 'b'" not in done.stderr
    done = run("plugins", "uninstall", "good", "dist-bad", "--yes")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.endswith("removed dist-good 1.2, dist-bad 1.2\n")
    names = {each["name"] for each in json.loads(run("plugins", "--json").stdout)}
    assert not names & {"good", "bad"}


@pytest.mark.slow
def test_one_that_is_not_allowed_is_not_run(run: Run, tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'imported')!r}, 'w')\n" + GOOD
    wheel = write_wheel(tmp_path, "good", code, "[adapter_hub]\ngood = fake_good\n")
    done = run("plugins", "install", str(wheel), ADAPTER_HUB_PLUGINS="others")
    assert done.returncode == 1
    assert done.stdout == "dist-good (dist-good 1.2): ADAPTER_HUB_PLUGINS does not allow it\n"
    assert not (tmp_path / "imported").exists()


@pytest.mark.slow
def test_one_that_ends_the_process_is_said(run: Run, tmp_path: Path) -> None:
    fatal = "import os; os._exit(7)\n"
    wheel = write_wheel(tmp_path, "fatal", fatal, "[adapter_hub]\nfatal = fake_fatal\n")
    done = run("plugins", "install", str(wheel))
    assert (done.returncode, done.stdout) == (1, "")
    error, hint = done.stderr.splitlines()[-2:]
    assert error == (
        "Error: dist-fatal: installed, but adapter-hub does not work any more (exit code 7)."
    )
    assert hint.endswith("-m pip uninstall dist-fatal")
    assert run("list").returncode == 1  # there is no registry, and no plugin was asked


def test_what_pip_cannot_do_is_one_line(hub: Hub, tmp_path: Path) -> None:
    done = hub("plugins", "install", str(tmp_path / "no-such.whl"))
    assert (done.code, done.out) == (1, "")
    assert "ERROR: " in done.err
    assert f"Error: pip could not install {tmp_path / 'no-such.whl'}; its reason is above." in (
        done.err
    )
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", ["--index-url=http://x", " -r x", "-e", "", " ", "a\n-r b"])
@pytest.mark.parametrize("what", ["install", "uninstall"])
def test_pip_gets_no_options(hub: Hub, what: str, name: str) -> None:
    done = hub("plugins", what, "--", "fine", name)
    assert (done.code, done.out) == (2, "")
    assert "is not a name, a path or a requirement" in done.err


def test_only_plugins_are_uninstalled(hub: Hub, site: Site) -> None:
    site.install("good", GOOD)
    for name in ("click", "adapter-hub", "no-such-thing"):
        done = hub("plugins", "uninstall", name, "--yes")
        assert done.code == 2
        assert f"'{name}' is no plugin that is installed here" in done.err
    assert "did you mean 'dist-good'?" in hub("plugins", "uninstall", "dist-god", "--yes").err


def test_a_name_that_two_bring(hub: Hub, site: Site) -> None:
    site.install("good", GOOD)
    site.install("good", None, distribution="dist-b")
    done = hub("plugins", "uninstall", "good", "--yes")
    assert done.code == 2
    assert "both bring a plugin 'good'" in done.err


def test_what_lies_elsewhere_is_left_and_said(hub: Hub, site: Site) -> None:
    site.install("good", GOOD)
    done = hub("plugins", "uninstall", "good", "--yes")
    assert done.code == 1
    assert f"dist-good is still there: it lies in {site.folder}" in done.err
    assert (site.folder / "fake_good.py").exists()


def test_the_flags_of_the_list_are_not_for_what_is_below_it(hub: Hub) -> None:
    done = hub("plugins", "--check", "uninstall", "x")
    assert done.code == 2
    assert "--check and --json are for the list, not for uninstall" in done.err
