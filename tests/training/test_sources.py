"""What a recipe's data names: found and checked at once, read row by row, its parts in their places."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import tomli
import workshop

from adapter_hub.datasets.files import SourceRow
from adapter_hub.errors import (
    AdapterHubError,
    DataError,
    OptionError,
    PluginError,
    UnknownNameError,
    UsageError,
)
from adapter_hub.plugins import Catalog, load_catalog
from adapter_hub.registry.store import Registry
from adapter_hub.training import prepare
from adapter_hub.training.estimate import estimate
from adapter_hub.training.plan import Changes
from adapter_hub.training.sources import (
    DataSource,
    dataset_of,
    default_split,
    find_source,
    open_rows,
    validation_of,
)
from adapter_hub.training.status import adapter_status

SIZES = {"train": 30, "validation": 5, "test": 7}


def sums(
    split: str,
    word: Annotated[str, "what stands between the numbers"] = "plus",
    limit: Annotated[int | None, "at most so many rows"] = None,
    style: Literal["prompt", "text"] = "prompt",
    weight: float = 1.0,
) -> Iterator[dict[str, str]]:
    for number in range(SIZES[split])[:limit]:
        question, answer = f"Q: {number} {word} one?\nA:", f" {number + 1}"
        if style == "text":
            yield {"text": question + answer}
        else:
            yield {"prompt": question, "completion": answer}


def plain(path: str = "x") -> Iterator[str]:
    yield f"the cat of {path}"


@pytest.fixture
def catalog() -> Catalog:
    return workshop.offering("sums", sums, splits=tuple(SIZES), licence="CC0-1.0")


def words(*path: Any, catalog: Any, root: Path = Path(), **options: Any) -> list[Any]:
    source = find_source(*path, root, catalog, options)
    return [each.row for each in open_rows(source, root) if isinstance(each, SourceRow)]


# --- rows -----------------------------------------------------------------------------------------


def test_rows_of_a_plugin() -> None:
    catalog = workshop.offering("mine", lambda: ["one", {"text": "two"}])
    rows = list(open_rows(find_source("mine", Path(), catalog), Path()))
    assert rows == [SourceRow("mine row 1", "one"), SourceRow("mine row 2", {"text": "two"})]


def breaks() -> Iterator[str]:
    yield "one"
    raise KeyError("two")


def leaves() -> Iterator[str]:
    yield "one"
    sys.exit(3)


@pytest.mark.parametrize(
    ("factory", "words"),
    [(breaks, "after 1 rows: KeyError: 'two'"), (leaves, "1 rows: SystemExit: 3")],
)
def test_a_plugin_that_breaks_is_named(factory: Any, words: str) -> None:
    catalog = workshop.offering("mine", factory)
    rows = open_rows(find_source("mine", Path(), catalog), Path())
    assert next(rows) == SourceRow("mine row 1", "one")
    with pytest.raises(DataError, match=f"dataset 'mine' of a-plugin broke .*{words}"):
        next(rows)


def test_what_is_no_rows_at_all_is_named() -> None:
    catalog = workshop.offering("mine", lambda: None)
    with pytest.raises(DataError, match="broke after 0 rows: TypeError: 'NoneType'"):
        next(open_rows(find_source("mine", Path(), catalog), Path()))


def test_what_a_dataset_prints_is_talk(capsys: pytest.CaptureFixture[str]) -> None:
    def loud() -> Iterator[str]:
        print("begun")
        yield "one"
        print("done")

    catalog = workshop.offering("mine", loud)
    for _ in open_rows(find_source("mine", Path(), catalog), Path()):
        print("row")
    assert capsys.readouterr() == ("row\n", "begun\ndone\n")


def test_rows_of_a_file_beside_the_registry(tmp_path: Path) -> None:
    workshop.write_rows(tmp_path / "rows.jsonl", ["one"])
    assert words("rows.jsonl", catalog=load_catalog(), root=tmp_path) == ["one"]


def test_the_built_in_dataset() -> None:
    first = next(open_rows(find_source("shakespeare", Path(), load_catalog()), Path()))
    assert isinstance(first, SourceRow)
    assert isinstance(first.row, str)


def test_a_row_is_made_when_it_is_asked_for() -> None:
    made = []

    def endless() -> Iterator[str]:
        for number in itertools.count():
            made.append(number)
            yield f"row {number}"

    rows = open_rows(find_source("mine", Path(), workshop.offering("mine", endless)), Path())
    assert made == []
    assert [next(rows), next(rows)] == [
        SourceRow("mine row 1", "row 0"),
        SourceRow("mine row 2", "row 1"),
    ]
    assert made == [0, 1]


# --- splits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "split"),
    [
        ("sums", "train"),
        ("sums:train", "train"),
        ("sums:validation", "validation"),
        ("sums:test", "test"),
    ],
)
def test_a_name_alone_is_the_train_split(catalog: Catalog, data: str, split: str) -> None:
    source = find_source(data, Path(), catalog)
    assert (str(source), source.split) == (data, split)
    assert len(words(data, catalog=catalog)) == SIZES[split]
    row = next(open_rows(source, Path()))
    assert row.where == f"{data} row 1"


def test_without_a_train_split_it_is_the_first() -> None:
    for splits, first in (
        (("test", "other"), "test"),
        (("validation", "train"), "train"),
        ((), None),
    ):
        catalog = workshop.offering("mine", sums, splits=splits)
        assert default_split(catalog.find("dataset", "mine")) == first


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("sums:valid", r"has no split 'valid' \(did you mean 'validation'\?\); it has train, val"),
        ("sums:", "has no split ''; it has train, validation, test"),
        ("shakespeare:train", "dataset 'shakespeare' has no split 'train'; it declares none"),
        ("sumz:train", r"no dataset 'sumz' \(did you mean 'sums'\?\)"),
    ],
)
def test_an_unknown_split(catalog: Catalog, data: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message) as caught:
        find_source(data, Path(), catalog)
    assert str(caught.value.hint).startswith("adapter-hub datasets")


def test_the_name_without_its_split() -> None:
    assert dataset_of("sums:test") == dataset_of("sums") == "sums"
    for other in ("rows.jsonl", "hf:me/rows:config:test", "folder/rows:1.jsonl"):
        assert dataset_of(other) == other


def test_which_part_is_for_validation(catalog: Catalog) -> None:
    found = validation_of(find_source("sums:test", Path(), catalog, {"limit": 2}))
    assert found is not None
    assert (found.name, found.split, found.options) == (
        "sums:validation",
        "validation",
        {"limit": 2},
    )
    assert validation_of(find_source("sums:validation", Path(), catalog)) is None
    assert validation_of(find_source("shakespeare", Path(), catalog)) is None
    assert validation_of(DataSource("rows.jsonl")) is None


def test_splits_without_the_parameter_are_the_plugin_s_mistake() -> None:
    catalog = workshop.offering("mine", plain, splits=("train",))
    with pytest.raises(PluginError, match="declares splits, and its factory takes no `split`"):
        find_source("mine", Path(), catalog)


# --- options --------------------------------------------------------------------------------------


def test_options_reach_the_factory(catalog: Catalog) -> None:
    rows = words("sums", catalog=catalog, word="and", limit=2)
    assert [each["prompt"] for each in rows] == ["Q: 0 and one?\nA:", "Q: 1 and one?\nA:"]
    assert find_source("sums", Path(), catalog, {"weight": 2}).options == {"weight": 2.0}
    old = workshop.offering("old", plain)
    assert words("old", catalog=old) == ["the cat of x"]
    assert words("old", catalog=old, path="y") == ["the cat of y"]


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (
            "sums",
            {"wrd": "x"},
            OptionError,
            r"dataset 'sums' has no option 'wrd' \(did you mean 'word'",
        ),
        ("sums:test", {"limit": "x"}, OptionError, "option 'limit' takes integer, not 'x'"),
        ("sums", {"style": "chat"}, OptionError, 'option \'style\' takes "prompt" | "text"'),
        ("sums", {"split": "test"}, OptionError, "has no option 'split'"),
        ("shakespeare", {"x": 1}, OptionError, "dataset 'shakespeare' has no option 'x'"),
        (
            "rows.jsonl",
            {"limit": 1},
            UsageError,
            "rows.jsonl takes no options, and limit was given",
        ),
        ("hf:me/rows", {"limit": 1}, UsageError, "hf:me/rows takes no options"),
    ],
)
def test_options_are_checked(
    catalog: Catalog, data: str, options: dict[str, Any], error: type[AdapterHubError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        find_source(data, Path(), catalog, options)
    assert str(caught.value.hint).startswith("adapter-hub datasets")


def test_an_option_without_a_default_is_needed() -> None:
    def needy(path: str) -> Iterator[str]:
        yield path

    catalog = workshop.offering("mine", needy)
    with pytest.raises(OptionError, match="dataset 'mine' needs option 'path'"):
        find_source("mine", Path(), catalog)
    assert words("mine", catalog=catalog, path="y") == ["y"]


# --- in a run -------------------------------------------------------------------------------------


def train(shop: Path, catalog: Catalog, data: str = "sums", **how: Any) -> tuple[Any, list[str]]:
    said: list[str] = []
    result = workshop.run_training(shop, data=data, catalog=catalog, say=said.append, **how)
    return result, said


def record(shop: Path, number: int = 1) -> Any:
    return json.loads((shop / f"adapters/sums/{number}/adapter_hub.json").read_text())


def test_the_validation_split_is_held_out(shop: Path, catalog: Catalog) -> None:
    result, said = train(shop, catalog)
    assert result.eval_loss is not None
    (line,) = (each for each in said if each.startswith("sums:validation"))
    assert line == (
        "sums:validation: 5 rows, 5 examples; held out for evaluation "
        "(choose with --eval-data or --eval-fraction)"
    )
    assert "sums: 30 rows, 30 examples" in said
    told = record(shop)
    assert (told["data"]["rows"], told["data"]["split"]) == (30, "train")
    assert (told["eval_data"]["rows"], told["eval_data"]["split"]) == (5, "validation")
    assert told["data"]["licence"] == "CC0-1.0"
    assert told["plugins"] == {"a-plugin": "1"}
    recipe = tomli.loads((shop / "registry.toml").read_text())["adapters"]["sums"]
    assert "eval_data" not in recipe


@pytest.mark.parametrize(
    ("how", "rows"),
    [
        ({"eval_data": "sums:test"}, {"rows": 7}),
        ({"eval_data": "rows.jsonl"}, {"rows": 40}),
        ({"eval_fraction": 0.5}, {"held_out": 15}),
        ({"eval_fraction": 0.0}, {"held_out": 0}),
        ({"data": "sums:validation", "eval_fraction": 0.4}, {"held_out": 2}),
    ],
)
def test_what_a_person_says_of_held_out_rows_comes_first(
    shop: Path, catalog: Catalog, how: dict[str, Any], rows: dict[str, int]
) -> None:
    train(shop, catalog, steps=1, **how)
    assert rows.items() <= record(shop)["eval_data"].items()


def test_options_are_of_both_parts_and_of_no_other_dataset(shop: Path, catalog: Catalog) -> None:
    for eval_data, held_out in ((None, 4), ("sums:test", 4), ("rows.jsonl", 40)):
        how = {"eval_data": eval_data} if eval_data else {}
        expected = estimate(
            "sums",
            Changes(base="llama", data="sums", data_options={"limit": 4}, **how),
            registry=Registry.open(shop),
            catalog=catalog,
        )
        assert (expected.rows, expected.held_out) == (4, held_out)


def test_options_are_part_of_the_recipe(shop: Path, catalog: Catalog) -> None:
    train(shop, catalog, data_options={"limit": 12, "word": "and"}, steps=1)
    path = shop / "registry.toml"
    text = path.read_text()
    assert 'data = "sums"\ndata_options = { limit = 12, word = "and" }\n' in text
    told = record(shop)
    assert told["recipe"]["data_options"] == {"limit": 12, "word": "and"}
    assert told["data"]["rows"] == 12
    registry = Registry.open(shop)
    assert adapter_status(registry, registry.adapter("sums")).state == "current"
    assert registry.unknown_keys() == []
    path.write_text(text.replace("limit = 12", "limit = 13"))
    registry = Registry.open(shop)
    assert adapter_status(registry, registry.adapter("sums")).state == "stale"


def test_another_dataset_starts_with_no_options(shop: Path, catalog: Catalog) -> None:
    def options(data: str, **more: Any) -> Any:
        train(shop, catalog, data, steps=1, **more)
        table = tomli.loads((shop / "registry.toml").read_text())["adapters"]["sums"]
        return table.get("data_options")

    assert options("sums", data_options={"limit": 12}) == {"limit": 12}
    assert options("sums:train", data_options={"word": "and"}) == {"limit": 12, "word": "and"}
    assert options("rows.jsonl") is None


def test_changed_rows_are_seen_by_their_fingerprint(shop: Path, catalog: Catalog) -> None:
    train(shop, catalog, steps=1)
    train(shop, catalog, steps=1, data_options={"word": "and"})
    train(shop, catalog, steps=1, data_options={"word": "plus"})
    prints = [record(shop, number)["data"]["fingerprint"] for number in (1, 2, 3)]
    assert prints[0] == prints[2] != prints[1]


def test_a_path_in_an_option_stays_on_this_machine(shop: Path) -> None:
    def at(paths: list[str], more: dict[str, str]) -> Iterator[str]:
        yield from (f"the cat {number} sat" for number in range(9))

    options = {"paths": ["/home/me/secret.txt"], "more": {"x": "/home/me/other.txt"}}
    train(shop, workshop.offering("at", at), "at", data_options=options, steps=1)
    told = record(shop)["recipe"]["data_options"]
    assert told == {"paths": ["secret.txt"], "more": {"x": "other.txt"}}


# --- streams --------------------------------------------------------------------------------------


class Counted:
    """An endless dataset that counts what was taken of it."""

    def __init__(self) -> None:
        self.taken = 0

    def __call__(self) -> Iterator[dict[str, str]]:
        for number in itertools.count():
            self.taken += 1
            yield {"prompt": f"Q: {number}\nA:", "completion": f" {number % 7}"}


def test_an_endless_dataset_is_read_as_far_as_the_steps_need(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "STREAM_ROWS", 20)
    endless = Counted()
    result, said = train(shop, workshop.offering("endless", endless), "endless", steps=4)
    assert result.steps == 4
    # 4 steps of 8, and the twentieth part held out; one more row tells that there are more
    assert endless.taken == 34 + 1
    assert record(shop)["data"]["rows"] == 34
    assert (
        "endless: the first 34 rows, 34 examples; more than the steps can use, "
        "so the rest is not read"
    ) in said
    assert "endless: 20 rows so far" in said
    train(shop, workshop.offering("endless", endless), "endless", steps=1)
    assert record(shop, 2)["data"]["rows"] == 20, "enough to shuffle"


def test_one_that_never_ends_and_no_steps(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so while it reads, and Ctrl-C leaves nothing behind."""
    monkeypatch.setattr(prepare, "STREAM_ROWS", 50)
    said: list[str] = []

    def interrupted(line: str) -> None:
        said.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workshop.run_training(
            shop,
            data="endless",
            catalog=workshop.offering("endless", Counted()),
            steps=None,
            say=interrupted,
        )
    assert said == ["endless: 50 rows so far; if it never ends, say how far to read it: --steps"]
    assert list((shop / "adapters/.runs/sums").iterdir()) == [shop / "adapters/.runs/sums/lock"]


def test_a_file_is_read_to_its_end(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "STREAM_ROWS", 10)
    _, said = train(shop, load_catalog(), "rows.jsonl", steps=1)
    assert "rows.jsonl: 40 rows, 40 examples" in said


STREAM = """
import itertools, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import workshop
from adapter_hub.registry.store import Registry
from adapter_hub.training.estimate import estimate
from adapter_hub.training.plan import Changes
from adapter_hub.training.preview import preview_data
from adapter_hub.training.sources import find_source

def endless(rows: int):
    for number in itertools.count() if rows < 0 else range(rows):
        yield {"prompt": f"Q: {number} " + "x" * 90, "completion": " the cat sat on the mat" * 4}

catalog, registry = workshop.offering("endless", endless), Registry.open(Path(sys.argv[2]))
for rows in (2_000, 2_000, -1):
    options = {"rows": rows}
    told = estimate(
        "s",
        Changes(base="llama", data="endless", data_options=options, training={"steps": 9}),
        registry=registry, catalog=catalog,
    )
    source = find_source("endless", registry.folder, catalog, options)
    seen = preview_data(registry, registry.base("llama"), source, catalog, 2, 64, "all", {})
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(told.rows, seen["rows"], seen["whole"], memory)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_a_stream(shop: Path) -> None:
    """A stream without an end, of which 50,000 rows are read, needs what 2,000 rows need."""
    tests = str(Path(workshop.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", STREAM, tests, str(shop)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    _, before, after = (line.split() for line in done.stdout.splitlines())
    assert before[:3] == ["2000", "2000", "True"]
    assert after[:3] == ["50000", "10000", "False"]
    assert int(after[3]) - int(before[3]) < 40, "megabytes"
