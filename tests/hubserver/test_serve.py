"""The command: how it starts, what it prints, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import workshop
from hubbox import HubBox
from huggingface_hub import HfApi


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*workshop.ADAPTER_HUB, "hub", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_says_how_it_is_used_and_ends_when_asked(tmp_path: Path, how: signal.Signals) -> None:
    with HubBox(tmp_path / "box") as box:
        assert HfApi(endpoint=box.endpoint, token=box.token).whoami()["name"] == "local"
        assert box.process
        assert box.process.stdout
        box.process.send_signal(how)
        assert box.process.wait(30) == 0
        assert box.process.stdout.read() == f"export HF_TOKEN={box.token}\n"
    assert box.log().splitlines()[-1] == "stopped"
    assert box.token not in box.log()
    assert (tmp_path / "box" / "token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_asked_at_its_very_start(tmp_path: Path, how: signal.Signals) -> None:
    with HubBox(tmp_path / "box") as box:
        assert box.process
        box.process.send_signal(how)
        assert box.process.wait(30) == 0


def test_its_folder_is_not_committed_by_accident(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    with HubBox(tmp_path / "box") as box:
        assert box.token
    list_new = ["git", "-C", str(tmp_path), "ls-files", "--others", "--exclude-standard", "box"]
    assert subprocess.run(list_new, capture_output=True, text=True, check=True).stdout == ""


def test_what_was_stored_is_there_after_a_kill(tmp_path: Path) -> None:
    with HubBox(tmp_path / "box") as box:
        api = HfApi(endpoint=box.endpoint, token=box.token)
        api.create_repo("sums")
        made = api.upload_file(repo_id="local/sums", path_or_fileobj=b"x", path_in_repo="x.txt")
        assert box.process
        box.process.kill()
        box.process.wait(30)
    with HubBox(tmp_path / "box") as again, HubBox(tmp_path / "box") as beside:
        assert again.token == beside.token == box.token
        for each in (again, beside):
            api = HfApi(endpoint=each.endpoint, token=each.token)
            assert api.repo_info("local/sums").sha == made.oid
        assert again.process
        assert again.process.stdout
    assert "the token of user local is in" in again.log()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = serve(str(tmp_path / "box"), "--port", str(port))
    assert done.returncode == 1
    assert f"127.0.0.1 port {port} cannot be listened on: another program has it" in done.stderr
    assert "--port 0" in done.stderr
    assert done.stdout == ""


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = serve(str(tmp_path / "file" / "box"), "--port", "0")
    assert done.returncode == 1
    assert "cannot be read or written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mirror_from_the_command_line(tmp_path: Path) -> None:
    commit, cache = "a" * 40, tmp_path / "cache"
    snapshot = cache / "models--team--base" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    command = [*workshop.ADAPTER_HUB, "hub", "mirror", str(tmp_path / "box"), "team/base"]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        settings = {**os.environ, "HF_HUB_CACHE": str(cache)}
        return subprocess.run([*command, *options], capture_output=True, text=True, env=settings)

    assert run().returncode == 2
    assert run("--from-cache").returncode == 2
    done = run("--from-cache", "--revision", commit)
    assert done.stdout == f"team/base at {commit}: 1 files, 2 bytes\n", done.stderr
    assert (tmp_path / "box" / "models" / "team" / "base" / "commits" / f"{commit}.json").exists()


def test_a_wrong_file_of_users(tmp_path: Path) -> None:
    (tmp_path / "users.toml").write_text("[users.ann]\n")
    done = serve(str(tmp_path / "box"), "--users", str(tmp_path / "users.toml"))
    assert done.returncode == 2
    assert "users.ann has either token or token_sha256" in done.stderr
    assert not (tmp_path / "box").exists()
