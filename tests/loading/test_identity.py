"""What makes a base that base, read from its files."""

from __future__ import annotations

import itertools
import json
import shutil
import struct
import tracemalloc
from pathlib import Path

import pytest
import torch
import workshop
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from adapter_hub.errors import BaseModelError
from adapter_hub.loading import identity
from adapter_hub.loading.identity import (
    BaseIdentity,
    base_identity,
    differences,
    read_json,
    safetensors_header,
    weight_files,
)


@pytest.fixture
def llama(bases: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(bases["llama"], tmp_path / "llama"))


def test_a_copy_is_the_same_base(bases: dict[str, Path], llama: Path) -> None:
    assert base_identity(llama) == base_identity(bases["llama"])


def test_who_saved_it_and_how_does_not_matter(llama: Path) -> None:
    before = base_identity(llama)
    workshop.edit_json(
        llama / "config.json", transformers_version="9", _name_or_path="/x", dtype="float32"
    )
    assert base_identity(llama) == before


def test_shards_do_not_matter(llama: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(llama)
    model.save_pretrained(tmp_path / "shards", max_shard_size="40KB")
    assert len(weight_files(tmp_path / "shards")) > 1
    assert base_identity(tmp_path / "shards").weights == base_identity(llama).weights


def test_an_adapter_beside_the_weights_does_not_matter(llama: Path, trained: Path) -> None:
    before = base_identity(llama)
    shutil.copy(trained / "adapters/sums/1/adapter_model.safetensors", llama)
    assert base_identity(llama) == before


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ("other", ["weights"]),
        ("short", ["configuration", "weights"]),
        ("chatty", ["configuration"]),
        ("gpt2", ["configuration", "weights"]),
    ],
)
def test_another_base_is_told_apart(bases: dict[str, Path], other: str, named: list[str]) -> None:
    recorded = base_identity(bases["llama"]).as_record()
    assert differences(recorded, base_identity(bases[other])) == named


@pytest.mark.parametrize("place", [-1, -50_000, -112_000])
def test_a_flipped_byte_is_seen(llama: Path, place: int) -> None:
    before = base_identity(llama)
    workshop.flip_byte(llama / "model.safetensors", place)
    assert differences(before.as_record(), base_identity(llama)) == ["weights"]


def write_weights(path: Path, *sizes: int) -> Path:
    """A safetensors file of bytes: one tensor of each size."""
    weights = {
        f"weight{n}": torch.full((size,), n, dtype=torch.uint8) for n, size in enumerate(sizes)
    }
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    return path / "model.safetensors"


@pytest.mark.parametrize("place", [0, 27_000, 50_500, 91_000])
def test_a_change_anywhere_in_a_large_tensor_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """What re-training does: it changes more than one byte."""
    monkeypatch.setattr(identity, "SAMPLED_BYTES", 40_000)
    monkeypatch.setattr(identity, "_BLOCK", 1000)
    (tmp_path / "config.json").write_text("{}")
    path = write_weights(tmp_path, 100_000, 10, 5000)
    before = base_identity(tmp_path)
    content = bytearray(path.read_bytes())
    header, data = safetensors_header(path)
    start = data + header["weight0"]["data_offsets"][0] + place
    content[start : start + 9000] = bytes(255 - each for each in content[start : start + 9000])
    path.write_bytes(content)
    assert differences(before.as_record(), base_identity(tmp_path)) == ["weights"]


def test_every_byte_of_small_weights_counts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    path = write_weights(tmp_path, 3 << 20, 1, 1, 1)
    before = base_identity(tmp_path)
    workshop.flip_byte(path, -(2 << 20))
    assert differences(before.as_record(), base_identity(tmp_path)) == ["weights"]


@pytest.mark.parametrize("sizes", [[1], [7, 0], [100_000], [90_000, 3], [30] * 3000, [500] * 999])
def test_what_is_read_is_bounded_and_reaches_both_ends(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    monkeypatch.setattr(identity, "SAMPLED_BYTES", 20_000)
    monkeypatch.setattr(identity, "_BLOCK", 512)
    spans = identity._Spans([{"data_offsets": [0, size]} for size in sizes])
    read = 0
    for size in sizes:
        parts = spans.of(size)
        assert parts[0][0] == 0
        assert sum(parts[-1]) == size
        for (start, length), (following, _) in itertools.pairwise(parts):
            assert start + length <= following
        read += sum(length for _, length in parts)
    assert read <= 20_000


def test_other_files_beside_the_weights_do_not_matter(llama: Path) -> None:
    before = base_identity(llama)
    shutil.copy(llama / "model.safetensors", llama / "consolidated.safetensors")
    shutil.copy(llama / "model.safetensors", llama / "model.fp16.safetensors")
    assert base_identity(llama) == before
    assert weight_files(llama) == [llama / "model.safetensors"]


def test_weights_are_what_transformers_loads(llama: Path, tmp_path: Path) -> None:
    AutoModelForCausalLM.from_pretrained(llama).save_pretrained(
        tmp_path / "shards", max_shard_size="40KB"
    )
    shards = weight_files(tmp_path / "shards")
    shutil.copy(llama / "model.safetensors", tmp_path / "shards/consolidated.safetensors")
    assert weight_files(tmp_path / "shards") == shards
    (tmp_path / "shards/model.safetensors.index.json").write_text('{"weight_map": 3}')
    with pytest.raises(BaseModelError, match=r"index\.json does not map weights to files"):
        weight_files(tmp_path / "shards")
    (llama / "model.safetensors").rename(llama / "mine.safetensors")
    assert weight_files(llama) == []
    workshop.edit_json(llama / "config.json", transformers_weights="mine.safetensors")
    assert weight_files(llama) == [llama / "mine.safetensors"]


def test_a_missing_shard_is_named(llama: Path, tmp_path: Path) -> None:
    AutoModelForCausalLM.from_pretrained(llama).save_pretrained(
        tmp_path / "shards", max_shard_size="40KB"
    )
    gone = weight_files(tmp_path / "shards")[0]
    gone.unlink()
    with pytest.raises(BaseModelError, match=rf"{gone.name} is not a safetensors file: "):
        base_identity(tmp_path / "shards")


def test_a_changed_tokenizer_is_seen(llama: Path) -> None:
    before = base_identity(llama)
    with (llama / "tokenizer.json").open("a") as file:
        file.write("\n")
    assert differences(before.as_record(), base_identity(llama)) == ["tokenizer"]


def test_a_chat_template_is_seen_wherever_it_stands(bases: dict[str, Path], llama: Path) -> None:
    before = base_identity(llama)
    assert before.chat_template == ""
    assert "chat_template" not in before.as_record()
    workshop.edit_json(llama / "tokenizer_config.json", chat_template="{{ messages }}")
    inside = base_identity(llama)
    assert inside.chat_template
    (llama / "chat_template.jinja").write_text("{{ messages[0] }}")
    beside = base_identity(llama)
    assert differences(inside.as_record(), beside) == ["chat template"]
    assert base_identity(bases["chatty"]).chat_template not in ("", beside.chat_template)


def test_what_was_not_recorded_is_not_compared(bases: dict[str, Path]) -> None:
    assert differences({}, base_identity(bases["llama"])) == []
    found = BaseIdentity("sha256:1", "sha256:2", "", "")
    assert differences({"config": "sha256:1", "tokenizer": "sha256:3"}, found) == ["tokenizer"]


# --- files that are not what they seem -----------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "unpack requires a buffer of 8 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "its header is too long"),
        (struct.pack("<Q", 4) + b"nope", "Expecting value"),
        (struct.pack("<Q", 2) + b"[]", "its header is not a table"),
        (struct.pack("<Q", 500) + b"{}", "it ends inside its header"),
    ],
)
def test_no_safetensors_file(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        BaseModelError, match=rf"model\.safetensors is not a safetensors file: {reason}"
    ):
        safetensors_header(path)


def test_a_header_without_its_notes(llama: Path) -> None:
    header, start = safetensors_header(llama / "model.safetensors")
    assert "__metadata__" not in header
    size = max(entry["data_offsets"][1] for entry in header.values())
    assert start + size == (llama / "model.safetensors").stat().st_size


@pytest.mark.parametrize("kept", [114_800, 20_000, 5_000])
def test_weights_that_end_too_early_are_damaged(llama: Path, kept: int) -> None:
    path = llama / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BaseModelError, match=r"model\.safetensors is damaged: it ends before "):
        base_identity(llama)


def test_a_header_that_describes_nothing_is_damaged(llama: Path) -> None:
    header = json.dumps({"weight": {"dtype": "F32"}}).encode()
    (llama / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(BaseModelError, match=r"model\.safetensors is damaged"):
        base_identity(llama)


@pytest.mark.parametrize(
    ("content", "reason"), [("{", "is not JSON: "), ("[]", "is not a JSON object")]
)
def test_json_that_is_none(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(BaseModelError, match=rf"config\.json {reason}"):
        read_json(tmp_path / "config.json")
    with pytest.raises(BaseModelError, match=r"gone\.json cannot be read: No such file"):
        read_json(tmp_path / "gone.json")


def written(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    """A file that says it is safetensors."""
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", length or len(content)) + content + data)
    return path


def test_a_header_costs_no_more_than_the_file_has(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", b"{}", length=100 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(BaseModelError, match="ends inside its header"):
            safetensors_header(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_shard_that_cannot_be_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    index = json.dumps({"weight_map": {"a": name}})
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(BaseModelError, match="not a safetensors file"):
        base_identity(tmp_path)


def test_json_that_is_nested_too_deep(tmp_path: Path) -> None:
    deep = b"[" * 100_000
    with pytest.raises(BaseModelError, match="not a safetensors file"):
        safetensors_header(written(tmp_path / "a.safetensors", deep))
    (tmp_path / "config.json").write_bytes(deep)
    with pytest.raises(BaseModelError, match="not JSON"):
        read_json(tmp_path / "config.json")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "U8", "shape": [1], "data_offsets": [0, float("inf")]},
        {"dtype": "U8", "shape": [1], "data_offsets": [0, 10**30]},
        {"dtype": "U8", "shape": ["1"], "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": 1, "data_offsets": [0, 1]},
        {"dtype": 3, "shape": [1], "data_offsets": [0, 1]},
    ],
)
def test_a_header_that_makes_no_sense_is_damage(tmp_path: Path, entry: dict[str, object]) -> None:
    (tmp_path / "config.json").write_text("{}")
    written(tmp_path / "model.safetensors", {"a": entry}, b"xyz")
    with pytest.raises(BaseModelError, match="is damaged"):
        base_identity(tmp_path)
