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


def _remove_version(registry: Registry, name: str) -> None:
    adapter = registry.adapter(name)
    remove_version(registry, adapter, adapter.version("1"))


def _retrain(registry: Registry, name: str, side: str) -> None:
    after = Recipe(base="tiny", options={"r": 16, "lora_alpha": 16}, data="rows.jsonl")
    publish(registry, name, side, after)


def _recipe(registry: Registry, name: str, **values: Any) -> None:
    registry.edit_adapter(name, lambda entry: entry.update(values))


# Each gets the registry, the name that the adapter has by now, and who edits; returns a new name.
EDITS: dict[str, Edit] = {
    "train": lambda r, name, side: publish(r, name, side),
    "train otherwise": _retrain,
    "train one of its own": lambda r, _, side: publish(r, f"new-{side}", side),
    "train a new one": lambda r, _, side: publish(r, "new", side),
    "move an alias": lambda r, name, _: move_alias(r, name, "prod", 1) and None,
    "set an alias": lambda r, name, side: move_alias(r, name, f"by-{side}", 1),
    "drop an alias": lambda r, name, _: drop_alias(r, name, "prod") and None,
    "alias the newest": lambda r, name, _: move_alias(r, name, "newest", 2),
    "tag": lambda r, name, side: tag_adapter(r, name, [f"of-{side}"]) and None,
    "describe": lambda r, name, side: describe_adapter(r, name, f"by {side}"),
    "rename": lambda r, name, _: _rename(r, name, "sums-2"),
    "rename far": lambda r, name, side: _rename(r, name, f"zeta-{side}"),
    "remove a version": lambda r, name, _: _remove_version(r, name),
    "remove": lambda r, name, _: remove_adapter(r, name),
    "copy": lambda r, name, side: copy_adapter(r, name, f"c-{side}", recipe_only=True) and None,
    "push": lambda r, name, side: record_hub(r, name, 1, {"repo": f"{side}/sums"}),
    "edit the data": lambda r, name, side: _recipe(r, name, data=f"{side}.jsonl"),
    "edit the training": lambda r, name, side: _recipe(r, name, training={"steps": len(side)}),
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


def _canonical(folder: Path, *names: str) -> str:
    """As adapter-hub writes it: ``sums`` has two versions and an alias, the others one version."""
    (folder / "registry.toml").write_text(BASES)
    registry = Registry.open(folder)
    for name in (*names, "sums", "sums"):
        publish(registry, name, name)
    move_alias(registry, "sums", "prod", 2)
    return registry.path.read_text()


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    among = _canonical(tmp_path_factory.mktemp("among"), "alpha", "sum", "sumt", "tau")
    alone = _canonical(tmp_path_factory.mktemp("alone"))
    return {
        "among others": among,
        "alone": alone,
        "without an alias": re.sub(r"aliases = .*\n", "", among),
        "hand-written": HAND_WRITTEN,
        "without blank lines": among.replace("\n\n", "\n"),
        "CRLF": among.replace("\n", "\r\n"),
    }


class Branches:
    """A registry of one form in a repository, and what edits make of it."""

    def __init__(self, folder: Path, text: str) -> None:
        self._folder = folder
        self._text = text
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
        if alone[0] == alone[1]:
            return [tomli.loads(str(alone[0]))]
        texts = [self.edited(*order) for order in (pair, pair[::-1])]
        # Removed under its old name, and there under the new one: nobody's work is lost.
        texts += [
            alone[who]
            for who in (0, 1)
            if "rename" in pair[who][0] and pair[1 - who][0] == "remove"
        ]
        return [tomli.loads(each) for each in texts if each is not None]


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
    return "both" if tomli.loads(text) in branches.both(one, other) else f"wrong:\n{text}"


QUICK = ("among others",)


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(each, marks=[] if each in QUICK else pytest.mark.slow)
        for each in (
            *QUICK,
            "alone",
            "hand-written",
            "without an alias",
            "without blank lines",
            "CRLF",
        )
    ],
)
def test_no_merge_is_silently_wrong(
    tmp_path: Path, layouts: dict[str, str], layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needless = {"move an alias", "drop an alias"} if layout == "without an alias" else set()
    edits = [each for each in EDITS if each not in needless]
    branches = Branches(tmp_path, layouts[layout])
    found = {
        (one, other): verdict(branches, one, other, tmp_path / "registry.toml", monkeypatch)
        for one, other in itertools.product(edits, edits)
    }
    wrong = {pair: each for pair, each in found.items() if each.startswith("wrong")}
    assert not wrong, "\n\n".join(f"{pair} {each}" for pair, each in wrong.items())
    counts = collections.Counter(found.values())
    print(layout, dict(counts))
    assert counts["both"] > len(found) / 4
    assert counts["conflict"] > 20


@pytest.mark.parametrize("large", [False, True])
def test_a_conflict_is_told_until_it_is_mended(
    tmp_path: Path, layouts: dict[str, str], monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """In a checkout, with the commands that people use."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x", "-C", str(tmp_path)]

    def run(*arguments: str, code: int = 0) -> None:
        done = subprocess.run([*git, *arguments], capture_output=True, text=True)
        assert done.returncode == code, done

    path = tmp_path / "registry.toml"
    path.write_text(layouts["among others"])
    run("init", "-q", "-b", "main")
    run("add", "registry.toml")
    run("commit", "-qm", "begin")
    run("switch", "-qc", "other")
    tag_adapter(Registry.open(path), "sums", ["theirs"])
    move_alias(Registry.open(path), "sums", "prod", 1)
    run("commit", "-qam", "one")
    run("switch", "-q", "main")
    move_alias(Registry.open(path), "sums", "test", 1)
    run("commit", "-qam", "other")
    run("merge", "other", code=1)

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
