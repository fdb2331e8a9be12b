"""Clients of several versions, each in an environment of its own, with Xet and without."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import workshop
from hubbox import HubBox

ROOT = Path(__file__).parent.parent.parent
STORY = Path(__file__).parent / "client_story.py"
CHAPTERS = [
    "create",
    "upload",
    "stale",
    "refs",
    "paths",
    "pages",
    "snapshots",
    "delete",
    "private",
]
VERSIONS = ("1.0.0", "1.31.0", "2.4.0")
"""The oldest that adapter-hub works with, the oldest that transformers takes, and the newest."""
LOADING = ("1.31.0", "2.4.0")
XET = pytest.mark.parametrize("xet", [True, False], ids=["xet", "no-xet"])

Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.slow


@cache
def python_with(version: str) -> Path:
    """The interpreter of an environment with this huggingface_hub, and what else is installed here.

    Made once, outside the repository. Skips where pip cannot bring the client.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    tag = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = home / "adapter-hub" / "clients" / f"{version}-py{tag}"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(
            [*pip, f"huggingface_hub=={version}", "hf-xet"], capture_output=True, text=True
        )
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            pytest.skip(f"pip cannot install huggingface_hub {version}: {said}")
        (folder / "complete").touch()
    # The client of the environment comes first; torch, transformers and peft are the tests' own.
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    Path(packages, "tests.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return python


@pytest.fixture
def run(box: HubBox, tmp_path: Path) -> Run:
    """``run(version, xet, arguments…)``: a process of that environment, with a token of ann's."""

    def run(version: str, xet: bool, *arguments: object) -> subprocess.CompletedProcess[str]:
        settings = {
            **os.environ,
            "HF_ENDPOINT": box.endpoint,
            "HF_TOKEN": "token-of-ann",
            "HF_HOME": str(tmp_path / "hf-home"),
            "HF_HUB_OFFLINE": "0",
            "PYTHONPATH": str(ROOT),
        }
        if not xet:
            settings["HF_HUB_DISABLE_XET"] = "1"
        done = subprocess.run(
            [python_with(version), *arguments],
            cwd=tmp_path,
            env=settings,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def told(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout.splitlines()[-1])


@XET
@pytest.mark.parametrize("version", VERSIONS)
def test_all_that_a_client_does(run: Run, version: str, xet: bool, box: HubBox) -> None:
    name = f"story-{version}-{xet}"
    expected = {"huggingface_hub": version, "xet": xet, "chapters": CHAPTERS}
    assert told(run(version, xet, STORY, name)) == expected
    # What has 1,010 files came in two pages.
    assert box.log().count(f"/ann/{name}/tree/many/many 200") == 2


@XET
@pytest.mark.parametrize("version", VERSIONS)
def test_push_and_pull(
    run: Run, version: str, xet: bool, trained: Path, tmp_path: Path, box: HubBox
) -> None:
    repo = f"ann/pushed-{version}-{xet}"
    ours = [*workshop.ADAPTER_HUB[1:], "--registry"]
    shutil.copytree(trained, tmp_path / "ann")
    (tmp_path / "ben").mkdir()
    (tmp_path / "ben" / "registry.toml").write_text("schema = 1\n")
    ann, ben = (tmp_path / each / "registry.toml" for each in ("ann", "ben"))
    base = ["--base-repo", f"ann/base@{'b' * 40}"]

    def said(registry: Path, *arguments: str) -> Any:
        return json.loads(run(version, xet, *ours, registry, *arguments, "--json").stdout)

    assert said(ann, "whoami")["name"] == "ann"
    assert said(ann, "push", "sums", repo, *base)["committed"]
    assert not said(ann, "push", "sums", repo, *base)["committed"]
    pulled = said(ben, "pull", repo, "--as", "adding")
    assert (pulled["version"], pulled["new"]) == (1, True)
    assert not said(ben, "pull", repo, "--as", "adding")["new"]


@XET
@pytest.mark.parametrize("version", LOADING)
def test_an_adapter_and_its_base_load_from_it(
    run: Run, version: str, xet: bool, trained: Path, tmp_path: Path, bases: dict[str, Path]
) -> None:
    repo, base = (f"ann/{each}-{version}-{xet}" for each in ("adapter", "base"))
    upload = (
        "import sys, huggingface_hub as hub; api = hub.HfApi(); api.create_repo(sys.argv[1]);"
        "api.upload_folder(repo_id=sys.argv[1], folder_path=sys.argv[2])"
    )
    run(version, xet, "-c", upload, base, bases["llama"])
    registry = Path(shutil.copytree(trained, tmp_path / "ann")) / "registry.toml"
    push = ["push", "sums", repo, "--base-repo", base]
    run(version, xet, *workshop.ADAPTER_HUB[1:], "--registry", registry, *push)
    expected = {"huggingface_hub": version, "xet": xet, "chapters": ["load", "LoraModel"]}
    assert told(run(version, xet, STORY, "--load", repo)) == expected
