"""A registry with a conflict that git left: every command says so, and none changes anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.registry import document
from adapter_hub.registry.store import Registry

COMMANDS = [
    "list",
    "list --json",
    "show sums",
    "status",
    "history sums",
    "verify",
    "duplicates",
    "lineage sums",
    "diff sums@1 sums@2",
    "gc",
    "lock",
    "sync",
    "check sums",
    "run sums hello",
    "train sums",
    "train more --base llama",
    "train --stale",
    "push sums",
    "push --status",
    f"pull hf:me/sums@{'a' * 40}",  # without one, a large registry is read after the Hub answered
    "import folder",
    "bundle create sums.tar sums",
    "alias sums@1 prod",
    "tag sums new",
    "describe sums text",
    "rename sums other",
    "copy sums other",
    "remove sums --yes",
    "base list",
    "base add more plugin:tiny",
]


@pytest.mark.parametrize("large", [False, True])
def test_every_command_tells_of_the_conflict(
    project: Path, hub: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    for content in ("one", "two"):
        workshop.publish(Registry.open(project), "sums", content)
    adapter = project / "folder"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    path = project / "registry.toml"
    text = path.read_text()
    line = text.count("\n") + 5
    text += "\n[adapters.zeta]\nbase = 'llama'\n\n<<<<<<< HEAD\ndata = 'a'\n=======\ndata = 'b'\n>>>>>>> other\n"
    path.write_text(text)
    if large:
        monkeypatch.setattr(document, "LARGE", 0)
    before = {each: each.read_bytes() for each in project.rglob("*") if each.is_file()}
    for command in COMMANDS:
        done = hub(*command.split())
        assert done.code == 1, (command, done.out, done.err)
        assert f"registry.toml:{line}: git left a conflict here (<<<<<<< HEAD)" in done.err, (
            command,
            done.err,
        )
        assert "git add registry.toml" in done.err, command
    done = hub("doctor")
    assert done.code == 1
    assert f"registry.toml:{line}: git left a conflict here" in done.out, done.out
    after = {each: each.read_bytes() for each in project.rglob("*") if each.is_file()}
    assert {each: after[each] for each in before} == before
    assert {each.name for each in after.keys() - before.keys()} <= {".registry.toml.lock"}
