"""Where the registry is, how its file is read, and which names it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter_hub.errors import ConflictError, RegistryError, UsageError
from adapter_hub.model import Base, Source
from adapter_hub.registry import document
from adapter_hub.registry.place import find_registry
from adapter_hub.registry.store import Registry

TEXT = """\
schema = 1

[bases.Tiny]
source = "plugin:tiny"

[adapters.Sums]
base = "Tiny"

[adapters.bad]
base = 3
training = { epoch = 1 }
aliases = { prod = 7 }
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "registry.toml"
    path.write_text(TEXT)
    return path


def test_a_byte_order_mark_is_read_past_and_kept(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    registry = Registry.open(path)
    registry.edit(lambda content: content["adapters"]["Sums"].update(data="f"))
    expected = TEXT.replace('"Tiny"\n', '"Tiny"\ndata = "f"\n').encode()
    assert path.read_bytes() == b"\xef\xbb\xbf" + expected
    registry.rename_entry("Sums", "sums")
    assert path.read_bytes() == b"\xef\xbb\xbf" + expected.replace(b"Sums", b"sums")
    assert registry.adapter("sums").recipe.data == "f"


@pytest.mark.parametrize("number", [0, -1])
def test_a_schema_that_never_was(path: Path, number: int) -> None:
    path.write_text(f"schema = {number}\n")
    with pytest.raises(RegistryError, match=rf"registry.toml:1: schema: must be 1, not {number}"):
        Registry.open(path)


def test_a_number_too_long_for_python(path: Path) -> None:
    path.write_text(f"schema = 1\nx = {'9' * 5000}\n")
    with pytest.raises(RegistryError, match="not valid TOML"):
        Registry.open(path)


@pytest.mark.parametrize(
    "by", [lambda link: link, lambda link: link.parent], ids=["file", "folder"]
)
def test_a_link_is_kept_however_it_is_named(
    path: Path, tmp_path: Path, by: Callable[[Path], Path]
) -> None:
    folder = tmp_path / "linked"
    folder.mkdir()
    os.symlink("../registry.toml", folder / "registry.toml")
    Registry.open(by(folder / "registry.toml")).edit(
        lambda content: content["adapters"]["Sums"].update(data="f")
    )
    assert (folder / "registry.toml").is_symlink()
    assert 'data = "f"' in path.read_text()


def test_a_folder_that_may_not_be_looked_into(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = path.parent / "closed" / "below"
    below.mkdir(parents=True)
    real = os.stat

    def refuse(target: Any, *arguments: Any, **how: Any) -> os.stat_result:
        if "closed" in str(target):
            raise PermissionError(13, "Permission denied", str(target))
        return real(target, *arguments, **how)

    monkeypatch.setattr(os, "stat", refuse)
    assert find_registry(below) == path


@pytest.mark.parametrize("argument", ["None", "pathlib.Path('registry.toml')"])
def test_a_working_directory_that_is_gone(tmp_path: Path, argument: str) -> None:
    code = (
        "import os, pathlib\n"
        "from adapter_hub.errors import RegistryNotFoundError\n"
        "from adapter_hub.registry.store import Registry\n"
        "os.mkdir('gone')\nos.chdir('gone')\nos.rmdir('../gone')\n"
        f"try:\n    Registry.open({argument})\n"
        "except RegistryNotFoundError as error:\n    print(error, error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "the working directory is not there any more" in done.stdout, done.stderr


def test_dotted_keys_beside_headers_of_a_large_registry(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(
        "schema = 1\n[adapters.a]\nbase = 'b'\n"
        "versions.2.created = 2026-01-02T00:00:00Z\nversions.2.files = {}\n"
        "[adapters.a.versions.1]\ncreated = 2026-01-01T00:00:00Z\nfiles = {}\n"
    )
    monkeypatch.setattr(document, "LARGE", 0)
    registry = Registry.open(path)
    assert registry.summary("a")["versions"] == [1, 2]
    path.write_text('schema = 1\nbases.b.source = "plugin:x"\n[bases.c]\nsource = "plugin:y"\n')
    assert Registry.open(path).base_names() == ["b", "c"]


def test_users_of_a_base_whatever_else_is_wrong(path: Path) -> None:
    registry = Registry.open(path)
    assert registry.users("Tiny") == ["Sums"]
    with pytest.raises(ConflictError, match="used by Sums; nothing was changed") as caught:
        registry.remove_base("Tiny")
    assert caught.value.hint == "adapter-hub list --base Tiny"
    registry.edit(lambda content: content["adapters"].pop("Sums"))
    registry.remove_base("Tiny")
    assert registry.base_names() == []


def test_a_base_that_cannot_be_read_can_be_removed(path: Path) -> None:
    path.write_text("schema = 1\n[bases.b]\nsource = 3\n")
    Registry.open(path).remove_base("b")
    assert path.read_text() == "schema = 1\n"


@pytest.mark.parametrize(
    ("what", "name", "hint"),
    [("adapter", "SUMS", "adapter-hub show Sums"), ("base", "tiny", "adapter-hub base show Tiny")],
)
def test_a_twin_by_case(path: Path, what: Any, name: str, hint: str) -> None:
    registry = Registry.open(path)
    with pytest.raises(ConflictError, match="differs only in case; nothing was changed") as caught:
        registry.refuse_twin(name, what)
    assert caught.value.hint == hint
    registry.refuse_twin(hint.split()[-1], what)
    registry.refuse_twin("other", what)


@pytest.mark.parametrize(
    ("base", "error", "words"),
    [
        (Base("new", Source("hf", "o/r")), UsageError, "needs `revision`"),
        (Base("new", Source("hf", "o/r"), "main"), UsageError, "needs `revision`"),
        (Base("new", Source("hf", "gpt2"), "0" * 40), UsageError, "does not name a repository"),
        (Base("a/b", Source("path", "x")), UsageError, "cannot name a base"),
        (Base("Tiny", Source("path", "x")), ConflictError, "already base 'Tiny'"),
        (Base("TINY", Source("path", "x")), ConflictError, "only in case"),
    ],
)
def test_a_base_that_is_not_put(path: Path, base: Base, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Registry.open(path).put_base(base)
    assert path.read_text() == TEXT


def test_renaming_an_entry_keeps_its_place_where_the_order_allows(path: Path) -> None:
    text = TEXT.replace("adapters.bad", "adapters.tail")
    text += "\n# notes on tools\n\n[tool.ours]\nkey = 1\n"
    path.write_text(text)
    registry = Registry.open(path)
    registry.rename_entry("Sums", "Sums")
    registry.rename_entry("tail", "tales")
    assert path.read_text() == text.replace("adapters.tail", "adapters.tales")
    registry.rename_entry("tales", "a-tale")
    assert path.read_text().index("a-tale") < path.read_text().index("Sums")
    registry.rename_entry("a-tale", "zeta")
    assert path.read_text() == text.replace("adapters.tail", "adapters.zeta")


FREE = """\
schema = 1

# about a
[adapters.a]
base = "x"
# still about a

# about nobody

[adapters.a.versions.1]
created = 2026-01-01T00:00:00Z
files = {}

# ---- a section ----

# about b
[adapters.b]
base = "x"

# the end
"""


def test_comments_that_belong_to_nobody_stay(path: Path) -> None:
    path.write_text(FREE)
    registry = Registry.open(path)
    registry.edit(lambda content: content["adapters"].pop("a"))
    assert path.read_text() == (
        "schema = 1\n\n# about nobody\n\n# ---- a section ----\n\n"
        '# about b\n[adapters.b]\nbase = "x"\n\n# the end\n'
    )
    registry.edit(lambda content: content["adapters"].pop("b"))
    assert path.read_text() == (
        "schema = 1\n\n# about nobody\n\n# ---- a section ----\n\n# the end\n"
    )


def told(path: Path) -> None:
    """Everything that a registry tells, and an edit."""
    registry = Registry.open(path)
    list(registry.summaries())
    for name in registry.adapter_names():
        registry.adapter(name)
    registry.unknown_keys()
    registry.edit(lambda content: content["adapters"]["a"].update(data="f"))


LONG = f"0x{'1' * 4000}"


@pytest.mark.parametrize("large", [0, 1 << 60])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            f"[adapters.a.versions.{'1' * 5000}]\ncreated = 2026-01-01\nfiles = {{}}",
            "not a version",
        ),
        (f"base = {LONG}", "an integer of more than"),
        (f"training = {{ seed = {LONG} }}", "an integer of more than"),
        (f"aliases = {{ prod = {LONG} }}", "an integer of more than"),
        (f"options = {{ r = [{LONG}] }}", "an integer of more than"),
        (f"options = {{ a = {'[' * 2000}{']' * 2000} }}", "nested"),
        (f"options.{'.'.join('a' * 2000)} = 1", "parts|recursion"),
        (f"options.{'.'.join('a' * 990)} = 1", "nested too deep"),
    ],
    ids=["version", "base", "training", "alias", "options", "array", "key", "table"],
)
def test_what_is_too_long_or_too_deep(
    path: Path, monkeypatch: pytest.MonkeyPatch, large: int, body: str, words: str
) -> None:
    monkeypatch.setattr(document, "LARGE", large)
    text = f"schema = 1\n[adapters.a]\n{body}\n"
    path.write_text(text)
    with pytest.raises(RegistryError, match=words):
        told(path)
    assert path.read_text() == text


def test_what_is_too_deep_above_the_first_header_of_a_large_registry(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "LARGE", 0)
    path.write_text(f"schema = 1\nours = {'[' * 2000}{']' * 2000}\nother.key = 1\n")
    with pytest.raises(RegistryError, match="nested"):
        Registry.open(path).adapter_names()


def test_long_numbers_that_are_strings_are_no_numbers(path: Path) -> None:
    path.write_text(f'schema = 1\n[adapters.a]\ndescription = "{LONG}" # {LONG}\n')
    told(path)


@pytest.mark.parametrize("rest", ["% no TOML", "created = 2026-02-30T00:00:00Z"])
def test_an_error_beside_a_broken_line_in_a_large_registry(
    path: Path, monkeypatch: pytest.MonkeyPatch, rest: str
) -> None:
    """The line of what is wrong is told from its entry alone; who reads on comes to the broken one."""
    monkeypatch.setattr(document, "LARGE", 0)
    path.write_text(f"schema = 1\n[adapters.a]\nbase = 3\n[adapters.b]\n{rest}\n")
    with pytest.raises(RegistryError, match=r"registry.toml:3: adapters.a.base: must be a string"):
        Registry.open(path).adapter("a")
    path.write_text(f"schema = 1\n[adapters.a]\nours = 3\n[adapters.b]\nbase = 'x'\n{rest}\n")
    with pytest.raises(RegistryError, match=r"not valid TOML.*line 6"):
        Registry.open(path).unknown_keys()


def test_remotes_that_are_no_table(path: Path) -> None:
    path.write_text(f"remotes = 3\n{TEXT}")
    with pytest.raises(RegistryError, match=r"registry.toml:1: remotes: must be a table"):
        Registry.open(path)
