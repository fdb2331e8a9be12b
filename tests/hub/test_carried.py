"""A base of a Hub that travels in a bundle, to a machine that never reaches that Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli
import workshop

from adapter_hub.loading.carried import carried_folder
from adapter_hub.registry.store import Registry
from tests.hub.conftest import User

ASK = ("Q: 2 plus one?", "--greedy", "--max-new-tokens", "8", "--dtype", "float32")


@pytest.fixture
def offline(tmp_path: Path) -> User:
    """Somebody without a network and with an empty cache."""
    folder = tmp_path / "offline"
    folder.mkdir()
    (folder / "registry.toml").write_text("schema = 1\n")
    home = {"HF_HOME": str(folder / "hf-home"), "HF_HUB_OFFLINE": "1"}
    return User(folder, {**home, "HF_ENDPOINT": "http://127.0.0.1:9"})


def test_a_hub_base_runs_where_no_hub_is(
    ann: User, ben: User, offline: User, base_repo: str, tmp_path: Path
) -> None:
    ann.json("push", "sums", "local/carried", "--base-repo", base_repo)
    ben.json("pull", "local/carried")
    expected = ben.json("run", "carried", *ASK)["text"]
    bundle = str(tmp_path / "carried.tar")
    made = ben.json("bundle", "create", bundle, "carried", "--with-bases")
    assert made["bases"] == ["llama"]
    applied = offline.json("bundle", "apply", bundle)
    assert applied["adapters"]["carried"]["added"] == {"1": 1}
    his = tomli.loads((ben.folder / "registry.toml").read_text())
    mine = tomli.loads((offline.folder / "registry.toml").read_text())
    assert mine == his, "the base stays what it is: hf:, at its commit"
    assert offline.json("run", "carried", *ASK)["text"] == expected
    assert offline.json("check", "carried")["fits"] is True
    base = Registry.open(offline.folder).base("llama")
    folder = carried_folder(base, offline.folder)
    assert folder == offline.folder / f"bases/models--local--llama/{base.revision}"
    assert not (offline.folder / "hf-home/hub").exists(), "other programs' cache is theirs"
    again = offline.json("bundle", "apply", bundle)
    assert (again["bytes"], again["bases"]) == (0, [])
    workshop.flip_byte(folder / "model.safetensors")
    refused = offline("run", "carried", *ASK)
    assert refused.returncode == 5
    assert "the weights differ" in refused.stderr


def test_a_base_that_is_cached_is_not_written_again(
    ann: User, ben: User, base_repo: str, tmp_path: Path
) -> None:
    ann.json("push", "sums", "local/there", "--base-repo", base_repo)
    ben.json("pull", "local/there")
    ben.json("run", "there", *ASK)
    bundle = str(tmp_path / "there.tar.gz")
    ben.json("bundle", "create", bundle, "there", "--with-bases")
    (ben.folder / "registry.toml").write_text("schema = 1\n")
    ben.json("bundle", "apply", bundle, "--as", "again")
    assert not (ben.folder / "bases").exists()
    assert ben("run", "again", *ASK, HF_HUB_OFFLINE="1").returncode == 0


def test_a_hub_that_the_registry_does_not_name_is_not_asked(
    ann: User, ben: User, offline: User, box: Any, base_repo: str, tmp_path: Path
) -> None:
    ann.json("push", "sums", "local/named", "--base-repo", base_repo)
    text = f'schema = 1\n\n[remotes.ours]\nendpoint = "{box.endpoint}"\n'
    (ben.folder / "registry.toml").write_text(text)
    ben.json("pull", "local/named", "--remote", "ours")
    bundle = str(tmp_path / "named.tar")
    ben.json("bundle", "create", bundle, "named", "--with-bases")
    refused = offline("bundle", "apply", bundle)
    assert refused.returncode == 2
    assert f'[remotes.NAME] with endpoint = "{box.endpoint}"' in refused.stderr
    (offline.folder / "registry.toml").write_text(text.replace("ours", "theirs"))
    offline.json("bundle", "apply", bundle)
    assert Registry.open(offline.folder).base("llama").remote.name == "theirs"  # type: ignore[union-attr]
    assert json.loads(offline("run", "named", *ASK, "--json").stdout)["text"]
