"""Keys and values as TOML text on one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any

from adapter_hub.registry.scan import Path

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\f": "\\f",
    "\r": "\\r",
}


def dotted(path: Path) -> str:
    """A dotted TOML key, quoted where needed."""
    return ".".join(part if _BARE_KEY.fullmatch(part) else _string(part) for part in path)


def format_value(value: Any) -> str:
    """A value as TOML on one line. Raises TypeError for what TOML cannot say."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _float(float(value))
    if isinstance(value, (date, time)):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(format_value, value)) + "]"
    if isinstance(value, Mapping):
        inside = ", ".join(
            f"{dotted((key,))} = {format_value(item)}" for key, item in value.items()
        )
        return f"{{ {inside} }}" if inside else "{}"
    raise TypeError(f"TOML has no form for {value!r}")


def _string(text: str) -> str:
    escaped = "".join(
        _ESCAPES.get(char)
        or (f"\\u{ord(char):04x}" if ord(char) < 0x20 or ord(char) == 0x7F else char)
        for char in text
    )
    return f'"{escaped}"'


def _float(value: float) -> str:
    text = repr(value)
    mantissa, exponent, _ = text.partition("e")
    if mantissa.lstrip("-") in ("inf", "nan") or "." in mantissa or exponent:
        return text
    return f"{mantissa}.0"
