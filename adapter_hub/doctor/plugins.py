"""Plugins: all are loaded, and what is broken says why."""

from __future__ import annotations

from collections.abc import Iterator

from adapter_hub.doctor.findings import Finding
from adapter_hub.plugins import load_catalog


def loaded() -> Iterator[Finding]:
    """A finding for each that works or is broken. Raises PluginError in strict mode."""
    catalog = load_catalog()
    catalog.load_all()
    for plugin in catalog.plugins:
        text = (
            f"{plugin.name} ({plugin.distribution} {plugin.version}): {len(plugin.offers)} offered"
        )
        yield Finding("plugins", "ok", text)
    for each in catalog.problems:
        text = f"{each.plugin} ({each.distribution} {each.version}) is broken: {each.reason}"
        step = f"pip install --upgrade {each.distribution}, or: adapter-hub plugins uninstall {each.distribution}"
        yield Finding("plugins", "problem", text, step)
    if not (catalog.plugins or catalog.problems):
        yield Finding("plugins", "ok", "none beside what is built in")
