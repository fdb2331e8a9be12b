"""git merges branches that edited one registry: both edits, or a conflict, or a file that is refused.

Never one that says something else without a word. Every pair of edits, in files of several forms.
"""

from __future__ import annotations

import collections
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import tomli

from adapter_hub.errors import AdapterHubError, RegistryError
from adapter_hub.model import Base, Recipe, Source, Version
from adapter_hub.registry import document
from adapter_hub.registry.aliases import drop_alias, move_alias
from adapter_hub.registry.copies import copy_adapter
from adapter_hub.registry.duplicates import find_doubles
from adapter_hub.registry.files import ignore_in_git, merge_journal_in_git
from adapter_hub.registry.history import history
from adapter_hub.registry.labels import describe_adapter, tag_adapter
from adapter_hub.registry.renames import rename_adapter
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import (
    file_digests,
    publish_version,
    record_hub,
    remove_adapter,
    remove_version,
    staging_folder,
)

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="git is not here")

RECIPE = Recipe(base="tiny", options={"r": 8, "lora_alpha": 16}, data="rows.jsonl")
Edit = Callable[[Registry, str, str], str | None]


def publish(registry: Registry, name: str, content: str, after: Recipe = RECIPE) -> None:
    with staging_folder(registry, name) as folder:
        (folder / "adapter_model.safetensors").write_text(content)
        created = datetime(2026, 1, len(content), tzinfo=timezone.utc)
        version = Version(number=0, created=created, files=file_digests(folder))
        publish_version(registry, name, folder, version, after, RECIPE, event="train")


def _rename(registry: Registry, name: str, new: str) -> str:
    rename_adapter(registry, name, new)
    return new


def _remove_version(registry: Registry, name: str, number: int = 1) -> None:
    adapter = registry.adapter(name)
    if number in adapter.aliases.values():
        drop_alias(registry, name, "prod")
    remove_version(registry, adapter, adapter.version(str(number)))


def _retrain(registry: Registry, name: str, side: str) -> None:
    after = Recipe(base="tiny", options={"r": 16, "lora_alpha": 16}, data="rows.jsonl")
    publish(registry, name, side, after)


def _recipe(registry: Registry, name: str, **values: Any) -> None:
    registry.edit_adapter(name, lambda entry: entry.update(values))


def _use_spare(registry: Registry, name: str) -> None:
    registry.base("spare")  # as every command asks
    _recipe(registry, name, base="spare")


def _train_as(registry: Registry, name: str, side: str) -> None:
    registry.refuse_twin(name, "adapter")
    publish(registry, name, side)


# Each gets the registry, the name that the adapter has by now, and who edits; returns a new name.
EDITS: dict[str, Edit] = {
    "train": lambda r, name, side: publish(r, name, side),
    "train otherwise": _retrain,
    "train one of its own": lambda r, _, side: publish(r, f"new-{side}", side),
    "train a new one": lambda r, _, side: publish(r, "new", side),
    "train a twin": lambda r, _, side: _train_as(r, {"ann": "New"}.get(side, "new"), side),
    "move an alias": lambda r, name, _: move_alias(r, name, "prod", 1) and None,
    "set an alias": lambda r, name, side: move_alias(r, name, f"by-{side}", 1),
    "drop an alias": lambda r, name, _: drop_alias(r, name, "prod") and None,
    "alias the newest": lambda r, name, _: move_alias(r, name, "newest", 2),
    "tag": lambda r, name, side: tag_adapter(r, name, [f"of-{side}"]) and None,
    "describe": lambda r, name, side: describe_adapter(r, name, f"by {side}"),
    "rename": lambda r, name, _: _rename(r, name, "sums-2"),
    "rename far": lambda r, name, side: _rename(r, name, f"zeta-{side}"),
    "rename to the front": lambda r, name, side: _rename(r, name, f"aa-{side}"),
    "remove a version": lambda r, name, _: _remove_version(r, name),
    "remove the newest": lambda r, name, _: _remove_version(r, name, 2),
    "remove": lambda r, name, _: remove_adapter(r, name),
    "copy": lambda r, name, side: copy_adapter(r, name, f"c-{side}", recipe_only=True) and None,
    "push": lambda r, name, side: record_hub(r, name, 1, {"repo": f"{side}/sums"}),
    "edit the data": lambda r, name, side: _recipe(r, name, data=f"{side}.jsonl"),
    "edit the training": lambda r, name, side: _recipe(r, name, training={"seed": ord(side[0])}),
    "edit an option": lambda r, name, side: r.edit_adapter(
        name, lambda entry: entry["options"].update(r=ord(side[0]))
    ),
    "add an option": lambda r, name, side: r.edit_adapter(
        name, lambda entry: entry["options"].update(bias=side)
    ),
    "use the spare base": lambda r, name, _: _use_spare(r, name),
    "add a base": lambda r, _, side: r.put_base(Base(f"b-{side}", Source("plugin", "tiny"))),
    "remove a base": lambda r, _, __: r.remove_base("spare"),
}

BASES = 'schema = 1\n\n[bases.spare]\nsource = "plugin:x"\n\n[bases.tiny]\nsource = "plugin:tiny"\n'
HAND_WRITTEN = """\
# The team's registry.
schema = 1
bases.spare.source = "plugin:x"
bases.tiny = { source = "plugin:tiny" } # small

[adapters.alpha]
base = "tiny"

[adapters.sums] # the good one
base = "tiny"
method = "lora"
options.r = 8
options.lora_alpha = 16
data = "rows.jsonl"
aliases.prod = 2
versions.1 = { created = 2026-01-01T00:00:00Z, files = { "w.safetensors" = "sha256:1" } }
versions.2 = { created = 2026-01-02T00:00:00Z, files = { "w.safetensors" = "sha256:2" } }

[adapters.tau]
base = "tiny"
"""


TABLES = "[adapters.sums.options]\nr = 8\nlora_alpha = 16\n\n[adapters.sums.aliases]\nprod = 2\n"
APART = """\
schema = 1

[bases]
spare.source = "plugin:x"
tiny.source = "plugin:tiny"

[adapters.sums]
aliases.prod = 2
options.lora_alpha = 16
base = "tiny"
method = "lora"
data = "rows.jsonl"
tags = ["good"]
options.r = 8

# the first
[adapters.sums.versions.1]
created = 2026-01-01T00:00:00Z
files."w.safetensors" = "sha256:1"

[adapters.sums.versions.2]
created = 2026-01-02T00:00:00Z
files."w.safetensors" = "sha256:2"
"""
OVER_LINES = '''\
tags = [
  "one", # of them
  "two",
]
description = """
What it
is for.
"""
'''


def _canonical(folder: Path, *names: str, versions: int = 2) -> str:
    """As adapter-hub writes it: ``sums`` has versions and an alias, the others one version."""
    (folder / "registry.toml").write_text(BASES)
    registry = Registry.open(folder)
    for name in (*names, *["sums"] * versions):
        publish(registry, name, name)
    move_alias(registry, "sums", "prod", 2)
    return registry.path.read_text()


def _with_tables(text: str, *, behind: bool = False) -> str:
    """The options and aliases of ``sums`` as tables with headers of their own."""
    found = re.search(r"\[adapters\.sums\]\n(.*?\n)(\n.*?)\n(?=\[adapters\.sumt)", text, re.DOTALL)
    assert found
    keys = re.sub(r"(options|aliases) = .*\n", "", found[1])
    rest = (found[2], f"\n{TABLES}") if behind else (f"\n{TABLES}", found[2])
    return text.replace(found[0], f"[adapters.sums]\n{keys}{''.join(rest)}\n")


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folders = [tmp_path_factory.mktemp(each) for each in ("among", "alone", "many")]
    among = _canonical(folders[0], "alpha", "sum", "sumt", "tau")
    sums, others = among[among.index("[adapters.sums]") :].split("[adapters.sumt]", 1)
    others = "[adapters.sumt]" + others
    return {
        "among others": among,
        "alone": _canonical(folders[1]),
        "many versions": _canonical(folders[2], "alpha", "tau", versions=12),
        "without an alias": re.sub(r"aliases = .*\n", "", among),
        "never trained": re.sub(
            r"aliases = .*\n|\n\[adapters\.sums\.versions\.\d\]\n(?:.+\n)*", "", among
        ),
        "hand-written": HAND_WRITTEN,
        "keys apart": APART,
        "tables": _with_tables(among),
        "tables behind": _with_tables(among, behind=True),
        "values over lines": among.replace("[adapters.sums]\n", f"[adapters.sums]\n{OVER_LINES}"),
        "not sorted": among.replace(sums + others, others.rstrip() + "\n\n" + sums),
        "without blank lines": among.replace("\n\n", "\n"),
        "CRLF": among.replace("\n", "\r\n"),
    }


LAYOUTS = (
    *("among others", "alone", "many versions", "without an alias", "never trained"),
    *("hand-written", "keys apart", "tables", "tables behind", "values over lines"),
    *("not sorted", "without blank lines", "CRLF"),
)


@pytest.fixture
def no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of edits, and no power cut is tested here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Branches:
    """A registry of one form in a repository, and what edits make of it."""

    def __init__(self, folder: Path, text: str) -> None:
        self._folder = folder
        self._text = text
        self._texts: dict[tuple[tuple[str, str], ...], str | None] = {}
        self._commits: dict[tuple[str, str], str] = {}
        self._git("init", "-q", ".")
        self._base = self._commit(text)

    def _git(
        self, *arguments: str, content: str | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        who = [
            f"{kind}_{what}"
            for kind in ("GIT_AUTHOR", "GIT_COMMITTER")
            for what in ("NAME", "EMAIL")
        ]
        environment = {**os.environ, **dict.fromkeys(who, "x"), "GIT_CONFIG_GLOBAL": os.devnull}
        data = None if content is None else content.encode()
        return subprocess.run(
            ["git", *arguments], cwd=self._folder, env=environment, input=data, capture_output=True
        )

    def _commit(self, text: str, *parents: str) -> str:
        blob = self._told("hash-object", "-w", "--stdin", "--no-filters", content=text)
        tree = self._told("mktree", content=f"100644 blob {blob}\tregistry.toml\n")
        parent = [word for each in parents for word in ("-p", each)]
        return self._told("commit-tree", tree, "-m", "x", *parent)

    def _told(self, *arguments: str, content: str | None = None) -> str:
        done = self._git(*arguments, content=content)
        assert done.returncode == 0, done
        return done.stdout.decode().strip()

    def edited(self, *edits: tuple[str, str]) -> str | None:
        """The text after some edits, each with who makes it; None when one of them is refused."""
        if edits not in self._texts:
            self._texts[edits] = self._edited(*edits)
        return self._texts[edits]

    def _edited(self, *edits: tuple[str, str]) -> str | None:
        home = self._folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        path = home / "registry.toml"
        path.write_bytes(self._text.encode())
        name = "sums"
        try:
            for edit, side in edits:
                name = EDITS[edit](Registry.open(path), name, side) or name
        except AdapterHubError:
            return None
        return path.read_bytes().decode()

    def merged(self, one: str, other: str) -> str | None:
        """What git makes of two branches; None for a conflict."""
        sides = [self._branch(one, "ann"), self._branch(other, "bob")]
        done = self._git("merge-tree", "--write-tree", *sides)
        if done.returncode:
            assert done.returncode == 1, done
            return None
        tree = done.stdout.decode().strip()
        return self._git("cat-file", "blob", f"{tree}:registry.toml").stdout.decode()

    def _branch(self, edit: str, side: str) -> str:
        if (edit, side) not in self._commits:
            text = self.edited((edit, side))
            assert text is not None, edit
            self._commits[edit, side] = self._commit(text, self._base)
        return self._commits[edit, side]

    def both(self, one: str, other: str) -> list[Any]:
        """What the two edits mean in either order, as far as they can follow each other."""
        pair = ((one, "ann"), (other, "bob"))
        alone = [self.edited(each) for each in pair]
        orders = (
            [alone[0]] if alone[0] == alone[1] else [self.edited(*pair), self.edited(*pair[::-1])]
        )
        return [tomli.loads(each) for each in orders if each is not None]

    def unseen(self, one: str, other: str) -> list[Any]:
        """What a rename that moves its entry can come to, and nothing in the file tells.

        Removed under its old name it is there under its new one; renamed to two names, a recipe
        without versions is there twice. No work is lost by either.
        """
        pair = ((one, "ann"), (other, "bob"))
        sides = [tomli.loads(str(self.edited(each))) for each in pair]
        renamed = [side for side, edit in zip(sides, (one, other), strict=True) if "rename" in edit]
        if "remove" in (one, other):
            return renamed
        if len(renamed) < 2:
            return []
        adapters = {**renamed[0]["adapters"], **renamed[1]["adapters"]}
        return [{**renamed[0], "adapters": adapters}]


def is_refused(path: Path, text: str, *, large: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a command that lists everything says what is wrong, and where."""
    path.write_bytes(text.encode())
    with monkeypatch.context() as patch:
        if large:
            patch.setattr(document, "LARGE", 0)
        try:
            registry = Registry.open(path)
            list(registry.summaries())
            list(registry.adapters())
        except RegistryError as error:
            return bool(re.search(r"registry\.toml:\d+: |line \d+", error.message))
    return False


def verdict(
    branches: Branches, one: str, other: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    text = branches.merged(one, other)
    if text is None:
        return "conflict"
    refused = {
        is_refused(path, text, large=large, monkeypatch=monkeypatch) for large in (False, True)
    }
    assert len(refused) == 1, (one, other, text)
    if refused.pop():
        return "refused"
    if tomli.loads(text) in branches.both(one, other):
        return "both"
    registry = Registry.open(path)
    bases = {each.recipe.base for each in registry.adapters()}
    if find_doubles(registry) or not bases <= {*registry.base_names()}:
        return "told"
    if tomli.loads(text) in branches.unseen(one, other):
        return "unseen"
    return f"wrong:\n{text}"


SEEN = ({"rename far", "rename to the front"}, {"remove a base", "use the spare base"})
"""Pairs of which git may make what no reader can refuse, and `status` tells: one adapter under two
names, which a bundle may be, and a base that is not there, which a plugin may bring one day."""


def survey(
    branches: Branches, pairs: list[tuple[str, str]], path: Path, monkeypatch: pytest.MonkeyPatch
) -> collections.Counter[str]:
    found = {pair: verdict(branches, *pair, path, monkeypatch) for pair in pairs}
    wrong = {pair: each for pair, each in found.items() if each.startswith("wrong")}
    assert not wrong, "\n\n".join(f"{pair} {each}" for pair, each in wrong.items())
    assert all(set(pair) in SEEN for pair, each in found.items() if each == "told")
    return collections.Counter(found.values())


@pytest.mark.parametrize(
    ("layout", "every"),
    [
        *(("among others", False), ("tables", False)),
        *(pytest.param(each, True, marks=pytest.mark.slow) for each in LAYOUTS),
    ],
)
@pytest.mark.usefixtures("no_flush")
def test_no_merge_is_silently_wrong(
    tmp_path: Path,
    layouts: dict[str, str],
    layout: str,
    every: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``every``: of ordered pairs, each; else, of those without order, one of three."""
    branches = Branches(tmp_path, layouts[layout])
    edits = [each for each in EDITS if branches.edited((each, "ann")) is not None]
    pairs = list(itertools.product(edits, edits))
    if not every:
        pairs = list(itertools.combinations_with_replacement(edits, 2))[::3]
    counts = survey(branches, pairs, tmp_path / "registry.toml", monkeypatch)
    print(layout, len(pairs), dict(counts))
    assert counts["both"] > len(pairs) / 4
    assert counts["conflict"] > 20


@pytest.mark.usefixtures("no_flush")
def test_merges_that_were_or_would_be_silently_wrong(
    tmp_path: Path, layouts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for layout, one, other, expected in (
        ("among others", "rename", "train", "refused"),
        ("never trained", "rename", "train", "refused"),
        ("among others", "rename far", "rename to the front", "told"),
        ("among others", "remove a base", "use the spare base", "told"),
        ("among others", "train a twin", "train a twin", "conflict"),
        ("tables", "set an alias", "drop an alias", "conflict"),
        ("tables behind", "add an option", "set an alias", "both"),
        ("among others", "rename far", "remove", "unseen"),
        ("never trained", "rename far", "rename to the front", "unseen"),
        ("keys apart", "set an alias", "drop an alias", "conflict"),
    ):
        folder = tmp_path / f"{layout} {one} {other}"
        folder.mkdir()
        branches = Branches(folder, layouts[layout])
        found = verdict(branches, one, other, tmp_path / "registry.toml", monkeypatch)
        assert found == expected, (layout, one, other, found)


def _git(folder: Path, *arguments: str, code: int = 0) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x", "-c", "core.autocrlf=false"]
    done = subprocess.run(
        ["git", *who, *arguments],
        cwd=folder,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("train", "set an alias", "both"),
        ("train one of its own", "rename", "both"),
        ("tag", "edit an option", "both"),
        ("train", "train otherwise", "conflict"),
        ("rename", "train", "refused"),
        ("rename far", "rename to the front", "told"),
    ],
)
def test_two_clones_merge(
    tmp_path: Path, layouts: dict[str, str], one: str, other: str, expected: str
) -> None:
    """With the commands that people use, files and journals beside the registry."""
    ann, bob = tmp_path / "ann", tmp_path / "bob"
    ann.mkdir()
    _git(ann, "init", "-q", "-b", "main")
    ignore_in_git(ann)
    merge_journal_in_git(ann)
    (ann / "registry.toml").write_text(layouts["among others"])
    drop_alias(Registry.open(ann), "sums", "prod")
    move_alias(Registry.open(ann), "sums", "prod", 2)
    _git(ann, "add", ".")
    _git(ann, "commit", "-qm", "begin")
    _git(tmp_path, "clone", "-q", "ann", "bob")
    # In time, bob is between two edits of ann; in the journal, git puts him behind them.
    EDITS[one](Registry.open(ann), "sums", "ann")
    EDITS[other](Registry.open(bob), "sums", "bob")
    move_alias(Registry.open(bob), "tau", "bobs", 1)
    move_alias(Registry.open(ann), "tau", "anns", 1)
    drop_alias(Registry.open(ann), "tau", "anns")
    for clone in (ann, bob):
        _git(clone, "commit", "-qam", clone.name)
    journals = [(each / "registry.journal").read_text().splitlines() for each in (ann, bob)]
    _git(ann, "fetch", "-q", "../bob", "main")
    _git(ann, "merge", "-q", "FETCH_HEAD", "-m", "both", code=int(expected == "conflict"))

    merged = (ann / "registry.journal").read_text().splitlines()
    assert sorted(merged) == sorted({*journals[0], *journals[1]})
    path = ann / "registry.toml"
    if expected in ("conflict", "refused"):
        words = "git left a conflict here" if expected == "conflict" else "neither `base` nor"
        with pytest.raises(RegistryError, match=words):
            list(Registry.open(path).adapters())
        return
    registry = Registry.open(path)
    assert bool(find_doubles(registry)) == (expected == "told")
    events = history("tau", registry=registry)["events"]
    told = [(each["event"], each.get("alias"), each.get("to")) for each in events]
    aliases = [("alias", "bobs", 1), ("alias", "anns", 1), ("alias", "anns", None)]
    assert told == [("version", None, None), *aliases]
    assert registry.adapter("tau").aliases == {"bobs": 1}
    assert history("tau", registry=registry)["disagreements"] == []


@pytest.mark.parametrize("large", [False, True])
def test_a_conflict_is_told_until_it_is_mended(
    tmp_path: Path, layouts: dict[str, str], monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """In a checkout, with the commands that people use."""
    path = tmp_path / "registry.toml"
    path.write_text(layouts["among others"])
    _git(tmp_path, "init", "-q", "-b", "main")
    _git(tmp_path, "add", "registry.toml")
    _git(tmp_path, "commit", "-qm", "begin")
    _git(tmp_path, "switch", "-qc", "other")
    tag_adapter(Registry.open(path), "sums", ["theirs"])
    move_alias(Registry.open(path), "sums", "prod", 1)
    _git(tmp_path, "commit", "-qam", "one")
    _git(tmp_path, "switch", "-q", "main")
    move_alias(Registry.open(path), "sums", "test", 1)
    _git(tmp_path, "commit", "-qam", "other")
    _git(tmp_path, "merge", "other", code=1)

    if large:
        monkeypatch.setattr(document, "LARGE", 0)
    before = path.read_text()
    line = before.splitlines().index("<<<<<<< HEAD") + 1
    told = rf"registry\.toml:{line}: git left a conflict here \(<<<<<<< HEAD\)"
    with pytest.raises(RegistryError, match=told) as caught:
        list(Registry.open(path).summaries())
    assert "git add registry.toml" in str(caught.value.hint)
    with pytest.raises(RegistryError, match=told):
        describe_adapter(Registry.open(path), "tau", "elsewhere")
    assert path.read_text() == before

    kept = re.sub(r"<{7} .*\n((?:.*\n)*?)={7}\n(?:.*\n)*?>{7} .*\n", r"\1", before)
    path.write_text(kept)
    assert Registry.open(path).adapter("sums").aliases == {"prod": 2, "test": 1}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["<<<<<<< HEAD", "||||||| 1a2b3c4", "=======", ">>>>>>> other"])
@pytest.mark.parametrize("large", [False, True])
def test_a_mark_that_was_left_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool, mark: str, end: str
) -> None:
    """In an entry that nobody looks at, too; and not the lines of a string that look the same."""
    if large:
        monkeypatch.setattr(document, "LARGE", 0)
    path = tmp_path / "registry.toml"
    ruled = 'description = "it"' if large else 'description = """\nIt\n=======\n"""'
    text = f'schema = 1\n\n[adapters.a]\n{ruled}\n\n[adapters.b]\ndata = "x"\n{mark}\ntags = []\n'
    path.write_bytes(text.replace("\n", end).encode())
    line = text.split("\n").index(mark, text[: text.index("[adapters.b]")].count("\n")) + 1
    with pytest.raises(RegistryError) as caught:
        Registry.open(path).adapter("a")
    assert f"registry.toml:{line}: git left a conflict here ({mark})" in caught.value.message


def test_marks_inside_a_string_are_text(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text(
        'schema = 1\n[adapters.a]\ndescription = """\n<<<<<<< HEAD\n"""\n'
    )
    assert "<<<<<<<" in Registry.open(tmp_path).adapter("a").description


def test_another_mistake_is_told_where_a_string_is_ruled_off(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text(
        'schema = 1\n[adapters.a]\ndescription = """\nIt\n=======\n"""\ntags = [\n'
    )
    with pytest.raises(RegistryError, match="is not valid TOML"):
        Registry.open(tmp_path)
