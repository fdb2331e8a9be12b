"""``doctor``: each check on real folders, real locks, real servers."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakes
import pytest
import workshop
from filelock import FileLock

from adapter_hub.doctor import examine, hubs, places, plugins, registry, settings, stack
from adapter_hub.doctor.findings import Finding, size, told_openly, without_names
from adapter_hub.registry.lockfile import resolve_registry, write_lock
from adapter_hub.registry.store import Registry

VERSION = "\n[adapters.sums.versions.1]\ncreated = 2026-01-01T00:00:00Z\nfiles = {}\n"
SUMS = '\n[adapters.sums]\nbase = "llama"\ndata = "rows.jsonl"\n'


def states(found: Any) -> list[str]:
    found = list(found)
    assert all(each.next for each in found if each.state != "ok")
    return [each.state for each in found]


def texts(found: Any) -> str:
    return "\n".join(f"{each.text} → {each.next}" for each in found)


def test_nothing_private_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("LOGNAME", "ada")
    assert without_names("/home/ada/r/registry.toml") == "~/r/registry.toml"
    assert without_names("/home/adam and /home/ada.b") == "/home/adam and /home/ada.b"
    assert without_names("/scratch/ada/x, /scratch/ada") == "/scratch/USER/x, /scratch/USER"
    assert without_names("https://ada:secret@hub.org/x") == "https://…@hub.org/x"
    assert without_names("it said hf_abcdefghijkl") == "it said hf_…"
    finding = Finding("disk", "problem", "/home/ada", "ls /home/ada")
    assert told_openly(finding) == Finding("disk", "problem", "~", "ls ~")


def test_sizes() -> None:
    assert [size(each) for each in (0, 999, 1000, 2.5e9, 4e15)] == [
        "0 bytes", "999 bytes", "1 KB", "2.5 GB", "4e+03 TB",
    ]  # fmt: skip


def test_secrets_are_only_set() -> None:
    told = texts(
        settings.variables(
            {"HF_TOKEN": "hf_x", "HF_HOME": "/x", "PATH": "/bin", "ADAPTER_HUB_KEY": "k"}
        )
    )
    assert "HF_TOKEN is set" in told
    assert "ADAPTER_HUB_KEY is set" in told
    assert "HF_HOME=/x" in told
    assert "hf_x" not in told
    assert "PATH" not in told


def test_the_stack_is_as_demanded(site: fakes.Site) -> None:
    assert states(stack.versions()) == ["ok"] * 3
    found = list(stack.demands())
    assert states(found) == ["ok"], texts(found)
    assert "torch 2" in found[0].text


def test_another_version_and_a_missing_one(tmp_path: Path) -> None:
    """In a process that finds other metadata first."""
    for name, about in {
        "click-7.0": "Name: click\nVersion: 7.0\n",
        "peft-99": "Name: peft\nVersion: 99\nRequires-Dist: no-such-thing>=3\n",
    }.items():
        (tmp_path / f"{name}.dist-info").mkdir()
        (tmp_path / f"{name}.dist-info/METADATA").write_text(f"Metadata-Version: 2.1\n{about}")
    code = (
        "from adapter_hub.doctor import stack\n"
        "for each in stack.demands(): print(each.state, each.text, each.next)"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "problem adapter-hub needs click>=8.1, and 7.0 is installed pip install" in done.stdout
    assert "problem peft needs no-such-thing>=3, which is not installed" in done.stdout


def test_a_registry_that_is_whole(project: Path) -> None:
    opened: list[Registry] = []
    found = list(registry.read(None, opened))
    assert states(found) == ["ok"]
    assert "bases 5, adapters 0, versions 0" in found[0].text
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("text", "state", "words"),
    [
        ("\n[adapters.sums\n", "problem", "registry.toml"),
        ("\n[adapters.sums]\nbase = 3\n", "problem", "base"),
        ('\n[adapters.sums]\nbsae = "llama"\n', "warning", "'bsae'"),
    ],
)
def test_a_registry_that_is_not(project: Path, text: str, state: str, words: str) -> None:
    workshop.add_to_registry(project, text)
    found = list(registry.read(None, []))
    assert state in states(found)
    assert words in texts(found)


def test_no_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = list(registry.read(None, []))
    assert states(found) == ["warning"]
    assert found[0].next == "adapter-hub init"


def test_folders_that_are_gone_and_what_is_left_over(project: Path) -> None:
    workshop.add_to_registry(project, SUMS + VERSION)
    here = Registry.open()
    assert "sums@1" in texts(registry.folders(here))
    assert states(registry.leftovers(here)) == ["ok"]
    for name in ("sums/1", "sums/2", "sums/.staging-x", ".renaming-y", "old/1", ".runs/sums"):
        (project / "adapters" / name).mkdir(parents=True)
    assert states(registry.folders(here)) == ["ok"]
    (project / ".registry.toml.abc").touch()
    (project / ".registry.toml.lock").touch()
    told = texts(registry.leftovers(here))
    assert told.count("is not in the registry") == 5
    for name in ("adapters/sums/2", ".staging-x", ".renaming-y", "adapters/old", "toml.abc"):
        assert f"{name} is not" in told
    assert "interrupted" not in told
    (project / "adapters/.runs/sums/checkpoint.safetensors").touch()
    assert "adapter-hub train sums --resume" in texts(registry.leftovers(here))
    (project / "adapters/.runs/sums").rename(project / "adapters/.runs/sums+0123456789ab")
    assert "adapter-hub sweep sums, with" in texts(registry.leftovers(here))


def test_a_lock_that_is_old(project: Path) -> None:
    here = Registry.open()
    assert states(registry.lock_file(here)) == ["ok"]
    write_lock(here, resolve_registry(here))
    assert states(registry.lock_file(here)) == ["ok"]
    workshop.add_to_registry(project, '\n[bases.more]\nsource = "plugin:tiny"\n')
    found = list(registry.lock_file(Registry.open()))
    assert states(found) == ["warning"]
    assert "base more is new" in found[0].text
    (project / "registry.lock").write_text("lock = ")
    assert states(registry.lock_file(here)) == ["problem"]


def test_merge_union_is_a_problem(project: Path) -> None:
    here = Registry.open()
    assert states(registry.git_attributes(here)) == []
    subprocess.run(["git", "init", "-q"], check=True, cwd=project)
    assert states(registry.git_attributes(here)) == ["ok"]
    (project / ".gitattributes").write_text("*.toml merge=union\n")
    assert states(registry.git_attributes(here)) == ["problem"]


def test_locks(project: Path) -> None:
    here = Registry.open()
    before = sorted(project.iterdir())
    assert states(places.lock(here)) == ["ok"]
    assert sorted(project.iterdir()) == before
    with FileLock(project / ".registry.toml.lock"):
        found = list(places.lock(here))
    assert states(found) == ["warning", "ok"]
    assert "held by another" in found[0].text


def test_places(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTER_HUB_CACHE", str(project / "cache"))
    assert "not made yet" in texts(places.caches())
    (project / "cache/bases").mkdir(parents=True)
    (project / "cache/bases/x").write_bytes(bytes(5000))
    assert "cache, 5 KB" in texts(places.caches())
    assert states(places.disk(None))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folders_that_cannot_be_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTER_HUB_CACHE", str(project / "cache"))
    here = Registry.open()
    project.chmod(0o555)
    try:
        assert "problem" in states(places.lock(here))
        assert "problem" in states(places.caches())
    finally:
        project.chmod(0o755)


def test_plugins_that_work_and_are_broken(site: fakes.Site) -> None:
    assert states(plugins.loaded()) == ["ok"]
    site.install("fake_broken", "raise RuntimeError('no luck')\n")
    found = list(plugins.loaded())
    assert states(found) == ["problem"]
    assert "no luck" in found[0].text


class Answers(http.server.BaseHTTPRequestHandler):
    """Takes one token, and is behind a redirection at another path."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.seen.append((self.path, self.headers.get("Authorization")))
        token = self.headers.get("Authorization")
        if server.moved:
            self.send_response(302)
            self.send_header("Location", server.moved)
        else:
            self.send_response(401 if token not in (None, "Bearer right") else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_said: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[Any]:
    one: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    one.seen, one.moved = [], None
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield one
    one.shutdown()
    one.server_close()


def endpoint(server: Any) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_hubs(server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_STORED_TOKENS_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("HF_ENDPOINT", endpoint(server))
    assert "there is no token for it" in texts(hubs.ask(None, False))
    monkeypatch.setenv("HF_TOKEN", "right")
    found = list(hubs.ask(None, False))
    assert states(found) == ["ok"]
    assert "right" not in texts(found)
    monkeypatch.setenv("HF_TOKEN", "wrong")
    found = list(hubs.ask(None, False))
    assert states(found) == ["problem"]
    assert found[0].next == "correct HF_TOKEN, or: unset HF_TOKEN"  # it goes before a login
    asked = len(server.seen)
    assert states(hubs.ask(None, True)) == ["ok"]
    assert len(server.seen) == asked
    server.moved = f"{endpoint(server)}/elsewhere"
    assert states(hubs.ask(None, False)) == ["warning"]
    assert len(server.seen) == asked + 1  # the token did not follow


def test_a_hub_that_is_not_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    workshop.add_to_registry(project, '\n[remotes.team]\nendpoint = "http://127.0.0.1:9"\n')
    found = list(hubs.ask(Registry.open(), False))
    assert states(found) == ["warning", "warning"]
    assert "team (http://127.0.0.1:9) cannot be reached" in found[1].text
    monkeypatch.setenv("HF_ENDPOINT", "nowhere")
    assert states(hubs.ask(None, False)) == ["problem"]


def test_a_check_that_breaks_is_a_finding() -> None:
    def broken() -> Iterator[Finding]:
        yield Finding("x", "ok", "so far")
        raise ZeroDivisionError("by zero")

    found = examine._made("x", broken)
    assert states(found) == ["problem"]
    assert "ZeroDivisionError: by zero" in found[0].text


@pytest.mark.slow
def test_the_command(project: Path) -> None:
    command = [*workshop.ADAPTER_HUB, "doctor", "--offline"]
    settings_of = {**os.environ, "HF_TOKEN": "hf_verysecretindeed", "HOME": str(project)}

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], env=settings_of, capture_output=True, text=True)

    done = run("--json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    checks = {each["check"] for each in found}
    assert checks >= {"adapter-hub", "python", "stack", "torch", "registry", "lock", "disk", "hub"}
    assert "hf_very" not in done.stdout
    assert str(project) not in done.stdout
    workshop.add_to_registry(project, "\n[adapters.sums\n")
    done = run()
    assert done.returncode == 1
    assert "problem" in done.stdout
    assert "1 problem," in done.stderr
    assert "Traceback" not in done.stderr
