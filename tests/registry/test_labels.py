"""Tags and descriptions: what is written, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_hub.errors import UnknownNameError, UsageError
from adapter_hub.registry.find import find_adapters
from adapter_hub.registry.labels import describe_adapter, tag_adapter
from adapter_hub.registry.store import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "registry.toml").write_text('schema = 1\n\n[adapters.sums]\nbase = "b" # ours\n')
    return Registry.open(tmp_path)


def test_tags_come_and_go(registry: Registry) -> None:
    assert tag_adapter(registry, "sums", ["b", "a", "b"]) == ["b", "a"]
    assert tag_adapter(registry, "sums", ["c c"], ["b"]) == ["a", "c c"]
    assert [each["name"] for each in find_adapters(registry, tags=["x,c c"])] == ["sums"]
    assert tag_adapter(registry, "sums", [], ["a", "c c"]) == []
    assert registry.path.read_text() == 'schema = 1\n\n[adapters.sums]\nbase = "b" # ours\n'


@pytest.mark.parametrize("tag", ["", " a", "a,b", "a\nb", "\x1b[1m"])
def test_what_cannot_be_a_tag(registry: Registry, tag: str) -> None:
    with pytest.raises(UsageError, match="cannot be a tag"):
        tag_adapter(registry, "sums", ["fine", tag])
    assert registry.adapter("sums").tags == ()


def test_what_is_not_there_cannot_be_removed(registry: Registry) -> None:
    tag_adapter(registry, "sums", ["demo"])
    with pytest.raises(UnknownNameError, match="did you mean 'demo'"):
        tag_adapter(registry, "sums", ["new"], ["dmeo"])
    with pytest.raises(UsageError, match="added and removed"):
        tag_adapter(registry, "sums", ["demo"], ["demo"])
    with pytest.raises(UnknownNameError):
        tag_adapter(registry, "nope", ["demo"])
    assert registry.adapter("sums").tags == ("demo",)


def test_a_description(registry: Registry) -> None:
    describe_adapter(registry, "sums", ' Adds "numbers".\nNo more. ')
    assert Registry.open(registry.path).adapter("sums").description == 'Adds "numbers".\nNo more.'
    with pytest.raises(UsageError, match="printable"):
        describe_adapter(registry, "sums", "\x1b[2J")
    describe_adapter(registry, "sums", "")
    assert "description" not in registry.path.read_text()
