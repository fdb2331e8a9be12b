"""Encoded rows that the next run takes as they are, or makes anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import workshop
from hypothesis import given
from hypothesis import strategies as st

from adapter_hub.errors import DataError
from adapter_hub.loading.folders import read_record
from adapter_hub.prompts.rows import Chat, Completion, Instruction, Text
from adapter_hub.training import token_cache
from adapter_hub.training.token_cache import _as_json, _from_json, tokenizer_digest


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
    real = token_cache.kept_or_encoded

    def meanwhile(key: str, encode: Any, scratch: Path, unchanged: Any) -> Any:
        def and_edit(path: Path) -> Any:
            with (shop / "rows.jsonl").open("a") as file:
                file.write('{"prompt": "late", "completion": " row"}\n')
            return encode(path)

        return real(key, and_edit, scratch, unchanged)

    monkeypatch.setattr(token_cache, "kept_or_encoded", meanwhile)
    trained(shop)
    assert entries(cache) == []


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(shop: Path, cache: Path) -> None:
    (cache / "encoded").write_text("in the way")
    record, before = trained(shop)
    assert not before
    assert record["data"]["rows"] == 40


def test_what_is_not_used_goes(shop: Path, cache: Path) -> None:
    trained(shop)
    (old,) = entries(cache)
    (cache / "encoded/.unfinished-killed").mkdir()
    long_ago = time.time() - 31 * 86_400
    os.utime(cache / "encoded/.unfinished-killed", (long_ago, long_ago))
    os.utime(old / "told.json", (long_ago, long_ago))
    trained(shop, max_length=32)
    assert old not in entries(cache)
    assert len(entries(cache)) == 1


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
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert tokenizer_digest(folder) != before


texts = st.text(st.characters(codec="utf-8"))
rows = st.one_of(
    st.builds(Text, texts, st.booleans()),
    st.builds(Completion, texts, texts),
    st.builds(Instruction, texts, texts, texts),
    st.builds(
        Chat,
        st.lists(
            st.fixed_dictionaries({"role": texts, "content": texts}, optional={"tool": st.none()}),
            min_size=1,
        ).map(tuple),
    ),
)


@given(rows)
def test_rows_come_back(row: Any) -> None:
    import json

    assert _from_json(json.loads(json.dumps(_as_json(row), ensure_ascii=False))) == row


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
