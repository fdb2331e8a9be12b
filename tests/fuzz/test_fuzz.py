"""What fuzzing found stays mended, and a short walk from the seeds finds nothing new."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path
from random import Random

import pytest
from fuzz.mutate import MUTATIONS
from fuzz.targets import TARGETS

CORPUS = {
    target: sorted((Path(__file__).parent / "corpus" / target).iterdir()) for target in TARGETS
}
FILES = [(target, path) for target, paths in CORPUS.items() for path in paths]


@pytest.fixture(autouse=True)
def _patterns_may_warn() -> None:
    """A pattern in somebody's configuration is as it is."""
    warnings.simplefilter("ignore", FutureWarning)


@pytest.mark.parametrize(
    ("target", "path"), FILES, ids=[f"{target}-{path.name}" for target, path in FILES]
)
def test_every_seed_and_finding(target: str, path: Path) -> None:
    data = path.read_bytes()
    TARGETS[target](data)  # what is imported and compiled for the first time is not its cost
    tracemalloc.start()
    try:
        TARGETS[target](data)
        # Of a key of 1,000 parts, the most that tomli reads, every beginning is a path.
        assert tracemalloc.get_traced_memory()[1] < (8 << 20) + 200 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_walk(target: str) -> None:
    random = Random(target)
    seeds = [path.read_bytes() for path in CORPUS[target]]
    for _ in range(100):
        data = random.choice([each for each in seeds if len(each) < 2000])
        for _ in range(random.randint(1, 3)):
            data = MUTATIONS[target](data, random)
        TARGETS[target](data)
