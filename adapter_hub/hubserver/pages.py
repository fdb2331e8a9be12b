"""Plain pages for people: which repositories there are, and one with its card and files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any, get_args
from urllib.parse import quote

from starlette.responses import HTMLResponse, Response

from adapter_hub.hubserver import cards, pulls
from adapter_hub.hubserver.calls import Call
from adapter_hub.hubserver.records import Commit, RepoType, State
from adapter_hub.hubserver.refusals import NotFound
from adapter_hub.hubserver.repository import BRANCHES, TAGS, named

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.25; }
header { border-bottom: 1px solid #8884; margin-bottom: 1.5rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .25rem 1.25rem .25rem 0; border-bottom: 1px solid #8883; }
th.size, td.size { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { background: #8882; padding: .75rem 1rem; border-radius: 6px; overflow-x: auto; }
code { font: .9em ui-monospace, monospace; }
td + td { overflow-wrap: anywhere; }
img { max-width: 100%; border-radius: 6px; }
blockquote { margin: 1rem 0; padding-left: 1rem; border-left: 3px solid #8886; }
.soft { color: light-dark(#666, #999); overflow-wrap: anywhere; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_COMMENT = re.compile("<!--.*?-->", re.S)
_POLICY = (
    f"default-src 'none'; img-src 'self'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'self'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def front(call: Call) -> Response:
    """Public repositories: a browser has no token to show others for."""
    parts = []
    for kind in get_args(RepoType):
        states = [state for _, state in call.store.states(kind) if not state.private]
        rows = "".join(
            f'<tr><td><a href="{_address(state)}">{escape(state.id)}</a></td>'
            f'<td class="size soft">{escape(state.created[:10])}</td></tr>'
            for state in states
        )
        parts.append(f"<h2>{kind.capitalize()}s</h2>")
        parts.append(f"<table>{rows}</table>" if rows else '<p class="soft">None yet.</p>')
    parts.append(
        "<h2>Use it</h2><p>In the shell that pushes and pulls:</p>"
        f"<pre><code>export HF_ENDPOINT={escape(call.base_url)}</code></pre>"
    )
    return _page("adapter-hub", "<header><h1>adapter-hub</h1></header>" + "".join(parts))


def repository(call: Call) -> Response:
    """The card and the files of a public repository. Raises NotFound."""
    found, state, commit = call.at_revision()
    if state.private:
        raise NotFound("Private repositories have no page.")
    metadata, text = cards.read_card(found, commit)
    body = [
        f'<header><p><a href="/">adapter-hub</a></p><h1>{escape(state.id)}</h1>',
        f'<p class="soft">{state.type} at {commit.id}<br>{_refs(state)}</p></header>',
        _metadata(metadata),
        f"<article>{_markdown(text)}</article>",
        _files(state, commit),
    ]
    # The card's own links and images are relative to the files.
    base = f'<base href="{_address(state)}/resolve/{commit.id}/">'
    return _page(state.id, "".join(body), base)


def discussion(call: Call) -> Response:
    """A discussion or pull request of a public repository, to be read. Raises NotFound."""
    _, state = call.readable()
    if state.private:
        raise NotFound("Private repositories have no page.")
    found = pulls.find(state, call.part("num"))
    title = f"{found.title} #{found.num}"
    kind = "discussion"
    if found.base is not None:
        files = f"{_address(state)}/tree/{quote(pulls.ref_of(found.num), safe='')}"
        kind = f'pull request · <a href="{files}">its files</a>'
    body = [
        f'<header><p><a href="{_address(state)}">{escape(state.id)}</a></p>',
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(found.status)} {kind} by {escape(found.author)}, '
        f"{escape(found.created[:10])}</p></header>",
        *map(_event, found.events),
    ]
    return _page(title, "".join(body))


def _event(event: dict[str, Any]) -> str:
    data = event["data"]
    who = f"{escape(str(event['author']))}, {escape(str(event['createdAt'])[:10])}"
    if event["type"] == "comment":
        text = "" if data.get("hidden") else _markdown(str(data.get("text", "")))
        return f'<p class="soft">{who}</p><article>{text}</article>' if text else ""
    words = {
        "commit": data.get("subject"),
        "status-change": data.get("status"),
        "title-change": data.get("to"),
    }.get(event["type"])
    return f'<p class="soft">{who}: {escape(event["type"])} {escape(str(words or ""))}</p>'


def _address(state: State) -> str:
    return f"/{'datasets/' if state.type == 'dataset' else ''}{quote(state.id)}"


def _refs(state: State) -> str:
    links = [
        f'<a href="{_address(state)}/tree/{quote(name, safe="")}">{escape(name)}</a>'
        for prefix in (BRANCHES, TAGS)
        for name in sorted(named(state.refs, prefix))
    ]
    return " · ".join(links)


def _metadata(metadata: dict[str, Any]) -> str:
    rows = [
        f"<tr><th>{escape(key)}</th><td>{escape(_plain(value))}</td></tr>"
        for key, value in metadata.items()
        if key != "model-index"  # a tree of its own, and mostly in the text too
    ]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _plain(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _markdown(text: str) -> str:
    """HTML in the text is shown as text, but for comments, which are left out.

    Addresses other than of pages and mail are not links.
    """
    from markdown_it import MarkdownIt

    # Recognised as HTML, so that it can be told from code that looks like it; never passed on.
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    reader.add_render_rule("html_inline", _html_as_text)
    reader.add_render_rule("html_block", _html_as_text)
    tokens = reader.parse(text)
    for token in tokens:
        # Columns are aligned by inline styles, which the page's policy forbids.
        if token.attrs.pop("style", None) == "text-align:right":
            token.attrs["class"] = "size"
    return str(reader.renderer.render(tokens, reader.options, {}))


def _html_as_text(_renderer: Any, tokens: Sequence[Any], index: int, *_more: Any) -> str:
    text = escape(_COMMENT.sub("", tokens[index].content))
    return f"<p>{text}</p>" if tokens[index].block and text.strip() else text


def _files(state: State, commit: Commit) -> str:
    rows = "".join(
        f'<tr><td><a href="{_address(state)}/resolve/{commit.id}/{quote(path)}">{escape(path)}</a>'
        f'</td><td class="size">{file.size:,}</td></tr>'
        for path, file in commit.tree.items()
    )
    heading = '<tr><th>file</th><th class="size">bytes</th></tr>'
    return f"<h2>Files</h2><table>{heading}{rows}</table>"


def _page(title: str, body: str, head: str = "") -> Response:
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title>{head}<style>{_STYLE}</style></head>"
        f"<body>{body}</body></html>\n",
        headers={
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        },
    )
