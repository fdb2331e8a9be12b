"""history: journal and registry told as one, renames followed back, and where they disagree."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.errors import RegistryError, UnknownNameError
from adapter_hub.registry.aliases import drop_alias, move_alias
from adapter_hub.registry.history import history
from adapter_hub.registry.renames import rename_adapter
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import (
    record_hub,
    remove_adapter,
    remove_version,
)

HUB = {"repo": "me/sums", "revision": "a" * 40}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """``sums`` has one version."""
    (tmp_path / "registry.toml").write_text("schema = 1\n")
    registry = Registry.open(tmp_path)
    workshop.publish(registry, "sums", "1")
    return registry


def told(registry: Registry, name: str = "sums") -> dict[str, Any]:
    return history(name, registry=Registry.open(registry.path))


def events(registry: Registry, name: str = "sums") -> list[tuple[str, str, Any]]:
    return [
        (each["event"], each["adapter"], each.get("version", each.get("to")))
        for each in told(registry, name)["events"]
    ]


def edit(path: Path, pattern: str, new: str) -> None:
    text = path.read_text()
    changed = re.sub(pattern, new, text)
    assert changed != text
    path.write_text(changed)


def write_journal(registry: Registry, *lines: dict[str, Any]) -> None:
    text = "".join(json.dumps({"adapter": "sums", **each}) + "\n" for each in lines)
    (registry.folder / "registry.journal").write_text(text)


def test_everything_in_order_and_once(registry: Registry) -> None:
    workshop.publish(registry, "sums", "2", event="pull", hub=HUB)
    move_alias(registry, "sums", "prod", 2)
    record_hub(registry, "sums", 1, HUB)
    remove_version(registry, (it := registry.adapter("sums")), it.version("1"))
    assert events(registry) == [
        ("train", "sums", 1),
        ("pull", "sums", 2),
        ("alias", "sums", 2),
        ("push", "sums", 1),
        ("remove", "sums", 1),
    ]
    assert told(registry)["disagreements"] == []


def test_without_a_journal_the_registry_tells_what_it_has(registry: Registry) -> None:
    workshop.publish(registry, "sums", "2", hub=HUB)
    move_alias(registry, "sums", "prod", 2)
    (registry.folder / "registry.journal").unlink()
    created = registry.versions("sums")[1].created
    common = {"adapter": "sums", "event": "version", "when": created}
    assert told(registry) == {
        "name": "sums",
        "here": True,
        "events": [
            {**common, "version": 1},
            {**common, "version": 2},
            {"when": None, "event": "hub", "adapter": "sums", "version": 2, **HUB},
        ],
        "disagreements": [],
    }


def test_a_push_that_the_journal_lost_has_no_time(registry: Registry) -> None:
    record_hub(registry, "sums", 1, HUB)
    edit(registry.folder / "registry.journal", r'.*"push".*\n', "")
    last = told(registry)["events"][-1]
    assert (last["event"], last["when"], last["revision"]) == ("hub", None, "a" * 40)


def test_order_is_by_time_and_not_by_place(registry: Registry) -> None:
    write_journal(
        registry,
        {"when": "2026-03-01T00:00:00Z", "event": "alias", "alias": "prod", "to": 1},
        {"when": "2026-01-01T23:30:00-02:00", "event": "train", "version": 1},
        {"when": "2026-01-01T00:00:00Z", "event": "import", "version": 9},
    )
    assert [each for each, *_ in events(registry)] == ["import", "train", "alias"]


def test_renames_are_followed_back(registry: Registry) -> None:
    rename_adapter(registry, "sums", "middle")
    workshop.publish(registry, "middle", "2")
    rename_adapter(registry, "middle", "adder")
    workshop.publish(registry, "sums", "another adapter")
    move_alias(registry, "adder", "prod", 2)
    assert events(registry, "adder") == [
        ("train", "sums", 1),
        ("rename", "middle", None),
        ("train", "middle", 2),
        ("rename", "adder", None),
        ("alias", "adder", 2),
    ]
    assert events(registry, "sums") == [("train", "sums", 1)]
    assert told(registry, "adder")["disagreements"] == []


def test_there_and_back_again(registry: Registry) -> None:
    rename_adapter(registry, "sums", "adder")
    rename_adapter(registry, "adder", "sums")
    assert [each for each, *_ in events(registry)] == ["train", "rename", "rename"]


def test_what_is_gone_has_a_history(registry: Registry) -> None:
    workshop.publish(registry, "other")
    remove_adapter(registry, "other")
    rename_adapter(registry, "sums", "adder")
    assert events(registry, "other") == [("train", "other", 1), ("remove", "other", None)]
    assert events(registry, "sums") == [("train", "sums", 1), ("rename", "adder", None)]
    assert not told(registry, "sums")["here"]
    with pytest.raises(UnknownNameError, match="no adapter 'never'"):
        told(registry, "never")


def test_a_name_that_comes_again_begins_anew(registry: Registry) -> None:
    move_alias(registry, "sums", "prod", 1)
    record_hub(registry, "sums", 1, HUB)
    remove_adapter(registry, "sums")
    path = registry.path
    path.write_text(
        path.read_text()
        + "\n[adapters.sums]\nmethod = 'lora'\n[adapters.sums.versions.1]\ncreated = 2099-01-01\nfiles = {}\n"
        f'hub = {{ repo = "me/sums", revision = "{"a" * 40}" }}\n'
    )
    edit(path, "2099-01-01", "2099-01-01T00:00:00Z")
    assert [each for each, *_ in events(registry)][-3:] == ["remove", "version", "hub"]
    assert told(registry)["disagreements"] == []


@pytest.mark.parametrize(
    ("pattern", "new", "journal", "now"),
    [
        (r"prod = 2", "prod = 1", 2, 1),
        (r"aliases = .*\n", "", 2, None),
    ],
)
def test_an_alias_that_was_edited_by_hand(
    registry: Registry, pattern: str, new: str, journal: int, now: int | None
) -> None:
    workshop.publish(registry, "sums", "2")
    move_alias(registry, "sums", "prod", 2)
    edit(registry.path, pattern, new)
    told_now = told(registry)["disagreements"]
    assert told_now == [{"alias": "prod", "journal": journal, "registry": now}]


def test_an_alias_that_only_the_registry_has(registry: Registry) -> None:
    move_alias(registry, "sums", "prod", 1)
    drop_alias(registry, "sums", "prod")
    edit(registry.path, r"\[adapters.sums\]\n", "\\g<0>aliases = { beta = 1 }\n")
    assert told(registry)["disagreements"] == [{"alias": "beta", "journal": None, "registry": 1}]


def test_values_of_other_kinds_than_ours(registry: Registry) -> None:
    strange: list[Any] = [None, [1], {"a": 1}, 1.5, True, "x"]
    write_journal(
        registry,
        *(
            {"when": "2026-01-01T00:00:00Z", "event": event, key: value}
            for event in ("alias", "rename", "remove", "train", "push", "copy", "later")
            for key in ("version", "alias", "from", "to", "revision")
            for value in strange
        ),
    )
    assert told(registry)["name"] == "sums"


def test_a_journal_that_cannot_be_read(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(RegistryError, match=r"registry.journal cannot be read: Permission denied"):
        history("sums", registry=registry)
