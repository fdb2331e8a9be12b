"""Cold commands import the standard library, click, tomli and pluggy, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from workshop import add_to_registry

HEAVY = (
    "torch",
    "transformers",
    "peft",
    "huggingface_hub",
    "datasets",
    "accelerate",
    "numpy",
    "pyarrow",
    "matplotlib",
)
ALLOWED = {"adapter_hub", "click", "tomli", "pluggy"}

PROBE = """
import json, sys
before = set(sys.modules)
from adapter_hub.cli.main import group
try:
    group.main(sys.argv[1:], prog_name="adapter-hub")
except SystemExit as end:
    code = end.code
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps({"code": code, "new": sorted(new)}), file=sys.stderr)
"""


def modules_after(*arguments: str) -> tuple[int, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    told = json.loads(done.stderr.splitlines()[-1])
    return told["code"], set(told["new"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("list", "--json"),
        ("show", "sums"),
        ("status",),
        ("verify",),
        ("lock",),
        ("lock", "--json"),
        ("list", "--where", "rank>=1", "--text", "sums", "--sort", "-dataset"),
        ("duplicates",),
        ("gc",),
        ("schema",),
        ("--help",),
        ("--version",),
        ("train", "--help"),
    ],
    ids=" ".join,
)
def test_cold_commands_stay_cold(project: Path, arguments: tuple[str, ...]) -> None:
    add_to_registry(project, '\n[adapters.sums]\nbase = "llama"\ndata = "rows.jsonl"\n')
    code, new = modules_after(*arguments)
    assert code == 0
    assert third_party(new) <= ALLOWED


@pytest.mark.parametrize(
    "arguments",
    [
        ("lineage", "sums"),
        ("history", "sums"),
        ("history", "sums", "--json"),
        ("alias", "--list"),
    ],
    ids=" ".join,
)
def test_what_looks_at_versions_stays_cold(project: Path, arguments: tuple[str, ...]) -> None:
    version = "[adapters.sums.versions.1]\ncreated = 2026-01-01T00:00:00Z\nfiles = {}\n"
    add_to_registry(project, f'\n[adapters.sums]\nbase = "llama"\n{version}')
    code, new = modules_after(*arguments)
    assert code == 0
    assert third_party(new) <= ALLOWED


@pytest.mark.slow
def test_doctor_has_another_process_import_torch(project: Path) -> None:
    code, new = modules_after("doctor", "--offline")
    assert code == 0
    assert not new & {"torch", "transformers", "peft", "accelerate"}


def third_party(new: set[str]) -> set[str]:
    # tomli's wheel is compiled; its helper module has a name of its own.
    ours = sys.stdlib_module_names | {name for name in new if name.endswith("__mypyc")}
    return {name for name in new - ours if not name.startswith("_")}


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "sums", "--base", "llama", "--data", "rows.jsonl", "-o", "r=eight"),
        ("train", "sums", "--base", "llama", "--data", "rows.jsonl", "-o", "lora_aplha=8"),
        ("train", "sums", "--base", "nope", "--data", "rows.jsonl"),
        ("train", "sums", "--base", "llama", "--data", "shakespear"),
        ("train", "sums", "--base", "llama", "--data", "rows.jsonl", "--method", "lara"),
        ("train", "sums", "--base", "llama", "--data", "rows.jsonl", "--learning-rate", "-1"),
        ("diff", "nope", "sums"),
        ("diff", "sums", "base:llama"),
        ("run", "nope", "hello"),
        ("run", "nope", "hello", "--top-p", "3"),
        ("run", "nope"),
        ("run", "base:nope", "hello"),
        ("run", "base:nope"),
        ("run", "./nope", "hello"),
        ("run", "./nope"),
        ("eval", "nope", "--data", "rows.jsonl"),
        ("eval", "base:llama", "--data", "shakespear"),
        ("eval", "base:llama"),
        ("export", "nope", "out", "--format", "merged"),
        ("export", "nope", "out", "--format", "ollama"),
        ("run", "base:llama", "hello", "--prompts", "rows.jsonl"),
        ("run", "base:llama", "hello", "--column-map", "q=prompt"),
        ("run", "base:llama", "--prompts", "rows.jsonl", "--column-map", "q"),
    ],
    ids=" ".join,
)
def test_a_typo_is_found_before_anything_heavy(project: Path, arguments: tuple[str, ...]) -> None:
    code, new = modules_after(*arguments)
    assert code == 2
    assert not new & set(HEAVY)
