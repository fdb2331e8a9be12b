"""The page about a run."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import workshop

from adapter_hub.loading.folders import read_record
from adapter_hub.registry.store import Registry
from adapter_hub.training.plot import Curves
from adapter_hub.training.report import report_page
from adapter_hub.training.run_options import RunOptions

NASTY = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\x00\x1b[31m\u202e\ud800"


class Page(HTMLParser):
    """Elements, attributes and text of a page; fails at an element that is not closed."""

    VOID = ("meta", "br")

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page.decode("utf-8"))
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.elements.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def curves(steps: int = 5, evaluations: int = 3) -> Curves:
    return Curves(
        loss=[3.0 / n for n in range(1, steps + 1)],
        learning_rate=[1e-3] * steps,
        tokens_per_second=[100.0 + n % 5 for n in range(steps)],
        evaluations=[{"step": 2 * n, "loss": 3.0 - n} for n in range(evaluations)],
        lengths=np.array([4, 9, 9, 12]),
    )


def sample(text: str) -> dict[str, Any]:
    during = [{"step": 2, "text": text}]
    return {
        "where": text, "prompt": text, "expected": text, "base": text, "adapter": text,
        "during": during,
    }  # fmt: skip


RECORD: dict[str, Any] = {
    "adapter": "sums",
    "base": {"name": "llama", "source": "path:bases/llama"},
    "recipe": {"method": "lora", "options": {"r": 8}, "training": {"steps": 5, "seed": 0}},
    "metrics": {"eval_loss": 1.0, "base_eval_loss": 3.0, "perplexity": 2.718},
    "steps": 5,
    "tokens": 12345,
    "seconds": 10.0,
}


def test_all_of_a_run_is_on_it() -> None:
    page = Page(report_page(RECORD, curves(), [sample("the answer")]))
    text = " ".join(page.texts)
    for told in (
        "sums on llama", "3 → 1", "12,345", "1,234", "options.r", "training.steps", "step 4", "kept",
        "the bare base", "the answer", "adapter at step 2",
    ):  # fmt: skip
        assert told in text, told
    assert "script" not in page.elements


def test_nothing_in_the_data_is_markup() -> None:
    harmless = Page(report_page(RECORD, curves(), [sample("x")]))
    record = {**RECORD, "adapter": NASTY, "data": {"fingerprint": NASTY}, "base": {"name": NASTY}}
    record["recipe"] = {NASTY: {NASTY: NASTY}}
    written = report_page(record, curves(), [sample(NASTY)])
    page = Page(written)
    assert page.elements == harmless.elements
    assert {name for name, _ in page.attributes} == {name for name, _ in harmless.attributes}
    assert b"\x00" not in written
    assert b"\x1b" not in written
    assert "<script>alert(1)</script>" in " ".join(page.texts)


def test_it_asks_nobody_for_anything() -> None:
    page = Page(report_page(RECORD, curves(), [sample("http://example.org/")]))
    assert not page.elements & {"script", "link", "img", "iframe", "object", "image"}
    policies = [value for name, value in page.attributes if name == "content" and value]
    assert "default-src 'none'; style-src 'unsafe-inline'" in policies
    for name, value in page.attributes:
        assert name not in ("src", "srcset", "action", "background")
        assert not name.startswith("on")
        if name in ("href", "xlink:href"):
            assert str(value).startswith("#")


def test_the_same_run_is_the_same_page() -> None:
    first = report_page(RECORD, curves(), [sample("x")])
    assert first == report_page(RECORD, curves(), [sample("x")])


def test_text_from_right_to_left_ends_with_itself() -> None:
    """A name that turns the direction does not turn what stands after it on the line."""
    record = {**RECORD, "adapter": "a\u202eb", "created": "2026-11-27T10:00:00Z"}
    text = report_page(record, curves(), []).decode()
    assert "<h1><bdi>a\u202eb</bdi> on <bdi>llama</bdi></h1>" in text
    assert "<bdi>path:bases/llama</bdi> · <bdi>2026-11-27T10:00:00Z</bdi>" in text


def test_what_comes_after_what() -> None:
    record = {**RECORD, "data": {"rows": 3}, "environment": {"python": "3.11"}}
    text = report_page(record, curves(), [sample("x")]).decode()
    heads = re.findall("<h2>(.*?)</h2>", text)
    assert heads == ["Training", "Answers", "Recipe", "Data", "Environment", "Held-out loss"]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), "x", None, True, [1]])
def test_a_figure_that_is_no_number_is_left_out(odd: Any) -> None:
    keys = ("eval_loss", "base_eval_loss", "perplexity", "train_loss")
    record = {"metrics": dict.fromkeys(keys, odd), "tokens": odd, "seconds": odd, "steps": odd}
    page = report_page(record, curves(2, 0), [])
    assert b"<dd>" not in page
    for other in ({"tokens": odd, "seconds": 2.0}, {"tokens": 9, "seconds": odd}):
        assert b"<dt>tokens a second</dt>" not in report_page(other, curves(2, 0), [])


def test_a_held_out_loss_that_is_no_number() -> None:
    odd = replace(
        curves(2, 0), evaluations=[{"step": 0, "loss": 3.0}, {"step": 2, "loss": math.nan}]
    )
    page = Page(report_page({}, odd, []))
    assert any("not a number" in each for each in page.texts)
    assert not any(each.strip() in ("nan", "NaN") for each in page.texts)


@pytest.mark.parametrize(
    "record",
    [{}, {"base": 3, "recipe": [], "metrics": {"eval_loss": "x"}, "tokens": 1, "seconds": 0}],
)
def test_what_a_record_does_not_tell_is_left_out(record: dict[str, Any]) -> None:
    page = Page(report_page(record, curves(1, 0), []))
    assert "Answers" not in page.texts
    assert "Held-out loss" not in page.texts


def test_a_long_run_is_no_long_page() -> None:
    assert len(report_page(RECORD, curves(100_000), [sample("x")])) < 300_000


# --- beside a version ----------------------------------------------------------------------------


def test_a_run_leaves_its_report_beside_the_version(shop: Path) -> None:
    result = workshop.run_training(shop, run_options=RunOptions())
    folder = Path(result.path)
    text = " ".join(Page((folder / "report.html").read_bytes()).texts)
    assert result.samples[0]["expected"] in text
    assert "training.learning_rate" in text
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")
    version = Registry.open(shop).adapter("sums").versions[1]
    assert not {"report.html", "training.png"} & version.files.keys()
    assert "samples" not in read_record(folder)
