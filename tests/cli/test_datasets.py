"""``datasets``, ``data preview`` and ``train`` with a dataset that has parts and options."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli
from fakes import Site

Hub = Callable[..., Any]
PLUGIN = """
from typing import Annotated
from adapter_hub import hookimpl

SIZES = {"train": 24, "validation": 6}


def sums(split, word: Annotated[str, "what stands between"] = "plus", limit: int | None = None):
    print("noise")
    for number in range(SIZES[split])[:limit]:
        yield {"prompt": f"Q: {number} {word} one?\\nA:", "completion": f" {number + 1}"}


def from_file(path: Annotated[str, "where the rows lie"]):
    yield path


@hookimpl
def register_datasets(register):
    register(
        "sums", sums, summary="small sums", splits=("train", "validation"), licence="CC0-1.0",
        columns={"prompt": "a question", "completion": "its answer"},
    )
    register("filed", from_file, summary="rows from elsewhere")
    register("plain", lambda: ["the cat sat"], summary="as ever")
"""


@pytest.fixture(autouse=True)
def _plugin(site: Site) -> None:
    site.install("sums", PLUGIN)


def test_a_dataset_tells_what_it_is(hub: Hub) -> None:
    told = hub("datasets", "sums", "--json").json
    assert told == {
        "name": "sums",
        "summary": "small sums",
        "from": "dist-sums",
        "licence": "CC0-1.0",
        "splits": ["train", "validation"],
        "columns": {"prompt": "a question", "completion": "its answer"},
        "options": [
            {
                "name": "word",
                "type": "string",
                "required": False,
                "default": "plus",
                "help": "what stands between",
            },
            {"name": "limit", "type": "integer", "required": False, "default": None, "help": ""},
        ],
        "first_rows": [
            {"prompt": "Q: 0 plus one?\nA:", "completion": " 1"},
            {"prompt": "Q: 1 plus one?\nA:", "completion": " 2"},
        ],
    }
    text = hub("datasets", "sums")
    for line in (
        "sums: small sums (dist-sums)",
        "licence  CC0-1.0",
        "splits   sums:train (or sums alone), sums:validation (held out unless told otherwise)",
        "  prompt      a question",
        'word  string  default "plus"',
        "    what stands between",
    ):
        assert f"\n{line}\n" in f"\n{text.out}"
    assert "--data-option KEY=VALUE" in text.err
    assert hub("datasets", "sums:validation").code == 0
    assert "has no split 'valid'" in hub("datasets", "sums:valid").err


def test_a_plain_dataset_has_nothing_to_tell(hub: Hub) -> None:
    told = hub("datasets", "plain", "--json").json
    assert (told["licence"], told["splits"], told["columns"], told["options"]) == (None, [], {}, [])
    result = hub("datasets", "plain")
    assert result.out == "plain: as ever (dist-sums)\n\nrow 1:\nthe cat sat\n"
    assert result.err == ""


def test_a_dataset_that_needs_an_option_shows_no_row(hub: Hub) -> None:
    assert hub("datasets", "filed", "--json").json["first_rows"] == []
    result = hub("datasets", "filed")
    assert result.code == 0
    assert "path  string  required\n    where the rows lie\n" in result.out
    assert "no row without path; set options with --data-option KEY=VALUE" in result.err


def test_preview_takes_a_part_and_options(hub: Hub, project: Path) -> None:
    command = ("data", "preview", "sums:validation", "--base", "llama", "--json")
    told = hub(*command).json
    assert (told["data"], told["rows"], told["whole"]) == ("sums:validation", 6, True)
    options = ("--data-option", "word=and", "--data-option", "limit=2")
    told = hub(*command, *options).json
    assert told["rows"] == 2
    assert told["first"][0]["pieces"][0]["text"] == "Q: 0 and one?\nA:"


def test_train_takes_a_part_and_options(hub: Hub, project: Path) -> None:
    flags = ("--base", "llama", "--data", "sums", "--steps", "2", "--data-option", "limit=4")
    result = hub("train", "small", *flags, "--data-option", "word=and", "--json")
    assert result.code == 0, result.err
    assert result.json["eval_loss"] > 0
    assert "sums: 4 rows, 4 examples\n" in result.err
    assert "sums:validation: 4 rows, 4 examples; held out for evaluation (choose" in result.err
    entry = tomli.loads((project / "registry.toml").read_text())["adapters"]["small"]
    assert (entry["data"], entry["data_options"]) == ("sums", {"limit": 4, "word": "and"})
    assert "limit=4, word=and" in hub("show", "small").out
    record = json.loads((project / "adapters/small/1/adapter_hub.json").read_text())
    assert record["data"]["licence"] == "CC0-1.0"
    assert hub("train", "small", "--data", "sums:validation", "--steps", "1", "-q").code == 0
    record = json.loads((project / "adapters/small/2/adapter_hub.json").read_text())
    assert record["data"]["split"] == "validation"
    assert record["recipe"]["data_options"] == {"limit": 4, "word": "and"}
    assert [each["state"] for each in hub("status", "--json").json] == ["current"]
