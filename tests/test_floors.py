"""The table of floors in the design: a file imports only from the floors below its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "adapter_hub"
FLOORS = {
    "errors": 0,
    "model": 1,
    "isolation": 1,
    "options": 1,
    "hookspecs": 1,
    "methods": 2,
    "datasets": 2,
    "bases": 2,
    "entry_points": 2,
    "registry": 3,
    "prompts": 3,
    "installing": 3,
    "plugins": 3,
    "loading": 4,
    # What `plugins new` writes: texts, and the names that a catalog leaves free.
    "templates": 4,
    "training": 5,
    "generation": 5,
    "hub": 5,
    "hubserver": 5,
    "doctor": 5,
    "exporting": 5,
    "merging": 5,
    "cli": 6,
    # The kit for plugin authors drives what the command line drives, and nothing imports it.
    "testing": 6,
}
# The package's own front: lazy exports, and the module that `python -m` runs.
FRONT = ("__init__", "__main__")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        rooms |= {name.split(".")[1] for name in names if name.startswith("adapter_hub.")}
    return rooms


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if room_of(path) not in FRONT]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_come_from_lower_floors(path: Path) -> None:
    own = room_of(path)
    for room in imported_rooms(path) - {own}:
        # `from adapter_hub import hookimpl` is the front that authors use.
        if room in FLOORS:
            assert FLOORS[room] < FLOORS[own], f"{own} may not import {room}"


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} <= set(FLOORS)


def test_built_ins_do_not_know_each_other() -> None:
    for path in FILES:
        own = room_of(path)
        same = {
            room for room in imported_rooms(path) if room in FLOORS and FLOORS[room] == FLOORS[own]
        }
        assert same <= {own}, path


def test_files_stay_small() -> None:
    for path in FILES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path
