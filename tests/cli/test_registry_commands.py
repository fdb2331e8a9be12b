"""init, base, list, show, status, rename, remove: what is printed and what is written."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli

from adapter_hub.bases import tiny
from adapter_hub.cli.init import TEMPLATE
from adapter_hub.loading.identity import base_identity

Hub = Callable[..., Any]

TWO = """
# ours
[adapters.alpha]
base = "llama"
options = { r = 4 }
data = "rows.jsonl"
tags = ["demo", "small"]
aliases = { prod = 1 }

[adapters.alpha.versions.1]
created = 2026-01-02T03:04:05Z
files = { "adapter_config.json" = "sha256:aa" }
metrics = { eval_loss = 1.5 }

[adapters.beta]
base = "gpt2"
method = "lora"
"""


@pytest.fixture
def two(project: Path) -> Path:
    with (project / "registry.toml").open("a") as file:
        file.write(TWO)
    return project


def test_init_writes_a_registry_that_reads_back(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hub("init", "new").code == 0
    monkeypatch.chdir(tmp_path / "new")
    assert [each["name"] for each in hub("list", "--json").json] == ["gpt-lora"]
    assert "adapters/" in (tmp_path / "new" / ".gitignore").read_text()
    again = hub("init")
    assert again.code == 4
    assert "nothing was changed" in again.err


def test_init_pins_the_embedded_base_as_it_is() -> None:
    pinned = tomli.loads(TEMPLATE)["bases"]["tiny"]["revision"]
    own = tomli.loads((Path(__file__).parents[2] / "registry.toml").read_text())["bases"]["tiny"]
    assert pinned == own["revision"] == base_identity(tiny()).weights


def test_base_add_pins_list_show_remove(hub: Hub, project: Path, bases: dict[str, Path]) -> None:
    added = hub("base", "add", "mine", f"path:{bases['llama']}")
    assert added.code == 0, added.err
    shown = hub("base", "show", "mine", "--json").json
    assert shown["revision"].startswith("sha256:")
    assert "mine" in [each["name"] for each in hub("base", "list", "--json").json]
    assert hub("base", "add", "mine", f"path:{bases['llama']}").code == 4
    assert hub("base", "remove", "mine").code == 0
    assert hub("base", "show", "mine").code == 2


def test_base_add_takes_a_path_from_the_working_directory(
    hub: Hub, project: Path, bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bases["llama"], project / "models" / "near")
    monkeypatch.chdir(project / "models")
    assert hub("base", "add", "near", "path:./near").code == 0
    assert hub("base", "show", "near", "--json").json["source"] == "path:models/near"


def test_base_add_takes_a_full_commit_without_a_network(hub: Hub, project: Path) -> None:
    commit = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
    assert hub("base", "add", "g", "hf:openai-community/gpt2", "--revision", commit).code == 0
    assert hub("base", "show", "g", "--json").json["revision"] == commit


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("gpt2", 2, "write hf:OWNER/REPO"),
        ("hf:gpt2", 2, "does not name a repository"),
        ("path:nowhere", 1, "there is no folder"),
        ("plugin:tiny-ish", 2, "there is no base 'tiny-ish' (did you mean 'tiny'?)"),
    ],
)
def test_base_add_refuses(hub: Hub, project: Path, source: str, code: int, words: str) -> None:
    before = (project / "registry.toml").read_bytes()
    result = hub("base", "add", "x", source)
    assert result.code == code
    assert words in result.err
    assert (project / "registry.toml").read_bytes() == before


def test_base_remove_is_refused_while_used(hub: Hub, two: Path) -> None:
    result = hub("base", "remove", "llama")
    assert result.code == 4
    assert "used by alpha" in result.err


def test_list_json_has_the_contract_s_fields(hub: Hub, two: Path) -> None:
    alpha, beta = hub("list", "--json").json
    wanted = {
        "name",
        "base",
        "method",
        "version",
        "versions",
        "aliases",
        "tags",
        "created",
        "metrics",
        "hub",
    }
    assert wanted <= set(alpha)
    assert alpha["created"] == "2026-01-02T03:04:05Z"
    assert beta["version"] is None


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (("--base", "gpt2"), ["beta"]),
        (("--tag", "demo", "--tag", "small"), ["alpha"]),
        (("--tag", "demo", "--tag", "large"), []),
        (("--where", "eval_loss<1.9"), ["alpha"]),
        (("--where", "eval_loss>1.9"), []),
        (("--sort", "eval_loss"), ["alpha", "beta"]),
        (("--method", "lora"), ["alpha", "beta"]),
        (("--sort", "-eval_loss", "--reverse"), ["alpha", "beta"]),
        (("--sort", "-name", "--limit", "1"), ["beta"]),
        (("--tag", "large,small"), ["alpha"]),
        (("--text", "ROWS demo"), ["alpha"]),
        (("--where", "dataset=rows.jsonl", "--where", "rank=4"), ["alpha"]),
        (("--where", "age>1h"), ["alpha"]),
    ],
)
def test_list_filters(hub: Hub, two: Path, flags: tuple[str, ...], names: list[str]) -> None:
    assert [each["name"] for each in hub("list", "--json", *flags).json] == names


def test_list_shows_what_it_was_asked_by(hub: Hub, two: Path) -> None:
    shown = hub("list", "--where", " rank >= 1", "--where", "age>1h", "--sort", "-dataset").out
    assert shown.splitlines()[0].split() == [
        *("name", "base", "method", "version", "eval_loss", "tags", "created", "rank", "dataset")
    ]
    assert shown.splitlines()[1].split()[-2:] == ["4", "rows.jsonl"]


def test_list_refuses_a_condition_it_cannot_read(hub: Hub, two: Path) -> None:
    result = hub("list", "--where", "eval_loss")
    assert result.code == 2
    assert "not a condition" in result.err


def test_show(hub: Hub, two: Path) -> None:
    shown = hub("show", "alpha@prod", "--json").json
    assert shown["version"] == 1
    assert shown["recipe"]["options"] == {"r": 4}
    assert {"recipe", "files", "digest", "provenance"} <= set(shown)
    assert "never trained" in hub("show", "beta").err
    assert hub("show", "alpha@7").code == 2


def test_status(hub: Hub, two: Path) -> None:
    states = {each["name"]: each["state"] for each in hub("status", "--json").json}
    assert states == {"alpha": "modified", "beta": "never trained"}


def test_a_misspelt_key_is_pointed_out(hub: Hub, two: Path) -> None:
    with (two / "registry.toml").open("a") as file:
        file.write(
            '\n[adapters.gamma]\nbase = "llama"\ndata = "rows.jsonl"\ntraning = { steps = 3 }\n'
        )
    for command in (["status"], ["train", "gamma", "--dry-run"]):
        result = hub(*command)
        assert result.code == 0
        assert "traning" in result.err
        assert "did you mean 'training'" in result.err


def test_rename_keeps_the_comment_and_moves_the_files(hub: Hub, two: Path) -> None:
    (two / "adapters/alpha/1").mkdir(parents=True)
    (two / "adapters/alpha/1/adapter_config.json").write_text("{}")
    assert hub("rename", "alpha", "zeta").code == 0
    text = (two / "registry.toml").read_text()
    assert "# ours\n[adapters.zeta]" in text
    assert (two / "adapters/zeta/1/adapter_config.json").read_text() == "{}"
    assert not (two / "adapters/alpha").exists()
    assert hub("rename", "zeta", "BETA").code == 4


def test_remove(hub: Hub, two: Path) -> None:
    refused = hub("remove", "alpha@1", "--yes")
    assert refused.code == 4
    assert "is prod" in refused.err
    assert hub("remove", "alpha", "--yes").code == 0
    assert "alpha" not in tomli.loads((two / "registry.toml").read_text())["adapters"]


def test_import_remembers_nothing_of_a_missing_folder(hub: Hub, project: Path) -> None:
    before = (project / "registry.toml").read_bytes()
    result = hub("import", "nowhere", "--as", "x")
    assert result.code == 2
    assert "no folder nowhere" in result.err
    assert (project / "registry.toml").read_bytes() == before


BAD = "\n[adapters.bad]\nbase = 3\ntraining = { epoch = 1 }\naliases = { prod = 7 }\n"


def test_base_commands_whatever_is_wrong_with_an_adapter(hub: Hub, two: Path) -> None:
    with (two / "registry.toml").open("a") as file:
        file.write(BAD)
    users = {each["name"]: each["adapters"] for each in hub("base", "list", "--json").json}
    assert (users["llama"], users["gpt2"], users["other"]) == (1, 1, 0)
    assert hub("base", "show", "llama", "--json").json["adapters"] == ["alpha"]
    assert hub("base", "remove", "other").code == 0


def test_no_hint_leads_to_a_loss(hub: Hub, two: Path, bases: dict[str, Path]) -> None:
    used = hub("base", "remove", "llama")
    assert "adapter-hub list --base llama" in used.err
    twin = hub("base", "add", "LLAMA", f"path:{bases['llama']}")
    assert twin.code == 4
    assert "adapter-hub base show llama" in twin.err
    taken = hub("rename", "alpha", "Beta")
    assert taken.code == 4
    assert "adapter-hub show beta" in taken.err
    assert "remove" not in twin.err + taken.err


def test_rename_to_what_is_no_name_touches_nothing(hub: Hub, two: Path) -> None:
    outside = two.parent / "outside_empty"
    outside.mkdir(exist_ok=True)
    before = (two / "registry.toml").read_bytes()
    assert hub("rename", "alpha", "../../outside_empty").code == 2
    assert outside.is_dir()
    assert (two / "registry.toml").read_bytes() == before


@pytest.mark.parametrize("reference", ["alpha", "beta"])
@pytest.mark.parametrize("stdin", [None, "closed", "a pipe"])
def test_remove_asks_or_needs_yes(
    hub: Hub, two: Path, monkeypatch: pytest.MonkeyPatch, reference: str, stdin: str | None
) -> None:
    pipe = io.StringIO("y\n")
    if stdin == "closed":
        pipe.close()
    monkeypatch.setattr("sys.stdin", pipe if stdin else None)
    before = (two / "registry.toml").read_bytes()
    result = hub("remove", reference)
    assert result.code == 2
    assert "nothing was removed" in result.err
    assert f"adapter-hub remove {reference} --yes" in result.err
    assert (two / "registry.toml").read_bytes() == before


def test_init_beside_a_gitignore_in_latin_1(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".gitignore").write_bytes(b"# caf\xe9\r\n")
    assert hub("init").code == 0
    assert (tmp_path / ".gitignore").read_bytes() == (
        b"# caf\xe9\r\nadapters/\r\n.registry.toml.lock\r\n"
    )


def test_init_and_schema_put_the_schema_beside_the_registry(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hub("init")
    printed = hub("schema")
    assert printed.json["properties"]["schema"] == {
        "enum": [1],
        "description": "form of this file",
    }
    registry, beside = tmp_path / "registry.toml", tmp_path / "registry.schema.json"
    assert beside.read_text(encoding="utf-8") == printed.out
    first, rest = registry.read_text().split("\n", 1)
    assert first == "#:schema ./registry.schema.json"

    registry.write_text(rest)
    beside.unlink()
    assert "and named it in" in hub("schema", "--write").err
    assert beside.read_text(encoding="utf-8") == printed.out
    assert registry.read_text() == f"{first}\n{rest}"
    again = hub("schema", "--write")
    assert (again.code, "named" in again.err) == (0, False)

    beside.write_text("{}")
    registry.write_text(rest)
    refused = hub("schema", "--write")
    assert (refused.code, registry.read_text()) == (4, rest)
    assert "nothing was changed" in refused.err
