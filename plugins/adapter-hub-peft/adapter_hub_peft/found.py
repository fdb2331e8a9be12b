"""What the installed peft registers, read from its source: importing peft takes seconds.

Each method of peft is a package below ``peft/tuners`` whose ``__init__`` calls
``register_peft_method(name=…, config_cls=…)``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path


@dataclass(frozen=True)
class Found:
    """A method of peft: its name there, in lower case, and the name of its configuration class."""

    name: str
    config: str


def find_methods() -> list[Found]:
    """The methods of the installed peft, by name; none where there is no peft."""
    return sorted(
        (found for path in _tuners().glob("*/__init__.py") for found in _registered(path)),
        key=lambda each: each.name,
    )


def _tuners() -> Path:
    spec = PathFinder.find_spec("peft")
    if spec is None or spec.origin is None:
        return Path()
    return Path(spec.origin).parent / "tuners"


def _registered(path: Path) -> Iterator[Found]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "register_peft_method":
            given = {each.arg: each.value for each in node.keywords}
            name, config = given.get("name"), given.get("config_cls")
            if isinstance(name, ast.Constant) and isinstance(config, ast.Name):
                yield Found(str(name.value), config.id)
