"""What thirty installed plugins cost: cold commands nothing, ``methods`` little but their imports.

    python benchmarks/plugins.py [--pairs N] [--plugins N]

Whole processes, with the plugins and with an empty folder in their place, in turns. What else
is installed in this environment is found both times and loaded neither time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from startup import COMMAND, WARM_UP, registry_text

COLD = (["list"], ["show", "sql-0000"], ["status"], ["--help"])
CODE = """
import click

from adapter_hub import hookimpl


@hookimpl
def register_methods(register):
    register("method-{number}", "peft:IA3Config", summary="one of many")


@hookimpl
def register_datasets(register):
    register("dataset-{number}", rows)


def rows():
    yield {{"prompt": "autumn", "completion": " a crow on the branch"}}


@click.command()
def command():
    pass
"""
METADATA = """Metadata-Version: 2.4
Name: adapter-hub-many-{number}
Version: 0.1.0
Requires-Dist: adapter-hub>=0.1
Requires-Dist: peft>=0.21

"""
README = "What the plugin does, as long as such texts are.\n" * 80
ENTRY_POINTS = """[adapter_hub]
many-{number} = adapter_hub_many_{number}

[adapter_hub.commands]
many-{number} = adapter_hub_many_{number}:command
"""


def main() -> None:
    """Write the plugins, time each command with and without them, print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15, help="measured pairs (default: 15)")
    parser.add_argument("--plugins", type=int, default=30, help="plugins (default: 30)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "registry.toml").write_text(registry_text(100), encoding="utf-8")
        many, none = folder / "many", folder / "none"
        none.mkdir()
        for number in range(arguments.plugins):
            write_plugin(many, number)
        print(f"{arguments.plugins} plugins against none; {arguments.pairs} pairs each")
        for command in COLD:
            ours, reference = measure(command, many, none, arguments.pairs)
            print(line(" ".join(command), ours, reference))
        imports = own_imports(many, arguments.plugins, arguments.pairs)
        ours, reference = measure(["methods"], many, none, arguments.pairs)
        print(line("methods", ours, reference))
        print(f"the plugins' own imports: {imports * 1e3:.1f} ms")
        print(line("methods, against none and the imports", ours, reference + imports))


def line(name: str, ours: float, reference: float) -> str:
    return (
        f"{name:38}{ours * 1e3:7.1f} ms  reference {reference * 1e3:7.1f} ms  "
        f"ratio {ours / reference:.2f}"
    )


def write_plugin(site: Path, number: int) -> None:
    """A distribution as pip leaves it: its module, METADATA and entry points."""
    info = site / f"adapter_hub_many_{number}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA.format(number=number) + README)
    (info / "entry_points.txt").write_text(ENTRY_POINTS.format(number=number))
    (site / f"adapter_hub_many_{number}.py").write_text(CODE.format(number=number))


def measure(command: list[str], many: Path, none: Path, pairs: int) -> tuple[float, float]:
    """The median seconds of the command with the plugins and without, run in turns."""
    times: dict[Path, list[float]] = {many: [], none: []}
    for pair in range(WARM_UP + pairs):
        # Whoever is second finds a warmer machine.
        for site in (many, none) if pair % 2 else (none, many):
            times[site].append(seconds(command, site))
    return statistics.median(times[many][WARM_UP:]), statistics.median(times[none][WARM_UP:])


def seconds(command: list[str], site: Path) -> float:
    """The wall time of one process, from its start to its end."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *COMMAND, *command],
        cwd=site.parent,
        env=settings(site),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def own_imports(site: Path, plugins: int, runs: int) -> float:
    """The median seconds that the plugins' modules take where adapter-hub is imported already."""
    names = ", ".join(f"adapter_hub_many_{number}" for number in range(plugins))
    code = (
        "import adapter_hub.cli.main, adapter_hub.plugins, time; start = time.perf_counter()\n"
        f"import {names}\nprint(time.perf_counter() - start)"
    )
    times = []
    for _ in range(WARM_UP + runs):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=settings(site), capture_output=True, check=True)
        times.append(float(done.stdout))
    return statistics.median(times[WARM_UP:])


def settings(site: Path) -> dict[str, str]:
    """An environment with ``site`` on the path, in which no other plugin is loaded."""
    allowed = [
        path.stem.removeprefix("adapter_hub_").replace("_", "-") for path in site.glob("*.py")
    ]
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        # Both find bytecode, as an installed package does, even from a checkout that has none.
        "PYTHONPYCACHEPREFIX": str(site.parent / "bytecode"),
        "ADAPTER_HUB_PLUGINS": ",".join(allowed),
    }
    for name in ("ADAPTER_HUB_REGISTRY", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    return environment


if __name__ == "__main__":
    main()
