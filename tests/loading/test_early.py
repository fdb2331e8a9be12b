"""References looked at before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_hub.errors import AdapterHubError, RegistryNotFoundError, UnknownNameError, UsageError
from adapter_hub.loading.early import find_folder
from adapter_hub.model import parse_reference
from adapter_hub.registry.store import Registry


def test_where_an_adapter_lies(trained: Path) -> None:
    registry = Registry.open(trained)
    folder = trained / "adapters/sums/1"
    for reference in ("sums", "sums@1", str(folder)):
        assert find_folder(parse_reference(reference), registry) == folder
    for reference in ("base:llama", "hf:nobody/nothing"):
        assert find_folder(parse_reference(reference), registry) is None
    assert find_folder(parse_reference(str(folder)), None) == folder


@pytest.mark.parametrize(
    ("reference", "error", "words"),
    [
        ("summs", UnknownNameError, r"no adapter 'summs' \(did you mean 'sums'\?\)"),
        ("sums@2", UnknownNameError, "has no version or alias '2'"),
        ("base:gone", UnknownNameError, "no base 'gone'"),
        ("./gone", UsageError, "there is no folder gone"),
        ("./bases/llama", UsageError, "so it is not a PEFT adapter"),
    ],
)
def test_a_reference_to_nothing(
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    reference: str,
    error: type[AdapterHubError],
    words: str,
) -> None:
    monkeypatch.chdir(trained)
    with pytest.raises(error, match=words):
        find_folder(parse_reference(reference), Registry.open(trained))


@pytest.mark.parametrize("reference", ["sums", "base:llama"])
def test_a_name_needs_a_registry(reference: str) -> None:
    with pytest.raises(RegistryNotFoundError, match=f"{reference} needs a registry"):
        find_folder(parse_reference(reference), None)
