"""Hubs: whether each answers, how fast, and whether it takes the token that is here for it."""

from __future__ import annotations

import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from adapter_hub.doctor.findings import Finding
from adapter_hub.errors import AdapterHubError
from adapter_hub.isolation import one_line
from adapter_hub.loading.remotes import default_remote, find_token
from adapter_hub.model import Remote
from adapter_hub.registry.store import Registry

SECONDS = 3.0


def ask(registry: Registry | None, offline: bool) -> Iterator[Finding]:
    """The environment's Hub and those that the registry names, all at once."""
    try:
        remotes = [default_remote()]
    except AdapterHubError as error:
        remotes = []
        yield Finding("hub", "problem", error.message, "correct HF_ENDPOINT")
    if registry is not None:
        remotes += [registry.remote(name) for name in registry.remote_names()]
    if offline or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        why = "--offline" if offline else "HF_HUB_OFFLINE"
        for remote in remotes:
            token = "there is a token" if find_token(remote) else "there is no token"
            yield Finding("hub", "ok", f"{_named(remote)} was not asked ({why}); {token} for it")
        return
    answers: dict[int, Finding] = {}

    def look(place: int, remote: Remote) -> None:
        try:
            answers[place] = _asked(remote)
        except Exception as error:
            text = f"{_named(remote)} cannot be asked: {one_line(error)}"
            answers[place] = Finding("hub", "problem", text, "adapter-hub whoami")

    threads = [threading.Thread(target=look, args=each, daemon=True) for each in enumerate(remotes)]
    for thread in threads:
        thread.start()
    # Looking up a name has no time limit of its own.
    end = time.monotonic() + 2 * SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    for place, remote in enumerate(remotes):
        yield answers.get(place) or _unreachable(remote, f"no answer in {2 * SECONDS:.0f} s")


def _asked(remote: Remote) -> Finding:
    token = find_token(remote)
    path = "/api/whoami-v2" if token else "/api/models?limit=1"
    headers = {"User-Agent": f"adapter-hub/{metadata.version('adapter-hub')}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    opener = urllib.request.build_opener(_NoRedirect)
    started = time.monotonic()
    try:
        request = urllib.request.Request(remote.endpoint + path, headers=headers)
        with opener.open(request, timeout=SECONDS) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
        error.close()
    except urllib.error.URLError as error:
        return _unreachable(remote, str(error.reason))
    except (OSError, ValueError) as error:
        return _unreachable(remote, one_line(error))
    seconds = f"answered in {time.monotonic() - started:.2f} s"
    return _judged(remote, status, f"{_named(remote)} {seconds}", bool(token))


def _judged(remote: Remote, status: int, told: str, has_token: bool) -> Finding:
    log_in = "adapter-hub login" + (f" --remote {remote.name}" if remote.name else "")
    if status in (401, 403):
        if has_token:
            given = os.environ.get("HF_TOKEN", "").strip() and not remote.name
            step = "correct HF_TOKEN, or: unset HF_TOKEN" if given else log_in
            return Finding("hub", "problem", f"{told} and refuses its token ({status})", step)
        return Finding("hub", "warning", f"{told} and wants a token ({status})", log_in)
    if status >= 500 or status == 429:
        text = f"{told} with the error {status}"
        return Finding("hub", "warning", text, "try again later, or ask who runs it")
    if status != 200:
        text = f"{told} with {status}, not as a Hub does"
        return Finding("hub", "warning", text, "check its address")
    token = "it takes the token that is here" if has_token else "there is no token for it"
    return Finding("hub", "ok", f"{told}; {token}")


def _unreachable(remote: Remote, why: str) -> Finding:
    text = f"{_named(remote)} cannot be reached: {why}"
    step = "check network and proxy; adapter-hub doctor --offline asks no Hub"
    return Finding("hub", "warning", text, step)


def _named(remote: Remote) -> str:
    return f"{remote.name} ({remote.endpoint})" if remote.name else remote.endpoint


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token must not follow to where a Hub points."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None
