"""lineage: parents found by digest, what was pulled or imported, circles, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workshop import run_training

from adapter_hub.errors import UnknownNameError, UsageError
from adapter_hub.registry.lineage import lineage
from adapter_hub.registry.renames import rename_adapter
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import version_digest

CREATED = "2026-01-02T03:04:05Z"


class Family:
    """Versions with records, in a registry of their own. A version's digest is of ``files``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "registry.toml").write_text("schema = 1\n")

    def add(self, reference: str, parents: Any = None, hub: str = "", **record: Any) -> None:
        """Write a version made here, unless the record or its entry says more."""
        told = {"created": CREATED, **({} if parents is None else {"parents": parents}), **record}
        self.write(reference, json.dumps(told).encode(), hub)

    def write(self, reference: str, record: bytes, hub: str = "") -> None:
        name, _, number = reference.partition("@")
        path = self.folder / "registry.toml"
        new = f"[adapters.{name}]" not in path.read_text()
        with path.open("a") as file:
            file.write(f'\n[adapters.{name}]\nmethod = "lora"\n' * new)
            file.write(
                f"\n[adapters.{name}.versions.{number}]\ncreated = {CREATED}\n"
                f'files = {{ w = "sha256:{reference}" }}\n{hub}\n'
            )
        path = self.folder / "adapters" / name / number
        path.mkdir(parents=True)
        (path / "adapter_hub.json").write_bytes(record)

    @property
    def registry(self) -> Registry:
        return Registry.open(self.folder)

    def digest(self, reference: str) -> str:
        return version_digest({"w": f"sha256:{reference}"})

    def parent(self, reference: str, kind: str = "continued") -> dict[str, str]:
        return {"kind": kind, "reference": reference, "digest": self.digest(reference)}

    def told(self, reference: str) -> dict[str, Any]:
        return lineage(reference, registry=self.registry)


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return Family(tmp_path)


def names(versions: list[dict[str, Any]]) -> list[str]:
    return [each["reference"] for each in versions]


def origins(version: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(each["kind"], each["reference"], each["here"]) for each in version["from"]]


def test_a_tree_of_every_kind(family: Family) -> None:
    family.add("far@1", hub='hub = { repo = "me/far", revision = "abc" }', imported=True)
    family.add("folder@1", imported=True)
    family.add("sums@1", [family.parent("far@1")])
    family.add("sums@2", [family.parent("sums@1"), family.parent("folder@1", "merged")])
    family.add("twin@1", [family.parent("sums@2", "copied")], imported=True)
    family.add("child@1", [family.parent("sums@2")])
    family.add("other@1", [family.parent("sums@1")])
    found = family.told("sums")
    assert found["reference"] == "sums@2"
    assert names(found["versions"]) == ["sums@2", "sums@1", "folder@1", "far@1"]
    assert names(found["derived"]) == ["other@1", "child@1", "twin@1"]
    root, first, folder, far = found["versions"]
    assert origins(root) == [("continued", "sums@1", True), ("merged", "folder@1", True)]
    assert origins(first) == [("continued", "far@1", True)]
    assert origins(folder) == [("imported", None, False)]
    assert origins(far) == [("pulled", "hf:me/far@abc", False)]
    assert origins(found["derived"][2]) == [("copied", "sums@2", True)]
    assert names(family.told("sums@2")["derived"]) == ["child@1", "twin@1"]
    oldest = family.told("sums@1")
    assert names(oldest["versions"]) == ["sums@1", "far@1"]
    assert set(names(oldest["derived"])) == {"other@1", "sums@2", "child@1", "twin@1"}


def test_what_was_pushed_was_made_here(family: Family) -> None:
    family.add("mine@1", hub='hub = { repo = "me/mine", revision = "abc" }')
    theirs = 'hub = { repo = "you/theirs", revision = "def" }'
    family.add("theirs@1", hub=theirs, created="2025-12-31T00:00:00Z")
    assert origins(family.told("mine")["versions"][0]) == []
    assert origins(family.told("theirs")["versions"][0]) == [("pulled", "hf:you/theirs@def", False)]


def test_a_rename_breaks_nothing(family: Family) -> None:
    family.add("old@1")
    family.add("child@1", [family.parent("old@1")])
    rename_adapter(family.registry, "old", "new")
    assert names(family.told("child")["versions"]) == ["child@1", "new@1"]
    assert names(family.told("new")["derived"]) == ["child@1"]


def test_a_name_that_came_again_is_another(family: Family) -> None:
    family.add("sums@1")
    family.add("child@1", [{**family.parent("sums@1"), "digest": "sha256:gone"}])
    (child,) = family.told("child")["versions"]
    assert origins(child) == [("continued", "sums@1", False)]
    assert family.told("sums")["derived"] == []


@pytest.mark.parametrize(
    "reference", ["sums@1", "sums@prod", "sums", "hf:a/b", "no such@", None, 3]
)
def test_without_a_digest_a_number_must_do(family: Family, reference: Any) -> None:
    family.add("sums@1")
    family.add("child@1", [{"kind": "continued", "reference": reference}])
    found = family.told("child")["versions"]
    assert names(found) == (["child@1", "sums@1"] if reference == "sums@1" else ["child@1"])


def test_circles_end(family: Family) -> None:
    family.add("a@1", [family.parent("a@1"), family.parent("c@1")])
    family.add("b@1", [family.parent("a@1")])
    family.add("c@1", [family.parent("b@1"), family.parent("a@1")])
    family.add("d@1", [family.parent("b@1"), family.parent("e@1")])
    family.add("e@1", [family.parent("d@1")])
    found = family.told("a@1")
    assert sorted(names(found["versions"])) == ["a@1", "b@1", "c@1"]
    below = family.told("b@1")
    assert sorted(names(below["derived"])) == ["d@1", "e@1"]


def test_a_long_chain_and_many_paths(
    family: Family, hub: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two parents each, both the same two: 2^120 paths through 240 versions."""
    family.add("x@1")
    family.add("y@1")
    for number in range(2, 121):
        parents = [family.parent(f"{name}@{number - 1}", "merged") for name in "xy"]
        family.add(f"x@{number}", parents)
        family.add(f"y@{number}", parents)
    assert len(family.told("x")["versions"]) == 239
    assert len(family.told("x@1")["derived"]) == 238
    monkeypatch.chdir(family.folder)
    shown = hub("lineage", "x").out
    assert "…" in shown
    assert len(shown.splitlines()) < 300


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"parents": 3}',
        b'{"parents": [3, null, [], {}]}',
        b'{"parents": [{"kind": [], "reference": {}, "digest": 3}]}',
        b'{"parents": {"kind": "continued"}, "created": 3, "imported": "yes"}',
    ],
)
def test_a_record_of_any_kind(family: Family, record: bytes) -> None:
    family.write("sums@1", record)
    family.add("child@1", [family.parent("sums@1")])
    assert names(family.told("sums")["derived"]) == ["child@1"]
    assert names(family.told("child")["versions"]) == ["child@1", "sums@1"]


def test_refusals(family: Family) -> None:
    family.add("sums@1")
    for reference in ("./folder", "hf:a/b", "base:x"):
        with pytest.raises(UsageError, match="takes an adapter of the registry"):
            family.told(reference)
    with pytest.raises(UnknownNameError):
        family.told("sum")
    with pytest.raises(UnknownNameError):
        family.told("sums@2")


def test_the_command_draws_it(
    family: Family, hub: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(family.folder)
    family.add("far@1", hub='hub = { repo = "me/far", revision = "abc" }', imported=True)
    family.add("sums@1", [family.parent("far@1")])
    family.add("sums@2", [family.parent("sums@1"), family.parent("gone\x1b[2J@7", "merged")])
    family.add("mix@1", [family.parent("sums@1"), family.parent("sums@2", "merged")])
    family.add("last@1", [family.parent("mix@1")])
    when = "2026-01-02 03:04"
    assert hub("lineage", "sums@2").out.splitlines() == [
        f"sums@2  {when}",
        f"├─ continued from sums@1  {when}",
        f"│  └─ continued from far@1  {when}",
        "│     └─ pulled from hf:me/far@abc",
        "└─ 'merged from gone\\x1b[2J@7  (not in this registry)'",
        "",
        "made from it",
        f"└─ mix@1  merged from sums@2  {when}",
        f"   └─ last@1  continued from mix@1  {when}",
    ]
    assert hub("lineage", "mix").out.splitlines()[:6] == [
        f"mix@1  {when}",
        f"├─ continued from sums@1  {when}",
        f"│  └─ continued from far@1  {when}",
        "│     └─ pulled from hf:me/far@abc",
        f"└─ merged from sums@2  {when}",
        f"   ├─ continued from sums@1  {when}  (see above)",
    ]
    told = hub("lineage", "sums@2", "--json").json
    assert told["derived_from"] == ["sums@2"]
    assert names(told["derived"]) == ["mix@1", "last@1"]
    assert told["versions"][0]["created"] == CREATED


def test_real_versions(own: Path, hub: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own)
    run_training(own, "sums", steps=2)
    made = hub("lineage", "sums")
    assert made.out.startswith("sums@2  ")
    assert "no other adapter that it came from" in made.err
    assert hub("import", "adapters/sums/1", "--as", "taken").code == 0
    # The record has the time of its training: an import of the same second would look made here.
    text = (own / "registry.toml").read_text()
    head, _, block = text.partition("[adapters.taken.versions.1]\ncreated = ")
    (own / "registry.toml").write_text(
        f"{head}[adapters.taken.versions.1]\ncreated = 2030{block[4:]}"
    )
    assert hub("lineage", "taken").out.splitlines()[1:] == ["└─ imported from a folder"]
