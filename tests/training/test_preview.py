"""Rows as the model will see them."""

from __future__ import annotations

import json
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import workshop

from adapter_hub.datasets.files import BadRow, SourceRow
from adapter_hub.errors import BaseModelError, DataError, UsageError
from adapter_hub.plugins import load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.training.preview import _median, preview_data
from adapter_hub.training.sources import find_source


def preview(folder: Path, data: str = "rows.jsonl", base: str = "llama", **how: Any) -> Any:
    registry = Registry.open(folder)
    catalog = how.pop("catalog", None) or load_catalog()
    source = find_source(data, folder, catalog)
    settings = {"shown": 2, "max_length": 64, "train_on": "completion", "column_map": {}, **how}
    return preview_data(registry, registry.base(base), source, catalog, **settings)


def test_rows_in_pieces(shop: Path) -> None:
    told = preview(shop)
    assert [each["where"] for each in told["first"]] == ["rows.jsonl:1", "rows.jsonl:2"]
    first = told["first"][0]
    assert first["pieces"] == [
        {"loss": False, "text": "Q: 0 plus one?\nA:"},
        {"loss": True, "text": " 1<|endoftext|>"},
    ]
    assert first["tokens"] == first["full_length"] == len(first["input_ids"])
    assert first["loss_tokens"] == 2
    json.dumps(told)


def test_totals_are_over_all_rows(shop: Path) -> None:
    told = preview(shop)
    result = workshop.run_training(shop, steps=None, epochs=1.0, eval_fraction=0.0)
    assert (told["rows"], told["examples"], told["bad"]) == (40, 40, 0)
    assert (told["tokens"], told["loss_tokens"]) == (result.tokens, result.loss_tokens)
    lengths = told["lengths"]
    assert lengths["min"] <= lengths["median"] <= lengths["max"]
    assert (told["style"], told["max_length"], told["truncated"]) == ("plain", 64, 0)


def test_settings_are_those_of_the_training(shop: Path) -> None:
    assert preview(shop, max_length=9999)["max_length"] == 128
    assert preview(shop, max_length=24)["truncated"] > 5
    (piece,) = preview(shop, train_on="all")["first"][0]["pieces"]
    assert piece["loss"]
    talk = preview(shop, "chats.jsonl", "chatty")
    assert talk["style"] == "chat"
    assert talk["first"][0]["pieces"][1] == {"loss": True, "text": "it is 0<|im_end|>\n"}
    mapped = [{"q": "one?", "a": " two"}]
    workshop.write_rows(shop / "mapped.jsonl", mapped)
    assert preview(shop, "mapped.jsonl", column_map={"q": "prompt", "a": "completion"})["rows"] == 1


def test_bad_rows_are_told_and_not_counted(shop: Path) -> None:
    with (shop / "rows.jsonl").open("a") as file:
        file.write("nonsense\n" * 7 + '{"instruction": "Add.", "output": "2"}\n')
    told = preview(shop)
    assert (told["rows"], told["examples"], told["bad"]) == (48, 40, 8)
    assert [each["where"] for each in told["bad_rows"]] == [
        f"rows.jsonl:{n}" for n in range(41, 46)
    ]
    assert told["bad_rows"][0]["reason"].startswith("is not JSON")


def test_of_many_bad_rows_only_a_few_are_kept(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[BadRow] = weakref.WeakSet()
    most = 0

    def rows(*_: Any) -> Iterator[BadRow | SourceRow]:
        nonlocal most
        yield SourceRow("row 0", {"text": "the cat"})
        for number in range(1, 200):
            bad = BadRow(f"row {number}", "is bad")
            alive.add(bad)
            yield bad
            del bad
            most = max(most, len(alive))

    monkeypatch.setattr("adapter_hub.training.preview.open_rows", rows)
    told = preview(shop)
    assert (told["rows"], told["bad"], len(told["bad_rows"])) == (200, 199, 5)
    assert most < 10


def test_mixed_styles_are_seen_as_in_training(shop: Path) -> None:
    workshop.write_rows(
        shop / "mixed.jsonl", [{"text": "the cat"}, {"instruction": "Add.", "output": "2"}]
    )
    (bad,) = preview(shop, "mixed.jsonl")["bad_rows"]
    assert bad["where"] == "mixed.jsonl:2"
    assert bad["reason"].startswith("is of the style instruction, and the rows before it are plain")
    with pytest.raises(DataError, match=r"mixed\.jsonl:2: the row is of the style instruction"):
        workshop.run_training(shop, data="mixed.jsonl")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"bad\.jsonl has no usable row\.$"),
        ("nonsense\n", r"bad\.jsonl has no usable row \(bad\.jsonl:1: is not JSON"),
    ],
)
def test_no_usable_row(shop: Path, text: str, words: str) -> None:
    (shop / "bad.jsonl").write_text(text)
    with pytest.raises(DataError, match=words):
        preview(shop, "bad.jsonl")


def test_what_cannot_be_shown(shop: Path) -> None:
    with pytest.raises(DataError, match="there is no data file"):
        preview(shop, "gone.jsonl")
    with pytest.raises(UsageError, match="the base has no chat template"):
        preview(shop, "chats.jsonl")
    (shop / "bases/llama/config.json").unlink()
    with pytest.raises(BaseModelError, match=r"has no config\.json"):
        preview(shop)


def test_of_a_stream_the_beginning_is_counted(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "the cat"

    monkeypatch.setattr("adapter_hub.training.preview.STREAM_ROWS", 30)
    told = preview(shop, "endless", catalog=workshop.offering("endless", endless))
    assert (told["rows"], told["whole"], told["lengths"]["median"]) == (30, False, 3)
    few = preview(shop, "few", catalog=workshop.offering("few", lambda: ["the cat"] * 30))
    assert (few["rows"], few["whole"]) == (30, True)
    assert preview(shop)["whole"]


@pytest.mark.parametrize(
    ("sizes", "median"), [([1], 1), ([1, 2], 1), ([1, 2, 9], 2), ([3, 1, 1, 9, 9], 3)]
)
def test_the_median_needs_no_list(sizes: list[int], median: int) -> None:
    assert _median(Counter(sizes)) == median
