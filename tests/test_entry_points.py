"""What is installed, whatever state it is in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fakes import COMMANDS, GROUP, Site

from adapter_hub.entry_points import Entry, find_entries
from adapter_hub.errors import PluginError


def names(group: str = GROUP) -> list[str]:
    return [each.name for each in find_entries(group)[0]]


def test_each_group_for_itself(site: Site) -> None:
    site.install("b", "")
    site.install("a", "")
    site.install("greet", "", group=COMMANDS)
    assert names() == ["a", "b"]
    assert names(COMMANDS) == ["greet"]
    assert not {each for each in sys.modules if each.startswith("fake_")}


def test_what_is_known_of_one(site: Site) -> None:
    site.install("a", "x = 3\n", target="fake_a : x [extra]", requires="tomli>=2")
    (entry,) = find_entries(GROUP)[0]
    assert (entry.name, entry.distribution, entry.version) == ("a", "dist-a", "1.2")
    assert entry.requires == ("tomli>=2",)
    assert entry.load() == 3


def test_a_copy_further_down_the_path_is_not_seen(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("a", "")
    Site(tmp_path / "nearer", monkeypatch).install("a", "", distribution="Dist_A")
    assert [each.distribution for each in find_entries(GROUP)[0]] == ["Dist_A"]


def test_damaged_entry_points_hide_no_other(site: Site) -> None:
    site.install("a", "")
    site.install("b", "")
    site.allow("dist-a")
    (site.folder / "dist_a-1.2.dist-info/entry_points.txt").write_text("[adapter_hub]\nno sign\n")
    entries, (problem,) = find_entries(GROUP)
    assert [each.name for each in entries] == ["b"]
    assert (problem.distribution, problem.version) == ("dist-a", "1.2")
    assert "its entry_points.txt cannot be read" in problem.reason


def test_entry_points_that_are_no_text(site: Site) -> None:
    site.install("a", "")
    site.install("b", "")
    (site.folder / "dist_a-1.2.dist-info/entry_points.txt").write_bytes(b"[adapter_hub]\n\xff\n")
    assert names() == ["b"]


def test_metadata_that_is_gone(site: Site) -> None:
    site.install("a", "")
    (site.folder / "dist_a-1.2.dist-info/METADATA").unlink()
    (entry,) = find_entries(GROUP)[0]
    assert (entry.distribution, entry.version, entry.requires) == ("fake_a", "", ())


@pytest.mark.parametrize("value", ["two words", "", "fake_a:", "os.system('x')"])
def test_a_value_that_is_no_reference(value: str) -> None:
    with pytest.raises(PluginError, match="is not module or module:name"):
        Entry("a", value, "dist-a", "1.2").load()


@pytest.mark.parametrize(
    ("requires", "wanted"),
    [
        ("adapter-hub>=99", ">=99"),
        ("Adapter_Hub (>=99,<100)", "<100,>=99"),
        ("adapter.hub[test]<0.0.1; python_version > '3'", "<0.0.1"),
    ],
)
def test_one_for_another_release_is_not_imported(site: Site, requires: str, wanted: str) -> None:
    site.install("a", "", requires=requires)
    (entry,) = find_entries(GROUP)[0]
    with pytest.raises(PluginError) as caught:
        entry.load()
    assert caught.value.message.startswith(
        f"it needs adapter-hub{wanted}, and this is adapter-hub "
    )
    assert "fake_a" not in sys.modules


@pytest.mark.parametrize(
    "requires",
    [
        "adapter-hub",
        "adapter-hub>=0.0.1",
        "adapter_hub (>= 0)",
        "adapter-hub>=0.0.1.dev3",
        "adapter-hub>=99; extra == 'later'",
        "adapter-hub>=99; python_version < '3'",
        "adapter-hub-peft>=99",
        "adapter-hub >= nonsense",
        "tomli>=99",
    ],
)
def test_one_for_this_release_is(site: Site, requires: str) -> None:
    site.install("a", "", requires=requires)
    (entry,) = find_entries(GROUP)[0]
    assert entry.load().__name__ == "fake_a"
