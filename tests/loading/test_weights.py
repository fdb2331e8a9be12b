"""Weights: every type as torch reads it, and damaged files refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from adapter_hub.errors import BaseModelError
from adapter_hub.loading.weights import Weights

TYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


def write(path: Path, header: Any, data: bytes = b"") -> Path:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + data)
    return path


def entry(**changes: Any) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **changes}}


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_is_read_as_torch_reads_it(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    tensors = {"b": (torch.randn(4, 5) * 100).to(dtype), "a": torch.ones(3).to(dtype)}
    save_file(tensors, tmp_path / "w.safetensors")
    weights = Weights(tmp_path / "w.safetensors")
    assert weights.shapes == {"a": (3,), "b": (4, 5)}
    for name, tensor in tensors.items():
        expected = tensor.to(torch.float64).numpy()
        found = weights.read(name)
        assert found.dtype == np.float64
        assert np.array_equal(found, expected)
        pieces = list(weights.pieces(name, 7))
        assert max(map(len, pieces)) <= 7
        assert np.array_equal(np.concatenate(pieces), expected.ravel())


def test_every_bfloat16_there_is(tmp_path: Path) -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    save_file({"w": every}, tmp_path / "w.safetensors")
    found = Weights(tmp_path / "w.safetensors").read("w")
    assert np.array_equal(found, every.to(torch.float64).numpy(), equal_nan=True)


@pytest.mark.parametrize("shape", [[], [0], [3, 0]])
def test_scalars_and_what_is_empty(tmp_path: Path, shape: list[int]) -> None:
    save_file({"w": torch.zeros(shape)}, tmp_path / "w.safetensors")
    weights = Weights(tmp_path / "w.safetensors")
    assert weights.read("w").shape == tuple(shape)
    assert sum(map(len, weights.pieces("w"))) == np.prod(shape)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (entry(dtype="F8_E4M3"), "of type 'F8_E4M3', which is not compared"),
        (entry(dtype=["F32"]), "which is not compared"),
        (entry(dtype=None), "which is not compared"),
        (entry(data_offsets=[0, 25]), "w is outside it"),
        (entry(data_offsets=[0, 20]), "another size than its shape"),
        (entry(data_offsets=[-24, 0]), "w is outside it"),
        (entry(data_offsets=[24, 0]), "w is outside it"),
        (entry(data_offsets=[0, 24, 24]), "does not say where w is"),
        (entry(data_offsets=[0.0, 24.0]), "does not say where w is"),
        (entry(data_offsets=[False, 24]), "does not say where w is"),
        (entry(data_offsets=None), "does not say where w is"),
        (entry(data_offsets=[10**30, 10**30 + 24]), "w is outside it"),
        (entry(shape=[-2, -3]), "another size than its shape"),
        (entry(shape=[10**40]), "another size than its shape"),
        (entry(shape=[2, "3"]), "gives no shape for 'w'"),
        (entry(shape=None), "gives no shape for 'w'"),
        ({"w": [1]}, "gives no shape for 'w'"),
        ([], "not a table"),
        (b"{", "not a safetensors file"),
        (b"\xff\xfe", "not a safetensors file"),
    ],
)
def test_a_header_that_makes_no_sense(tmp_path: Path, header: Any, words: str) -> None:
    path = write(tmp_path / "w.safetensors", header, bytes(24))
    with pytest.raises(BaseModelError, match=words):
        Weights(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.safetensors"
    for data in (content, struct.pack("<Q", len(content)) + content):
        path.write_bytes(data)
        try:
            weights = Weights(path)
        except BaseModelError:
            continue
        for name in weights.shapes:
            weights.read(name)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"w": torch.ones(4)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BaseModelError):
            Weights(path)


def test_a_file_that_is_cut_later_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"w": torch.ones(4)}, path)
    weights = Weights(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BaseModelError, match="ends before w does"):
        weights.read("w")
    path.unlink()
    with pytest.raises(BaseModelError, match="cannot be read"):
        list(weights.pieces("w"))


def test_bits_decide_whether_tensors_are_the_same(tmp_path: Path) -> None:
    def saved(name: str, **tensors: torch.Tensor) -> Weights:
        save_file(tensors, tmp_path / name)
        return Weights(tmp_path / name)

    nan = torch.tensor([float("nan"), 4.0])
    one = saved("one", a=nan, b=torch.tensor(0.0))
    assert one.has_same_bits(saved("two", b=torch.tensor(0.0), a=nan))
    assert not one.has_same_bits(saved("minus", a=nan, b=torch.tensor(-0.0)))
    assert not one.has_same_bits(saved("type", a=nan, b=torch.tensor(0, dtype=torch.int32)))
    assert not one.has_same_bits(saved("more", a=nan, b=torch.tensor(0.0), c=torch.ones(1)))
    assert not one.has_same_bits(saved("shape", a=nan, b=torch.tensor([0.0])))
