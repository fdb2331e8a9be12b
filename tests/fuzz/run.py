"""Fuzz one target: ``python tests/fuzz/run.py TARGET [FOLDER…] [-libFuzzer_option=…]``."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from random import Random

import atheris

TESTS = Path(__file__).parent.parent
TARGET = sys.argv.pop(1)


class _Sources(importlib.machinery.PathFinder):
    """tomli from its sources: what its wheel compiled cannot be followed by coverage."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name.partition(".")[0] != "tomli":
            return None
        for folder in path or sys.path:
            base = Path(folder, name.rpartition(".")[2])
            for file in (base / "__init__.py", base.with_suffix(".py")):
                if file.is_file():
                    inside = [str(base)] if file.name == "__init__.py" else None
                    return importlib.util.spec_from_file_location(
                        name, file, submodule_search_locations=inside
                    )
        return None


sys.meta_path.insert(0, _Sources)
# The same for JSON.
sys.modules["_json"] = None  # type: ignore[assignment]
for name in [each for each in sys.modules if each.partition(".")[0] == "json"]:
    del sys.modules[name]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]
with atheris.instrument_imports(include=["adapter_hub", "json", "tomli"]):
    from fuzz.mutate import MUTATIONS
    from fuzz.targets import TARGETS

    # What is imported only when it is needed.
    import adapter_hub.options
    import adapter_hub.registry.lines
    import adapter_hub.registry.scan
    import adapter_hub.registry.schema
    import adapter_hub.registry.splice
    import adapter_hub.registry.unknown  # noqa: F401


def mutate(data: bytes, longest: int, seed: int) -> bytes:
    """Every other time bytes, as libFuzzer does, else what the text is made of."""
    random = Random(seed)
    if random.random() < 0.5:
        return bytes(atheris.Mutate(data, longest))
    return MUTATIONS[TARGET](data, random)[:longest]


atheris.Setup(sys.argv, TARGETS[TARGET], custom_mutator=mutate)
atheris.Fuzz()
