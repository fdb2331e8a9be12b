"""The pages for people."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import matplotlib.image
import pytest
from hubbox import HubBox
from huggingface_hub import CommitOperationAdd, HfApi

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CARD = """\
---
license: mit
base_model: team/base
tags: [a, "<b>"]
---
# Sums of *numbers*

| metric | value |
|---|---:|
| loss | 1.5 |

```python
print("a line that is longer than a narrow window is wide, so that it must be scrolled there")
```

![the loss](loss.png) [config](adapter_config.json) [bad](javascript:document.title=1)

<script>document.title = "run"</script>
<img src=x onerror="document.title = 'run'">

<!-- a mark: over
two lines -->

before <!-- inside --> after <b>bold</b>

<!-- hidden --><em>shown</em> <!-- <script>alert(4)</script> -->

    <!-- in code -->

`<!-- in words -->`

<!-- never ended <script>document.title = "run"</script>
"""


def page(box: HubBox, path: str) -> tuple[str, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(box.endpoint + path, timeout=30) as response:
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        return response.read().decode(), response.headers["Content-Security-Policy"]


@pytest.fixture
def carded(ann: HfApi, repo: str) -> str:
    ann.upload_file(repo_id=repo, path_or_fileobj=CARD.encode(), path_in_repo="README.md")
    ann.upload_file(repo_id=repo, path_or_fileobj=b"x" * 12345, path_in_repo="a #&.bin")
    ann.create_tag(repo, tag="v1")
    return repo


def test_the_front_lists_what_is_public(box: HubBox, ann: HfApi, carded: str) -> None:
    ann.create_repo("ann/private-one", private=True, exist_ok=True)
    text, policy = page(box, "/")
    assert f'<a href="/{carded}">{carded}</a>' in text
    assert "private-one" not in text
    assert f"export HF_ENDPOINT={box.endpoint}" in text
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_a_card_is_rendered_and_nothing_in_it_runs(box: HubBox, ann: HfApi, carded: str) -> None:
    text, policy = page(box, f"/{carded}")
    assert "<h1>Sums of <em>numbers</em></h1>" in text
    assert "<th>license</th><td>mit</td>" in text
    assert "<td>a, &lt;b&gt;</td>" in text
    assert '<td class="size">1.5</td>' in text
    assert "style=" not in text
    assert '<img src="loss.png" alt="the loss"' in text
    assert f'<base href="/{carded}/resolve/{ann.repo_info(carded).sha}/">' in text
    for hidden in ("a mark", "two lines", "inside", "hidden", "alert(4)"):
        assert hidden not in text
    assert "<p>before  after &lt;b&gt;bold&lt;/b&gt;</p>" in text
    assert "&lt;em&gt;shown&lt;/em&gt;" in text
    assert "<pre><code>&lt;!-- in code --&gt;" in text
    assert "<code>&lt;!-- in words --&gt;</code>" in text
    assert "&lt;script&gt;document.title" in text
    assert "&lt;!-- never ended &lt;script&gt;document.title" in text
    assert "script-src" not in policy
    for evil in ("<script", "<img src=x", 'href="javascript'):
        assert evil not in text
    assert '/a%20%23%26.bin">a #&amp;.bin</a></td><td class="size">12,345</td>' in text
    assert page(box, f"/{carded}/tree/v1")[0] == text


def test_a_pull_request_is_shown_where_its_address_says(box: HubBox, ann: HfApi) -> None:
    ann.create_repo("ann/asked", exist_ok=True)
    made = ann.create_commit(
        "ann/asked",
        [CommitOperationAdd("notes.txt", b"new")],
        commit_message="Notes <b>of mine</b>",
        create_pr=True,
    )
    assert made.pr_url
    at = made.pr_url.removeprefix(box.endpoint)
    text, _ = page(box, at)
    assert "Notes &lt;b&gt;of mine&lt;/b&gt; #1" in text
    assert "open pull request" in text
    assert 'href="/ann/asked/tree/refs%2Fpr%2F1"' in text
    assert "notes.txt" in page(box, "/ann/asked/tree/refs%2Fpr%2F1")[0]
    assert "notes.txt" in page(box, f"/ann/asked/commit/{made.oid}")[0]
    ann.comment_discussion("ann/asked", 1, "**Good** <script>x</script>")
    text, _ = page(box, at)
    assert "<strong>Good</strong>" in text
    assert "<script>" not in text
    ann.update_repo_settings("ann/asked", private=True)
    for path in (at, "/ann/asked/discussions/2"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            page(box, path)


def test_a_repository_without_a_card(box: HubBox, ann: HfApi) -> None:
    ann.create_repo("ann/bare-rows", repo_type="dataset", exist_ok=True)
    text, _ = page(box, "/datasets/ann/bare-rows")
    assert "dataset at " in text
    assert ".gitattributes" in text


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


def browse(url: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The page as a real browser has it, scripts run if it runs any; what it complains of."""
    command = [str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu"]
    command += [f"--user-data-dir={folder / 'chrome'}", "--enable-logging=stderr", *options]
    return subprocess.run([*command, url], capture_output=True, text=True, timeout=120)


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no Chromium is installed")
def test_a_browser_shows_the_pages_and_runs_nothing(
    box: HubBox, carded: str, ann: HfApi, tmp_path: Path
) -> None:
    ann.upload_file(repo_id=carded, path_or_fileobj=PIXEL, path_in_repo="loss.png")
    front = browse(f"{box.endpoint}/", tmp_path, "--dump-dom")
    assert f'<a href="/{carded}">{carded}</a>' in front.stdout
    page = browse(f"{box.endpoint}/{carded}", tmp_path, "--dump-dom")
    # A policy that is violated, a script that runs, an image that is not found.
    for done in (front, page):
        assert "CONSOLE" not in done.stderr, done.stderr
    shown = page.stdout
    assert f"<title>{carded}</title>" in shown  # what the script in the card would change
    assert "<script" not in shown
    assert "<h1>Sums of <em>numbers</em></h1>" in shown
    assert re.search(r"<table>\s*<thead>\s*<tr>\s*<th>metric</th>", shown)
    assert '<pre><code class="language-python">print(' in shown
    assert '<td class="size">12,345</td>' in shown
    assert f"GET /{carded}/resolve/{ann.repo_info(carded).sha}/loss.png 200" in box.log()


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no Chromium is installed")
@pytest.mark.parametrize("options", [[], ["--blink-settings=preferredColorScheme=0"]])
def test_a_browser_paints_a_page_that_fits_a_narrow_window(
    box: HubBox, carded: str, tmp_path: Path, options: list[str]
) -> None:
    picture = tmp_path / "page.png"
    window = ["--window-size=500,900", "--hide-scrollbars", f"--screenshot={picture}"]
    browse(f"{box.endpoint}/{carded}", tmp_path, *window, *options)
    colors = matplotlib.image.imread(picture)[:, :, :3]
    background = colors[0, 0]
    assert (background.mean() < 0.3) == bool(options)  # dark where the reader wants it dark
    assert (abs(colors - background) > 0.3).any(axis=(1, 2)).sum() > 100  # lines with something
    assert (colors[:, -8:] == background).all()  # nothing is cut off at the right
