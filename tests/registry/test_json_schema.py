"""The JSON Schema says what the reader says: of what is accepted, and of what is refused or warned of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timezone
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter_hub.cli.init import TEMPLATE
from adapter_hub.errors import AdapterHubError, ConflictError, RegistryError
from adapter_hub.registry import schema
from adapter_hub.registry.editors import FIRST_LINE, name_schema, put_schema, shipped_schema
from adapter_hub.registry.json_schema import registry_schema, schema_text
from adapter_hub.registry.store import Registry
from adapter_hub.registry.tables import SchemaError, check_document, read_summary
from adapter_hub.registry.unknown import unknown_keys

jsonschema = pytest.importorskip("jsonschema", reason="of the extra `test`")
VALIDATOR = jsonschema.Draft7Validator(registry_schema())
ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)

# What JSON cannot say, or a schema of one table cannot know.
BEYOND = (
    "points to version",  # an alias's version, which is not there
    "is not there: [remotes.",
    "has versions and neither `base` nor `method`",
    "differs from",  # a twin by case
    "must be a finite number",
    "a date and time, not '",  # a string that looks like one
    "not datetime.",  # the reverse: JSON has no times, so editors make strings of them
    ".0 (a float)",  # an integer written as a float
    "needs `schema = 1` at its top",  # the same
)


def as_json(value: Any) -> Any:
    """What an editor's server makes of TOML."""
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value.isoformat() if isinstance(value, (date, time)) else value


def schema_problems(meaning: Mapping[str, Any]) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(as_json(meaning))]


def reader_problems(meaning: Mapping[str, Any]) -> list[str]:
    """What the reader refuses or warns of, the first of each table."""
    problems = []

    def read(what: Any, *arguments: Any) -> None:
        try:
            what(*arguments)
        except SchemaError as error:
            problems.append(error.problem)
        except AdapterHubError as error:
            problems.append(error.message)

    read(check_document, meaning)
    if problems:
        return problems
    read(schema.check_names, meaning)
    remotes = meaning.get("remotes", {})
    for name, table in meaning.get("bases", {}).items():
        read(schema.read_base, name, table, remotes)
    for name, table in remotes.items():
        read(schema.read_remote, name, table)
    for name, table in meaning.get("adapters", {}).items():
        read(schema.read_adapter, name, table)
        read(read_summary, name, table)
    return problems + [problem for _, problem in unknown_keys(meaning)]


def test_the_shipped_file_is_what_the_records_say() -> None:
    assert shipped_schema() == schema_text(), "python scripts/write_schema.py"
    jsonschema.Draft7Validator.check_schema(json.loads(shipped_schema()))


def test_every_key_is_described() -> None:
    def described(table: Mapping[str, Any]) -> None:
        for key, value in table.get("properties", {}).items():
            assert value.get("description"), key
            for inner in (value, *value.get("patternProperties", {}).values()):
                described(inner)
            if isinstance(value.get("additionalProperties"), dict):
                described(value["additionalProperties"])

    described(registry_schema())


@pytest.mark.parametrize(
    "text", [TEMPLATE, (ROOT / "registry.toml").read_text(encoding="utf-8")], ids=["init", "ours"]
)
def test_a_registry_and_its_first_line(text: str) -> None:
    assert schema_problems(tomli.loads(text)) == []
    assert text.startswith("#:schema ./")


def test_our_own_names_the_shipped_one() -> None:
    first = (ROOT / "registry.toml").read_text(encoding="utf-8").splitlines()[0]
    named = (ROOT / first.removeprefix("#:schema ")).read_text(encoding="utf-8")
    assert named == shipped_schema()


VERSION = "[adapters.a.versions.1]\ncreated = 2026-01-01T00:00:00Z\nfiles = {}\n"


@pytest.mark.parametrize(
    "body",
    [
        "[bases.b]\n",
        '[bases.b]\nsource = "hf:o/r"\n',
        '[bases.b]\nsource = "hf:o/r"\nrevision = "main"\n',
        '[bases.b]\nsource = "gpt2"\n',
        '[bases.b]\nsource = "hf:gpt2"\n',
        '[bases.b]\nsource = "path:"\n',
        "[bases.b]\nsource = 3\n",
        "[bases.b]\nsource = 'path:x'\nrevison = 'x'\n",
        "[bases.b]\nsource = 'path:x'\nremote = 'team'\n",
        "[bases.b]\nsource = 'path:x'\ntrust_remote_code = true\n",
        "[bases.b]\nsource = 'path:x'\ntrust_remote_code = true\ncode = ''\n",
        "[bases.b]\nsource = 'path:x'\ntrust_remote_code = 'yes'\n",
        "[remotes.t]\n",
        "[remotes.t]\nendpoint = 'ftp://x'\n",
        "[remotes.t]\nendpoint = 'https://x'\ntoken = 'x'\n",
        "[remotes]\nt = 3\n",
        "remotes = 3\n",
        "adapters = []\n",
        "[adapters]\na = 1\n",
        "[adaptors.a]\n",
        "[tool.x]\n",
        "[adapters.a]\nbsae = 'b'\n",
        "[adapters.a]\nbase = 3\n",
        "[adapters.a]\noptions = 3\n",
        '[adapters.a]\ntags = "x"\n',
        "[adapters.a]\ncolumn_map = { q = 3 }\n",
        "[adapters.a]\naliases = { p = true }\n",
        "[adapters.a]\naliases = { p = 0 }\n",
        "[adapters.a]\ntraining = { epoch = 1 }\n",
        "[adapters.a]\ntraining = { epochs = 0 }\n",
        "[adapters.a]\ntraining = { epochs = true }\n",
        "[adapters.a]\ntraining = { steps = 0 }\n",
        "[adapters.a]\ntraining = { steps = 1.5 }\n",
        "[adapters.a]\ntraining = { steps = '3' }\n",
        "[adapters.a]\ntraining = { schedule = 'cosin' }\n",
        "[adapters.a]\ntraining = { eval_fraction = 1 }\n",
        "[adapters.a]\ntraining = { seed = -1 }\n",
        "[adapters.a]\nversions = { 1 = 2 }\n",
        VERSION.replace("files = {}\n", ""),
        VERSION.replace("created = 2026-01-01T00:00:00Z\n", ""),
        VERSION.replace("T00:00:00Z", ""),
        VERSION.replace("2026-01-01T00:00:00Z", "3"),
        VERSION.replace(".1]", ".0]"),
        VERSION.replace(".1]", ".01]"),
        VERSION.replace(".1]", ".x]"),
        VERSION.replace("{}", "{ a = 1 }"),
        VERSION.replace("{}", '{ "../x" = "y" }'),
        VERSION.replace("{}", '{ "a//x" = "y" }'),
        VERSION.replace("{}", '{ "a/." = "y" }'),
        VERSION.replace("{}", '{ "" = "y" }'),
        VERSION.replace("{}", '{ "a\\\\b" = "y" }'),
        VERSION + "metrics = { a = 'x' }\n",
        VERSION + "metrics = { a = true }\n",
        VERSION + "hub = { repo = 3 }\n",
        VERSION + "metric = {}\n",
        '[adapters."../x"]\n',
        "[adapters.nul]\n",
        '[adapters."Con.x"]\n',
        '[bases."a..b"]\nsource = "path:x"\n',
        "[bases.b-]\nsource = 'path:x'\n",
        f"[adapters.{'a' * 97}]\n",
    ],
)
def test_both_refuse(body: str) -> None:
    meaning = tomli.loads(f"schema = 1\n{body}")
    assert reader_problems(meaning)
    assert schema_problems(meaning)


@pytest.mark.parametrize("top", ["", "schema = 2", "schema = true", "schema = '1'", "schema = 0"])
def test_both_refuse_another_form(top: str) -> None:
    assert reader_problems(tomli.loads(top))
    assert schema_problems(tomli.loads(top))


# --- whatever hypothesis makes -------------------------------------------------------------------

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *("", "x", "hf:o/r", "main", COMMIT, "2026-01-02T03:04:05Z", "https://h", "\n", "."),
        *(0, 1, -1, 3, 2**63, 0.0, 0.5, 1.0, -1.5, float("inf"), float("nan"), True, False),
        *([], [1], ["x", []], {}, {"x": 1}, {"x": "y"}, {"1": {}}, {"a": {"files": {}}}),
        *(CREATED, CREATED.replace(tzinfo=None), CREATED.date(), CREATED.time()),
    ]
)
NAMES = st.sampled_from(
    [*("a", "A", "b.2", "c_d-e", "x" * 96), *("", "a/b", "..", "a..b", "con", "CON.x", "-a", "é")]
)
FILE_NAMES = st.sampled_from(
    ["a", "a.json", ".a", "..a", "...", "a/b", "a/.b/..c", " ", "é", "", ".", "..", "a/..", "/a"]
)


def table(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Mostly a table of such values; now and then an odd one, a key too many or too few."""
    kinds = {**required, **optional}

    @st.composite
    def drawn(draw: st.DrawFn) -> dict[str, Any]:
        made = dict(draw(st.fixed_dictionaries(required, optional=optional)))
        what = draw(st.integers(0, 11))
        if what == 0:
            made[draw(st.sampled_from(sorted(kinds)))] = draw(ODD)
        elif what == 1:
            made[draw(st.sampled_from([*kinds, "x"]))[:-1] + "z"] = draw(ODD)
        elif what == 2 and required:
            made.pop(draw(st.sampled_from(sorted(required))))
        return made

    return st.one_of(*[drawn()] * 15, ODD)


NUMBERS = st.integers(-1, 3) | st.floats(-1, 3) | st.sampled_from([float("nan"), 2**63 - 1])
TRAINING = table(
    {},
    {
        **dict.fromkeys(("epochs", "learning_rate", "eval_fraction", "warmup"), NUMBERS),
        **dict.fromkeys(("weight_decay", "max_grad_norm"), NUMBERS),
        **dict.fromkeys(("steps", "batch_size", "grad_accum", "max_length"), st.integers(0, 3)),
        "seed": st.integers(-1, 2**64),
        "schedule": st.sampled_from(["cosine", "linear", "cosin"]),
        "train_on": st.sampled_from(["completion", "all"]),
        "dtype": st.sampled_from(["auto", "float32", "int8"]),
        "on_bad_row": st.sampled_from(["fail", "skip"]),
    },
)
WORDS = st.sampled_from(["", "x", "a b", "é"])
FREE = st.dictionaries(WORDS, ODD, max_size=2)
VERSIONS = st.dictionaries(
    st.sampled_from(["1", "2", "10", "0", "01", "x", "1" * 18, "1" * 19]),
    table(
        {
            "created": st.just(CREATED) | st.just(CREATED.replace(tzinfo=None, microsecond=5)),
            "files": st.dictionaries(FILE_NAMES, WORDS, max_size=2),
        },
        {
            "recipe": WORDS,
            "metrics": st.dictionaries(WORDS, NUMBERS, max_size=2),
            "hub": st.dictionaries(WORDS, WORDS, max_size=2),
        },
    ),
    max_size=2,
)
ADAPTER = table(
    {},
    {
        **dict.fromkeys(("base", "method", "data", "eval_data", "description"), WORDS),
        **dict.fromkeys(("options", "data_options"), FREE),
        "column_map": st.dictionaries(WORDS, WORDS, max_size=2),
        "training": TRAINING,
        "tags": st.lists(WORDS | ODD, max_size=2),
        "aliases": st.dictionaries(WORDS, st.integers(0, 2), max_size=2),
        "versions": VERSIONS,
    },
)
BASE = table(
    {
        "source": st.sampled_from(
            ["hf:o/r", "hf:o/r", "path:x", "plugin:p", "path:\n", "hf:r", "x:"]
        )
    },
    {
        "revision": st.sampled_from([COMMIT, COMMIT, "main", ""]),
        "remote": st.sampled_from(["team", "nobody"]),
        "trust_remote_code": st.booleans(),
        "code": WORDS,
    },
)
REMOTE = table({"endpoint": st.sampled_from(["https://h", "http://h/", "h", "https:"])}, {})
REGISTRIES = table(
    {"schema": st.just(1)},
    {
        "bases": st.dictionaries(NAMES, BASE, max_size=2),
        "remotes": st.dictionaries(st.sampled_from(["team", "", "é"]), REMOTE, max_size=2),
        "adapters": st.dictionaries(NAMES, ADAPTER, max_size=2),
    },
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(REGISTRIES.filter(lambda made: isinstance(made, dict)))
def test_what_one_refuses_the_other_refuses(meaning: dict[str, Any]) -> None:
    by_reader, by_schema = reader_problems(meaning), schema_problems(meaning)
    if not by_reader:
        assert by_schema == []
    elif not by_schema:
        assert all(any(words in problem for words in BEYOND) for problem in by_reader), by_reader


# --- beside a registry ---------------------------------------------------------------------------

TEXT = '# ours\nschema = 1\n\n[adapters.a]\nbase = "b"\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (TEXT, f"{FIRST_LINE}\n{TEXT}"),
        (TEXT.replace("\n", "\r\n"), f"{FIRST_LINE}\n{TEXT}".replace("\n", "\r\n")),
        (f"\ufeff{TEXT}", f"\ufeff{FIRST_LINE}\n{TEXT}"),
        (f"#:schema https://x/y.json\n{TEXT}", None),
        (f"# ours\n\n  #:schema ./mine.json\n{TEXT}", None),
        (
            f"schema = 1\n#:schema ./x.json\n{TEXT[18:]}",
            f"{FIRST_LINE}\nschema = 1\n#:schema ./x.json\n{TEXT[18:]}",
        ),
    ],
    ids=["plain", "CRLF", "mark", "theirs", "below comments", "too late"],
)
def test_an_existing_registry_names_it(tmp_path: Path, before: str, after: str | None) -> None:
    path = tmp_path / "registry.toml"
    path.write_bytes(before.encode())
    assert name_schema(Registry.open(path)) == (after is not None)
    assert path.read_bytes().decode() == (after or before)
    assert not name_schema(Registry.open(path))
    registry = Registry.open(path)
    registry.rename_entry("a", "z")
    registry.edit(lambda tables: tables["adapters"].pop("z"))
    registry.edit(lambda tables: tables.setdefault("adapters", {}).update(y={"base": "b"}))
    first = (after or before).partition("base")[0].partition("[")[0].strip()
    assert path.read_bytes().decode().startswith(first)


def test_the_file_is_renewed_and_nobody_elses_is(tmp_path: Path) -> None:
    path = put_schema(tmp_path)
    assert path.read_text(encoding="utf-8") == shipped_schema()
    older = json.loads(shipped_schema()) | {"description": "older"}
    path.write_text(json.dumps(older))
    assert put_schema(tmp_path).read_text(encoding="utf-8") == shipped_schema()
    for theirs in ('{ "title": "theirs" }', "[" * 100_000, "[]", ""):
        path.write_text(theirs)
        with pytest.raises(ConflictError, match="not adapter-hub's"):
            put_schema(tmp_path)
        assert path.read_text() == theirs


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "registry.schema.json").mkdir()
    with pytest.raises(RegistryError, match="cannot be written"):
        put_schema(tmp_path)


def test_only_comments_can_be_edited_as_text(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text(TEXT)
    registry = Registry.open(tmp_path)
    with pytest.raises(RegistryError, match="nothing was written"):
        registry.edit_text(lambda text: text.replace('"b"', '"c"'))
    assert (tmp_path / "registry.toml").read_text() == TEXT
