"""Encoded rows that the next run takes as they are, or makes anew."""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import workshop
from hypothesis import given
from hypothesis import strategies as st

from adapter_hub.errors import DataError
from adapter_hub.loading.folders import read_record
from adapter_hub.prompts.rows import Chat, Completion, Instruction, Text
from adapter_hub.training import token_cache
from adapter_hub.training.data import Examples
from adapter_hub.training.token_cache import (
    _as_json,
    _from_json,
    _opened,
    template_day,
    tokenizer_digest,
)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ADAPTER_HUB_CACHE", str(folder))
    monkeypatch.setattr(token_cache, "SMALL", 0)
    return folder


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "encoded").glob("*")) if (cache / "encoded").is_dir() else []


def trained(shop: Path, **how: Any) -> tuple[dict[str, Any], bool]:
    """A run's record of the rows, and whether they were encoded before."""
    said: list[str] = []
    result = workshop.run_training(shop, steps=1, say=said.append, **how)
    record = read_record(Path(result.path))
    return record, any("encoded before" in line for line in said)


def test_the_second_run_finds_the_rows_encoded(shop: Path, cache: Path) -> None:
    first, before = trained(shop)
    assert not before
    assert len(entries(cache)) == 1
    second, again = trained(shop, name="other")
    assert again
    for part in ("data", "eval_data", "losses", "style", "tokens", "loss_tokens"):
        assert first[part] == second[part], part
    assert len(entries(cache)) == 1


@pytest.mark.parametrize(
    "how",
    [
        {"max_length": 32},
        {"train_on": "all"},
        {"on_bad_row": "skip"},
        {"column_map": {"completion": "completion"}},
        {"base": "gpt2"},
    ],
)
def test_what_decides_about_tokens_makes_another_entry(
    shop: Path, cache: Path, how: dict[str, Any]
) -> None:
    trained(shop)
    _, before = trained(shop, **how)
    assert not before
    assert len(entries(cache)) == 2


def test_other_rows_make_another_entry(shop: Path, cache: Path) -> None:
    trained(shop)
    path = shop / "rows.jsonl"
    path.write_text(path.read_text().replace("the cat", "the cow"))
    record, before = trained(shop)
    assert not before
    path.rename(shop / "renamed.jsonl")  # the name is in what is said of a row
    assert not trained(shop, data="renamed.jsonl")[1]
    (shop / "deep").mkdir()
    (shop / "deep/renamed.jsonl").write_bytes((shop / "renamed.jsonl").read_bytes())
    same, before = trained(shop, data="deep/renamed.jsonl")
    assert before
    assert same["data"]["fingerprint"] == record["data"]["fingerprint"]


def test_rows_that_are_held_out_by_name_are_kept_too(shop: Path, cache: Path) -> None:
    rows = [{"prompt": f"Q: {n}", "completion": " 1"} for n in range(5)]
    workshop.write_rows(shop / "eval.jsonl", rows)
    trained(shop, eval_data="eval.jsonl")
    assert len(entries(cache)) == 2
    said: list[str] = []
    workshop.run_training(shop, steps=1, eval_data="eval.jsonl", say=said.append)
    assert sum("encoded before" in line for line in said) == 2


def test_a_bad_row_is_told_each_time_and_nothing_is_kept(shop: Path, cache: Path) -> None:
    with (shop / "rows.jsonl").open("a") as file:
        file.write("{}\n")
    for _ in range(2):
        with pytest.raises(DataError, match=r"rows\.jsonl:41"):
            trained(shop)
        assert entries(cache) == []
    first, _ = trained(shop, on_bad_row="skip")
    second, before = trained(shop, on_bad_row="skip")
    assert before
    assert first["data"] == second["data"]
    assert second["data"]["skipped"] == 1


def unmarked(path: Path, place: int) -> None:
    """One other byte, which no time tells of: as a failing disk does it."""
    found = path.stat()
    workshop.flip_byte(path, place)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_what_a_failing_disk_does_to_all_but_tokens_is_seen(shop: Path, cache: Path) -> None:
    trained(shop)
    (entry,) = entries(cache)
    assert _opened(entry, "") is not None
    for name in ("told.json", "rows.arrow"):
        size = (entry / name).stat().st_size
        for place in range(0, size, max(1, size // 40)):
            unmarked(entry / name, place)
            assert _opened(entry, "") is None, f"{name}:{place}"
            unmarked(entry / name, place)
    assert _opened(entry, "") is not None


def test_damage_further_up_is_no_way_out_of_the_file(
    shop: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "_TAIL", 0)
    trained(shop)
    (entry,) = entries(cache)
    size = (entry / "rows.arrow").stat().st_size
    refused = 0
    for place in range(0, size, 19):
        unmarked(entry / "rows.arrow", place)
        found = _opened(entry, "")
        refused += found is None
        if found is not None:
            examples = Examples(found.table)
            assert [len(examples[index].input_ids) for index in range(len(examples))]
        unmarked(entry / "rows.arrow", place)
    assert refused > 30


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    workshop.flip_byte(path, 1000)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["rows.arrow", "told.json"])
def test_a_damaged_entry_is_made_anew(shop: Path, cache: Path, damage: Any, name: str) -> None:
    first, _ = trained(shop)
    (entry,) = entries(cache)
    if name == "told.json" and damage is flip:
        workshop.flip_byte(entry / name, 0)
    else:
        damage(entry / name)
    second, before = trained(shop)
    assert not before
    assert first["losses"] == second["losses"]
    assert trained(shop)[1]


def test_rows_that_change_while_they_are_read_are_not_kept(
    shop: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = token_cache.DataFile.encoded

    def meanwhile(
        self: Any, decides: Any, day: str, encode: Any, scratch: Path, say: Any
    ) -> tuple[Any, bool]:
        def and_edit(path: Path) -> Any:
            edit(shop / "rows.jsonl")
            return encode(path)

        return real(self, decides, day, and_edit, scratch, say)

    monkeypatch.setattr(token_cache.DataFile, "encoded", meanwhile)
    edit = append
    trained(shop)
    assert entries(cache) == []
    # As on a disk whose clock is too coarse to tell two changes apart.
    monkeypatch.setattr(token_cache.DataFile, "_now", lambda self: (1 << 20, 0, 0, 0))
    edit = flip_letter
    trained(shop)
    assert entries(cache) == []


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write('{"prompt": "late", "completion": " row"}\n')


def flip_letter(path: Path) -> None:
    path.write_text(path.read_text().replace("the cat", "the bat", 1))


def said_of(shop: Path, **how: Any) -> list[str]:
    said: list[str] = []
    record = read_record(Path(workshop.run_training(shop, steps=1, say=said.append, **how).path))
    assert record["data"]["rows"] in (20, 40)
    return [line for line in said if line.startswith("the encoded rows are not kept")]


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(shop: Path, cache: Path) -> None:
    (cache / "encoded").write_text("in the way")
    (line,) = said_of(shop)
    assert str(cache / "encoded") in line


def test_a_user_without_a_home_can_train(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTER_HUB_CACHE", "~nobody-of-that-name/cache")
    assert len(said_of(shop)) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
@pytest.mark.parametrize("full", ["rows.arrow", "told.json"])
def test_a_full_disk_of_the_cache_is_no_reason_to_stop(
    shop: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    made = token_cache.tempfile.mkdtemp

    def with_no_room(**where: Any) -> str:
        folder = made(**where)
        if Path(folder).parent.parent == cache:
            Path(folder, full).symlink_to("/dev/full")
        return folder

    with monkeypatch.context() as patched:
        patched.setattr(token_cache.tempfile, "mkdtemp", with_no_room)
        (line,) = said_of(shop)
    assert "No space left" in line
    assert entries(cache) == []
    assert not trained(shop)[1]


def chats(**more: Any) -> list[dict[str, Any]]:
    return [
        {"messages": [
            {"role": "user", "content": f"Say {number}", **more},
            {"role": "assistant", "content": f"{number}"},
        ]}
        for number in range(20)
    ]  # fmt: skip


def test_rows_that_json_has_no_words_for_are_trained_on(shop: Path, cache: Path) -> None:
    table = pa.Table.from_pylist(chats(at=datetime.datetime(2020, 1, 1)))
    pq.write_table(table, shop / "dated.parquet")
    assert len(said_of(shop, base="chatty", data="dated.parquet")) == 1
    assert entries(cache) == []


def test_half_a_character_beside_the_text_is_kept(shop: Path, cache: Path) -> None:
    workshop.write_rows(shop / "half.jsonl", chats(name="\ud83d"))
    assert not said_of(shop, base="chatty", data="half.jsonl")
    assert trained(shop, base="chatty", data="half.jsonl")[1]


def test_a_cache_that_can_only_be_read_is_read(
    shop: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*path: Any) -> None:
        raise PermissionError(30, "Read-only file system")

    trained(shop)
    monkeypatch.setattr(token_cache.os, "utime", refuse)
    assert trained(shop)[1]


def test_a_template_that_writes_the_day_is_used_on_that_day(
    shop: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert template_day("{{ messages }}") == template_day(None) == ""
    assert template_day("{{ strftime_now('%d %b %Y') }}") == datetime.date.today().isoformat()
    workshop.write_rows(shop / "chats.jsonl", chats())
    today, how = "2026-01-01", {"base": "chatty", "data": "chats.jsonl"}
    monkeypatch.setattr(token_cache, "template_day", lambda template: today)
    assert [trained(shop, **how)[1] for _ in range(2)] == [False, True]
    assert [trained(shop)[1] for _ in range(2)] == [False, True]
    today = "2026-01-02"
    assert [trained(shop, **how)[1] for _ in range(2)] == [False, True]
    assert trained(shop)[1], "no template writes these rows"
    assert len(entries(cache)) == 2


def test_what_is_not_used_goes(shop: Path, cache: Path) -> None:
    trained(shop)
    (old,) = entries(cache)
    killed, half, busy = (
        cache / "encoded" / name for name in (".unfinished-killed", "half", ".unfinished-busy")
    )
    for folder in (killed, half, busy):
        folder.mkdir()
        (folder / "rows.arrow").write_bytes(b"rows")
    long_ago = time.time() - 31 * 86_400
    stale = [killed / "rows.arrow", killed, half / "rows.arrow", half, busy, old / "told.json"]
    for path in stale:
        os.utime(path, (long_ago, long_ago))
    trained(shop, max_length=32)
    left = set(entries(cache))
    assert not left & {old, killed, half}
    assert busy in left, "it is being written"
    assert len(left) == 2


def test_what_is_used_stays(shop: Path, cache: Path) -> None:
    trained(shop)
    (old,) = entries(cache)
    long_ago = time.time() - 31 * 86_400
    os.utime(old / "told.json", (long_ago, long_ago))
    assert trained(shop)[1]
    trained(shop, max_length=32)
    assert old in entries(cache)


def test_small_files_are_not_kept(shop: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_cache, "SMALL", 1 << 20)
    trained(shop)
    assert not trained(shop)[1]
    assert entries(cache) == []


def test_files_beside_the_weights_decide(bases: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "base"
    shutil.copytree(bases["llama"], folder)
    before = tokenizer_digest(folder)
    workshop.flip_byte(folder / "model.safetensors")
    assert tokenizer_digest(folder) == before
    digests = {before}
    for name in ("chat_template.jinja", "tokenizer_config.json", "tokenizer.json", "config.json"):
        with (folder / name).open("a") as file:
            file.write(" ")
        digests.add(tokenizer_digest(folder))
    assert len(digests) == 5


def test_a_large_file_beside_the_weights_is_not_read(
    bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "_LARGE", 10)
    large = tmp_path / "corpus.dat"
    large.write_bytes(b"as large as a corpus")
    before = tokenizer_digest(tmp_path)
    unmarked(large, 0)
    assert tokenizer_digest(tmp_path) == before
    os.utime(large, (1, 1))
    assert tokenizer_digest(tmp_path) != before


texts = st.text(st.characters(codec="utf-8"))
# What else a message may hold, as JSON has it: half a character among it.
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
    | st.text() | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
rows = st.one_of(
    st.builds(Text, texts, st.booleans()),
    st.builds(Completion, texts, texts),
    st.builds(Instruction, texts, texts, texts),
    st.builds(
        Chat,
        st.lists(
            st.fixed_dictionaries(
                {"role": texts, "content": texts}, optional={"tool_calls": values}
            ),
            min_size=1,
        ).map(tuple),
    ),
)


@given(rows)
def test_rows_come_back(row: Any) -> None:
    assert _from_json(json.loads(json.dumps(_as_json(row)))) == row


# --- whole processes -----------------------------------------------------------------------------

SLOWLY = """
import time
from adapter_hub.training import data, token_cache
token_cache.SMALL = 0
data.CHUNK = 5
real = data.Encoding._encode
def slow(*arguments):
    time.sleep(0.02)
    return real(*arguments)
data.Encoding._encode = slow
from adapter_hub.cli.main import main
main()
"""
TRAIN = (
    "train", "sums", "--base", "llama", "--data", "rows.jsonl", "--steps", "1", "--max-length", "64", "-q",
)  # fmt: skip


def started(shop: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *TRAIN], cwd=shop, stderr=subprocess.PIPE, text=True
    )


def unfinished(cache: Path) -> Iterator[Path]:
    return (cache / "encoded").glob(".unfinished-*")


def test_a_run_that_is_killed_leaves_no_entry(shop: Path, cache: Path) -> None:
    process = started(shop)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for each in unfinished(cache) for path in each.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert any(unfinished(cache))
    assert [path for path in entries(cache) if not path.name.startswith(".")] == []
    assert not trained(shop)[1]
    assert trained(shop)[1]


def test_two_at_once_are_both_right(shop: Path, cache: Path) -> None:
    workshop.run_training(shop, steps=1, name="first")
    for path in entries(cache):
        (path / "told.json").unlink()
    (shop / "other").mkdir()
    for name in ("bases", "rows.jsonl"):
        os.symlink(shop / name, shop / "other" / name)
    (shop / "other/registry.toml").write_bytes((shop / "registry.toml").read_bytes())
    both = [started(shop), started(shop / "other")]
    for process in both:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    records = [read_record(folder / "adapters/sums/1") for folder in (shop, shop / "other")]
    assert records[0]["losses"] == records[1]["losses"]
    assert trained(shop)[1]
