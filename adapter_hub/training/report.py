"""``report.html``: a run on one page that needs nothing else, neither scripts nor a network.

It quotes rows of the data, so it stays beside the version and does not travel with it.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapter_hub.loading.folders import recorded
from adapter_hub.training.plot import Curves, svg_plots
from adapter_hub.training.progress import best_evaluation

_STYLE = """
html { color-scheme: light dark; --soft: light-dark(#5b6470, #9aa4b1); --line: #8884; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 3rem;
  background: light-dark(#fff, #14171b); color: light-dark(#1b1f24, #e6e9ed); }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
p.soft, .soft { color: var(--soft); margin: .2rem 0 0; overflow-wrap: anywhere; }
dl.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(max(9rem, 19%), 1fr)); gap: .6rem;
  margin: 1.2rem 0 0; }
dl.figures div { border: 1px solid var(--line); border-radius: 8px; padding: .5rem .75rem; }
dl.figures dt { color: var(--soft); font-size: .82rem; }
dl.figures dd { margin: 0; font-size: 1.1rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; }
figure.wide { grid-column: 1 / -1; max-width: 50rem; }
figure svg { width: 100%; height: auto; display: block; }
article { border: 1px solid var(--line); border-radius: 8px; padding: .25rem 1rem 1rem; margin: 0 0 1rem;
  overflow: clip; }
article h3 { font-size: .85rem; font-weight: normal; color: var(--soft); margin: .75rem 0 .25rem; }
pre { font: .87rem/1.45 ui-monospace, monospace; margin: 0; padding: .5rem .75rem; border-radius: 6px;
  background: #8881; white-space: pre-wrap; overflow-wrap: anywhere;
  unicode-bidi: plaintext; max-height: 24rem; overflow: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
th { font-weight: normal; color: var(--soft); width: 14rem; }
@media (max-width: 40rem) { th { width: 11rem; font-size: .85rem; } figure.wide text { font-size: 13px !important; } }
@media print { html { color-scheme: light; } figure, tr { break-inside: avoid; } h2, h3, p.soft { break-after: avoid; }
  .plots { grid-template-columns: repeat(3, 1fr); } pre { max-height: none; overflow: visible; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def report_page(
    record: dict[str, Any], curves: Curves, samples: Sequence[Mapping[str, Any]]
) -> bytes:
    """The page about a run, from its provenance record, its curves and its sample answers.

    What a record does not tell is left out.
    """
    base = recorded(record, "base").get("name", "its base")
    names = _text(record.get("adapter", "adapter")), _text(base)
    parts = [
        f"<header><h1>{' on '.join(map(_apart, names))}</h1>{_subtitle(record)}</header>",
        _figures(record, curves),
        "<h2>Training</h2>" + _plots(curves),
        _section("Answers", map(_sample, samples)),
        _section("Recipe", [_table(_flat(record.get("recipe")))]),
        _section("Data", [_table(_data(record))]),
        _section("Environment", [_table(_environment(record))]),
        _section("Held-out loss", [_evaluations(curves)]),
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{' on '.join(names)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    return page.encode("utf-8")


def _text(value: Any) -> str:
    """Any value as text of a page: nothing in it is markup, and no character is lost unseen."""
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return html.escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", shown))


def _apart(text: str) -> str:
    """Escaped text within a line, whose direction ends with it."""
    return f"<bdi>{text}</bdi>"


def _section(title: str, parts: Iterable[str]) -> str:
    content = "".join(parts)
    return f"<h2>{title}</h2>{content}" if content else ""


def _subtitle(record: dict[str, Any]) -> str:
    base = recorded(record, "base")
    method = recorded(record, "method")
    told = [
        method.get("name"),
        base.get("source"),
        record.get("dtype"),
        record.get("created"),
    ]
    return f'<p class="soft">{" · ".join(_apart(_text(each)) for each in told if each)}</p>'


def _figures(record: dict[str, Any], curves: Curves) -> str:
    metrics = recorded(record, "metrics")
    best = best_evaluation(curves.evaluations)
    told: list[tuple[str, Any]] = [
        ("held-out loss", _arrow(metrics.get("base_eval_loss"), metrics.get("eval_loss"))),
        ("perplexity", _number(metrics.get("perplexity"))),
        ("training loss", _number(metrics.get("train_loss"))),
        ("steps", _number(record.get("steps"))),
        ("weights kept", f"of step {best['step']:g}" if best else None),
        ("tokens", _number(record.get("tokens"))),
        ("tokens a second", _speed(record.get("tokens"), record.get("seconds"))),
        ("seconds", _number(record.get("seconds"))),
        ("trained parameters", _number(record.get("trainable_parameters"))),
    ]
    shown = "".join(
        f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in told if value
    )
    return f'<dl class="figures">{shown}</dl>'


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _speed(tokens: Any, seconds: Any) -> str | None:
    told = _is_number(tokens) and _is_number(seconds) and seconds > 0
    return _number(tokens / seconds) if told else None


def _number(value: Any) -> str | None:
    if not _is_number(value):
        return None
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _arrow(before: Any, after: Any) -> str | None:
    told = [each for each in (_number(before), _number(after)) if each]
    return " → ".join(told) or None


def _plots(curves: Curves) -> str:
    figures = [
        f'<figure class="{"wide" if name == "loss" else "small"}">{svg}</figure>'
        for name, svg in svg_plots(curves).items()
    ]
    return f'<div class="plots">{"".join(figures)}</div>'


def _sample(sample: Mapping[str, Any]) -> str:
    during = sample.get("during") or []
    answers = [
        ("prompt", sample.get("prompt")),
        ("expected", sample.get("expected")),
        ("base", sample.get("base")),
        *((f"adapter at step {each.get('step')}", each.get("text")) for each in during),
        ("adapter", sample.get("adapter")),
    ]
    shown = "".join(
        f'<h3>{_text(name)}</h3><pre dir="auto">{_text(text)}</pre>'
        for name, text in answers
        if text is not None
    )
    return f'<article><p class="soft">{_text(sample.get("where", ""))}</p>{shown}</article>'


def _flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """``training.steps`` and so on, one line for every setting."""
    if not isinstance(value, Mapping):
        return []
    lines: list[tuple[str, Any]] = []
    for key, each in value.items():
        name = f"{prefix}{key}"
        lines += _flat(each, f"{name}.") if isinstance(each, Mapping) else [(name, each)]
    return lines


def _data(record: dict[str, Any]) -> list[tuple[str, Any]]:
    told = {key: record.get(key) for key in ("data", "eval_data", "style", "max_length")}
    return _flat({key: value for key, value in told.items() if value is not None})


def _evaluations(curves: Curves) -> str:
    best = best_evaluation(curves.evaluations)
    lines = [
        (
            "the bare base" if each["step"] == 0 else f"step {each['step']:g}",
            (f"{each['loss']:.4f}" if math.isfinite(each["loss"]) else "not a number")
            + (", kept" if each is best else ""),
        )
        for each in curves.evaluations
    ]
    return _table(lines)


def _environment(record: dict[str, Any]) -> list[tuple[str, Any]]:
    parts = ("environment", "hardware", "plugins")
    return [line for part in parts for line in _flat(record.get(part))]


def _table(lines: Iterable[tuple[str, Any]]) -> str:
    rows = "".join(
        f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>"
        for name, value in lines
        if value not in (None, "", [], {})
    )
    return f"<table>{rows}</table>" if rows else ""
