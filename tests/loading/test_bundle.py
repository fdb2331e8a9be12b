"""Adapters that travel as one file, to a machine that has no network and nothing in its cache."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli
import workshop

from adapter_hub.errors import (
    ConflictError,
    IncompatibleError,
    RegistryError,
    UsageError,
    VerificationError,
)
from adapter_hub.loading import unbundle
from adapter_hub.loading.adapters import open_reference
from adapter_hub.loading.bundle import Created, create_bundle
from adapter_hub.loading.manifest import read_bundle
from adapter_hub.loading.unbundle import Applied, apply_bundle
from adapter_hub.model import parse_reference
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.registry.verify import verify
from adapter_hub.registry.versions import file_digest

GREEDY = ("--greedy", "--max-new-tokens", "8", "--dtype", "float32", "--json")


def create(own: Path, path: Path, *references: str, **how: Any) -> Created:
    return create_bundle(
        path, references, registry=Registry.open(own), catalog=load_catalog(), **how
    )


def apply(there: Path, path: Path, **how: Any) -> Applied:
    return apply_bundle(path, registry=Registry.open(there), catalog=load_catalog(), **how)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Another machine, whose registry is empty."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there/registry.toml").write_text("schema = 1\n")
    return tmp_path / "there"


@pytest.fixture(scope="module")
def bundle(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``sums`` and ``conv`` with their bases. To look at only."""
    path = tmp_path_factory.mktemp("bundles") / "two.tar"
    create(trained, path, "sums", "conv", with_bases=True)
    return path


def registered(folder: Path) -> dict[str, Any]:
    return tomli.loads((folder / "registry.toml").read_text())


def answer(folder: Path, reference: str, home: Path) -> str:
    done = subprocess.run(
        [*workshop.ADAPTER_HUB, "run", reference, "Q: 2 plus one?", *GREEDY],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return str(json.loads(done.stdout)["text"])


def test_it_runs_where_nothing_else_is(own: Path, there: Path, bundle: Path) -> None:
    applied = apply(there, bundle)
    assert applied.bases == ["gpt2", "llama"]
    entry = registered(there)["adapters"]["sums"]
    assert entry["versions"] == registered(own)["adapters"]["sums"]["versions"]
    assert {each.problems == [] for each in verify(registry=Registry.open(there))} == {True}
    assert answer(there, "sums", there / "home") == answer(own, "sums", there / "home")
    lines = (there / ".gitignore").read_text().splitlines()
    assert {"adapters/", "bases/llama/", "bases/gpt2/"} <= set(lines)
    assert sorted(each.name for each in (there / "adapters/conv").iterdir()) == ["1"]


def test_the_same_content_gives_the_same_bytes(own: Path, bundle: Path, tmp_path: Path) -> None:
    for folder in (own, shutil.copytree(own, tmp_path / "copy", symlinks=True)):
        for path in folder.rglob("*"):
            os.utime(path, (time.time(), 1_000_000_000))
        create(folder, tmp_path / f"{folder.name}.tar", "conv", "sums", with_bases=True)
        create(folder, tmp_path / f"{folder.name}.tar.gz", "sums")
        assert (tmp_path / f"{folder.name}.tar").read_bytes() == bundle.read_bytes()
    assert (tmp_path / "own.tar.gz").read_bytes() == (tmp_path / "copy.tar.gz").read_bytes()


def test_any_tar_program_reads_it(bundle: Path) -> None:
    with tarfile.open(bundle) as tar:
        names = tar.getnames()
        assert names[0] == "manifest.json"
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert {(each.uid, each.mtime, each.mode) for each in tar.getmembers()} == {(0, 0, 0o644)}
    assert sorted(manifest["adapters"]) == ["conv", "sums"]
    listed = subprocess.run(["tar", "tf", bundle], capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines() == names


def test_it_is_applied_once(there: Path, bundle: Path) -> None:
    apply(there, bundle)
    before = (there / "registry.toml").read_bytes()
    again = apply(there, bundle)
    assert (again.bytes, again.bases) == (0, [])
    assert again.adapters["sums"] == {"added": {}, "same": {"1": 1}, "kept_aliases": {}}
    assert (there / "registry.toml").read_bytes() == before


def test_other_content_of_that_name_is_the_next_version(
    own: Path, there: Path, bundle: Path
) -> None:
    apply(there, bundle)
    workshop.run_training(own, "sums", seed=9)
    shutil.rmtree(own / "adapters/sums/1")
    shutil.move(own / "adapters/sums/2", own / "adapters/sums/1")
    text = (own / "registry.toml").read_text()
    start, end = text.index("[adapters.sums.versions.1]"), text.index("[adapters.sums.versions.2]")
    text = text[:start] + text[end:].replace("sums.versions.2", "sums.versions.1")
    text = text.replace("[adapters.sums]\n", "[adapters.sums]\naliases = { prod = 1 }\n")
    (own / "registry.toml").write_text(text)
    create(own, own / "other.tar", "sums")
    assert apply(there, own / "other.tar").adapters["sums"]["added"] == {"1": 2}
    assert registered(there)["adapters"]["sums"]["aliases"] == {"prod": 2}
    assert [(each["event"], each.get("to")) for each in workshop.journal(there)[-2:]] == [
        ("import", None),
        ("alias", 2),
    ]
    Registry.open(there).edit_adapter("sums", lambda entry: entry["aliases"].update(prod=1))
    told = apply(there, own / "other.tar").adapters["sums"]
    assert (told["same"], told["kept_aliases"]) == ({"1": 2}, {"prod": 1})


def test_numbers_are_kept_on_a_machine_that_has_none(own: Path, there: Path) -> None:
    workshop.run_training(own, "sums", seed=9)
    create(own, own / "new.tar", "sums", with_bases=True)
    assert apply(there, own / "new.tar").adapters["sums"]["added"] == {"2": 2}
    create(own, own / "all.tar", "sums", every=True)
    assert apply(there, own / "all.tar").adapters["sums"]["added"] == {"1": 3}


def test_under_another_name(there: Path, own: Path, bundle: Path) -> None:
    with pytest.raises(UsageError, match="--as goes with one adapter, and"):
        apply(there, bundle, name="mine")
    create(own, own / "one.tar", "sums", with_bases=True)
    apply(there, own / "one.tar", name="mine")
    assert list(registered(there)["adapters"]) == ["mine"]
    open_reference(parse_reference("mine"), Registry.open(there), load_catalog())


def test_a_dry_run_writes_nothing(there: Path, bundle: Path) -> None:
    applied = apply(there, bundle, dry_run=True)
    assert applied.adapters["sums"]["added"] == {"1": 1}
    assert applied.bytes > 1000
    assert sorted(each.name for each in there.iterdir()) == ["registry.toml"]
    damaged = there / "damaged.tar"
    shutil.copy(bundle, damaged)
    workshop.flip_byte(damaged, -2000)
    with pytest.raises(VerificationError, match="is not what its manifest says"):
        apply(there, damaged, dry_run=True)


def test_bases_that_do_not_travel(own: Path, there: Path, bases: dict[str, Path]) -> None:
    create(own, own / "one.tar", "sums")
    with pytest.raises(IncompatibleError, match="a folder that is neither here nor in the bundle"):
        apply(there, own / "one.tar")
    workshop.add_to_registry(there, f'[bases.llama]\nsource = "path:{bases["other"]}"\n')
    with pytest.raises(IncompatibleError, match="'llama' here is another one"):
        apply(there, own / "one.tar")
    (there / "registry.toml").write_text("schema = 1\n")
    weights = json.loads((own / "adapters/sums/1/adapter_hub.json").read_text())["base"]["identity"]
    workshop.add_to_registry(
        there,
        f'[bases.theirs]\nsource = "path:{bases["llama"]}"\nrevision = "{weights["weights"]}"\n',
    )
    assert apply(there, own / "one.tar").bases == []
    found = open_reference(parse_reference("sums"), Registry.open(there), load_catalog())
    assert found.base.name == "theirs"
    assert registered(there)["adapters"]["sums"]["base"] == "theirs"


def test_no_path_of_this_machine_travels(project: Path, there: Path) -> None:
    absolute = str(project / "rows.jsonl")
    workshop.run_training(project, "sums", data=absolute)
    create(project, project / "one.tar", "sums", with_bases=True)
    content = (project / "one.tar").read_bytes()
    home = str(Registry.open(project).base("llama").source.location)
    assert home.startswith("/")
    for private in (str(project), home, str(Path(home).parent)):
        assert private.encode() not in content
    apply(there, project / "one.tar")
    assert registered(there)["adapters"]["sums"]["data"] == "rows.jsonl"
    assert registered(there)["bases"]["llama"]["source"] == "path:bases/llama"
    open_reference(parse_reference("sums"), Registry.open(there), load_catalog())
    Registry.open(project).edit_adapter("sums", lambda entry: entry.update(description="/home/a/b"))
    with pytest.raises(UsageError, match=r"manifest\.json would tell a path of this machine"):
        create(project, project / "two.tar", "sums")


def test_what_cannot_be_bundled(own: Path) -> None:
    with pytest.raises(UsageError, match="say which adapters"):
        create(own, own / "x.tar")
    with pytest.raises(UsageError, match="is not in the registry"):
        create(own, own / "x.tar", "hf:me/sums")
    (own / "there.tar").write_bytes(b"")
    with pytest.raises(ConflictError, match="is already there"):
        create(own, own / "there.tar", "sums")
    workshop.flip_byte(own / "adapters/sums/1/adapter_model.safetensors")
    with pytest.raises(VerificationError, match="is not what was recorded"):
        create(own, own / "x.tar", "sums")
    assert not list(own.glob("*x.tar*"))


# --- damaged and hostile ---------------------------------------------------------------------


def rebuilt(bundle: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], Any]) -> bytes:
    """The bundle's members, altered by ``change``, as another tar of the same form."""
    with tarfile.open(bundle) as tar:
        members = [(each, tar.extractfile(each).read()) for each in tar]  # type: ignore[union-attr]
    change(members)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return _short_end(out.getvalue())


def _short_end(tar: bytes) -> bytes:
    """tarfile fills the last record; a bundle ends after two blocks."""
    content = tar.rstrip(b"\0")
    return content + b"\0" * (-len(content) % 512) + b"\0" * 1024


def edit_manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[..., None]:
    def edit(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        manifest = json.loads(members[0][1])
        change(manifest)
        members[0] = (members[0][0], json.dumps(manifest).encode())

    return edit


def extra(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Callable[..., None]:
    def add(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        members.insert(1, (info, b""))

    return add


def listed(name: str, size: Any = 0) -> Callable[..., None]:
    """A manifest that itself lists a file of that name."""

    def add(manifest: dict[str, Any]) -> None:
        version = manifest["adapters"]["sums"]["versions"]["1"]
        version["files"][name] = {"size": size, "sha256": "sha256:" + "0" * 64}
        from adapter_hub.registry.versions import version_digest

        files = {file: each["sha256"] for file, each in version["files"].items()}
        version["digest"] = version_digest(files)

    return edit_manifest(add)


HOSTILE = {
    "absolute": (extra("/etc/passwd"), "'/etc/passwd' is not in its manifest"),
    "above": (extra("../../x"), "is not in its manifest"),
    "link": (extra("a", tarfile.SYMTYPE, "/etc/passwd"), "'a' in it is a symbolic link"),
    "hard link": (extra("a", tarfile.LNKTYPE, "b"), "'a' in it is a hard link"),
    "device": (extra("a", tarfile.CHRTYPE), "'a' in it is a device"),
    "pipe": (extra("a", tarfile.FIFOTYPE), "'a' in it is a pipe"),
    "folder": (extra("a", tarfile.DIRTYPE), "in it is a folder"),
    "twice": (lambda members: members.insert(2, members[1]), "comes twice or out of order"),
    "order": (lambda members: members.append(members.pop(1)), "comes twice or out of order"),
    "missing": (lambda members: members.pop(), "is missing"),
    "behind": (lambda members: members.append((tarfile.TarInfo("z"), b"")), "'z' is not in its"),
    "no manifest": (lambda members: members.pop(0), "does not begin with manifest.json"),
    "other bytes": (
        lambda members: members.append((members[-1][0], b"x" * len(members.pop()[1]))),
        "is not what its manifest says",
    ),
    "other size": (
        lambda members: members.append((members[-1][0], members.pop()[1] + b"x")),
        "and the manifest says",
    ),
    "listed above": (listed("../x.json"), "manifest cannot be used"),
    "listed absolute": (listed("/x.json"), "manifest cannot be used"),
    "listed windows": (listed("C:x.json"), "manifest cannot be used"),
    "listed device": (listed("con.json"), "manifest cannot be used"),
    "listed code": (listed("modeling.py"), "a kind of file that no bundle has"),
    "listed pickle": (listed("adapter_model.bin"), "a kind of file that no bundle has"),
    "listed case": (listed("ADAPTER_config.json"), "differ in case only"),
    "listed folder": (listed("readme.MD/x.json"), "differ in case only"),
    "giant": (listed("x.json", 1 << 60), "bytes are to be written"),
    "size text": (listed("x.json", "1"), "has no size or digest"),
    "size below": (listed("x.json", -1), "has no size or digest"),
    "adapter above": (
        edit_manifest(lambda told: told["adapters"].update({"../x": told["adapters"]["sums"]})),
        "manifest cannot be used",
    ),
    "adapter case": (
        edit_manifest(lambda told: told["adapters"].update(SUMS=told["adapters"]["sums"])),
        "differ in case only",
    ),
    "base elsewhere": (
        edit_manifest(lambda told: told["bases"]["llama"].update(source="path:/etc")),
        "names the folder '/etc'",
    ),
    "no base": (
        edit_manifest(lambda told: told["bases"].pop("llama")),
        "the base of sums@1 is missing",
    ),
    "digest": (
        edit_manifest(lambda told: told["adapters"]["sums"]["versions"]["1"].update(digest="x")),
        "the digest of sums@1 is not that of its files",
    ),
    "format": (edit_manifest(lambda told: told.update(format=2)), "knows format 1"),
    "nothing": (edit_manifest(lambda told: told["adapters"].clear()), "holds no adapter"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_bundle_is_refused(what: str, there: Path, bundle: Path) -> None:
    change, words = HOSTILE[what]
    path = there.parent / "hostile.tar"
    path.write_bytes(rebuilt(bundle, change))
    before = sorted(there.rglob("*"))
    kind = RegistryError if what == "giant" else VerificationError
    with pytest.raises(kind, match=words):
        apply(there, path)
    assert [each for each in sorted(there.rglob("*")) if each.is_file()] == before
    assert registered(there) == {"schema": 1}


def test_rebuilding_alone_changes_nothing(there: Path, bundle: Path) -> None:
    path = there / "same.tar"
    path.write_bytes(rebuilt(bundle, lambda members: None))
    assert apply(there, path, dry_run=True).adapters["sums"]["added"] == {"1": 1}


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_extended_headers_are_refused(there: Path, format: int) -> None:
    with tarfile.open(there / "x.tar", "w", format=format) as tar:
        tar.addfile(tarfile.TarInfo("manifest.json" + "x" * 200), io.BytesIO())
    with pytest.raises(VerificationError, match=r"is not a bundle|is an extended header"):
        apply(there, there / "x.tar")


@pytest.mark.parametrize("name", ["two.tar", "two.tar.gz"])
def test_cut_or_flipped_anywhere_it_is_refused(there: Path, own: Path, name: str) -> None:
    create(own, there / name, "sums", with_bases=True)
    content = (there / name).read_bytes()
    broken = there / f"broken-{name}"
    for step in range(0, len(content), len(content) // 25):
        broken.write_bytes(content[:step])
        with pytest.raises(VerificationError):
            apply(there, broken, dry_run=True)
        # Eight bits of a gzip header (time, system) mean nothing; a tar's every byte is checked.
        place = max(step, 12)
        flipped = bytearray(content)
        flipped[place] ^= 0x55
        broken.write_bytes(bytes(flipped))
        with pytest.raises(VerificationError):
            apply(there, broken, dry_run=True)
    broken.write_bytes(content + b"x")
    with pytest.raises(VerificationError):
        apply(there, broken, dry_run=True)


def test_a_full_disk_is_told_before(
    there: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(there)._replace(free=20 << 20)
    monkeypatch.setattr(unbundle.shutil, "disk_usage", lambda path: usage)
    apply(there, bundle, dry_run=True)
    usage = usage._replace(free=unbundle._SPARE)
    with pytest.raises(RegistryError, match="bytes are to be written, and"):
        apply(there, bundle)
    assert sorted(each.name for each in there.iterdir()) == ["registry.toml"]


KILLED = """
import sys
from pathlib import Path
from adapter_hub.loading.unbundle import apply_bundle
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry
registry = Registry.open(Path(sys.argv[1]))
print("ready", flush=True)
apply_bundle(Path(sys.argv[2]), registry=registry, catalog=load_catalog())
print("done", flush=True)
"""


@pytest.mark.slow
def test_killed_at_any_moment_what_is_named_is_whole(
    there: Path, bundle: Path, tmp_path: Path
) -> None:
    outcomes = set()
    for turn in range(40):
        place = tmp_path / f"turn-{turn}"
        shutil.copytree(there, place)
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(place), str(bundle)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(turn * 0.004)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        registry = Registry.open(place)
        outcomes.add(len(registry.adapter_names()))
        assert {tuple(each.problems) for each in verify(registry=registry)} <= {()}
        for base in registry.base_names():
            assert (place / "bases" / base / "model.safetensors").is_file()
        apply(place, bundle)
        assert Registry.open(place).adapter_names() == ["conv", "sums"]
    assert 0 in outcomes


def test_memory_stays_small(own: Path, there: Path) -> None:
    """A file of 200 MB passes through a process that may hold far less."""
    big = own / "bases/llama/extra.json"
    with big.open("wb") as file:
        file.truncate(200 << 20)
    create(own, own / "big.tar.gz", "sums", with_bases=True)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from adapter_hub.loading.unbundle import apply_bundle\n"
        "from adapter_hub.plugins import load_catalog\n"
        "from adapter_hub.registry.store import Registry\n"
        "registry, catalog = Registry.open(Path(sys.argv[1])), load_catalog()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "apply_bundle(Path(sys.argv[2]), registry=registry, catalog=catalog)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(there), str(own / "big.tar.gz")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 40_000, "kilobytes"
    assert file_digest(there / "bases/llama/extra.json") == file_digest(big)


def test_the_commands(own: Path, there: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own)
    made = hub("bundle", "create", "b.tar.gz", "sums", "--with-bases")
    assert made.out.startswith("b.tar.gz: sums@1 and the files of llama; ")
    shown = hub("bundle", "show", "b.tar.gz")
    assert "sums@1" in shown.out
    assert "path:bases/llama" in shown.out
    assert (
        hub("bundle", "show", "b.tar.gz", "--json").json
        == read_bundle(own / "b.tar.gz")[0].as_json()
    )
    monkeypatch.chdir(there)
    path = str(own / "b.tar.gz")
    assert hub("bundle", "apply", path, "--dry-run").out == "would add sums@1\n"
    assert hub("bundle", "apply", path).out == "added sums@1\n"
    assert hub("bundle", "apply", path).out == "sums@1 is here already\n"
    assert hub("bundle", "apply", path, "--json").json["adapters"]["sums"]["same"] == {"1": 1}
    assert hub("bundle", "apply", "nothing.tar").code == 3
