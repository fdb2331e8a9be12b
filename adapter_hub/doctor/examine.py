"""All checks, one after the other; the slow ones run beside them. A check that breaks is a finding."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from adapter_hub.doctor import hubs, places, plugins, registry, settings, stack
from adapter_hub.doctor.findings import Finding, told_openly
from adapter_hub.isolation import one_line
from adapter_hub.registry.store import Registry

Check = Callable[[], Iterable[Finding]]


def doctor(path: Path | None = None, *, offline: bool = False) -> list[Finding]:
    """Look at everything; ``path`` is a registry's, else the one found from here is looked at.

    ``offline`` asks no Hub. Raises nothing: what goes wrong is a finding.
    """
    opened: list[Registry] = []

    def found() -> Registry | None:
        return opened[0] if opened else None

    device = _started("torch", stack.device)
    first = [
        *_made("adapter-hub", stack.versions),
        *_made("stack", stack.demands),
        *_made("registry", lambda: registry.read(path, opened)),
    ]
    answers = _started("hub", lambda: hubs.ask(found(), offline))
    middle: list[Finding] = []
    if opened:
        here = opened[0]
        for name, check in {
            "versions": registry.folders,
            "leftovers": registry.leftovers,
            "lock": places.lock,
            "registry.lock": registry.lock_file,
            "git": registry.git_attributes,
        }.items():
            middle += _made(name, lambda check=check: check(here))  # type: ignore[misc]
    middle += _made("disk", lambda: places.disk(found()))
    middle += _made("cache", places.caches)
    last = _made("settings", lambda: settings.variables(os.environ))
    plugin_findings = _made("plugins", plugins.loaded)
    findings = [*first, *device(), *middle, *plugin_findings, *answers(), *last]
    return [told_openly(each) for each in findings]


def _made(name: str, check: Check) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:
        return [
            Finding(
                name,
                "problem",
                f"this check broke: {one_line(error)}",
                "report it, with what is printed here",
            )
        ]


def _started(name: str, check: Check) -> Callable[[], list[Finding]]:
    """Run a check beside the others; the call waits for its findings."""
    findings: list[Finding] = []
    thread = threading.Thread(target=lambda: findings.extend(_made(name, check)), daemon=True)
    thread.start()

    def wait() -> list[Finding]:
        thread.join()
        return findings

    return wait
