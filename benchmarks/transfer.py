"""Push and pull of a 120 MB adapter beside ``hf upload`` and ``hf download``, to one Hub.

    python benchmarks/transfer.py [--rounds N] [--megabytes N]

Whole processes, in turns, each with a new repository or an empty cache, against one
``adapter-hub hub serve`` on loopback. ``hf`` is measured twice: as it is, and with Xet off and
LFS offered to it as it is to adapter-hub, which is the faster way. Then the memory of push and
pull over their imports, and what a second push and a second pull ask of the Hub.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from hubbox import HubBox

# What the console scripts do, without depending on where they were installed.
OURS = ["-c", "from adapter_hub.__main__ import main; main()"]
HF = ["-c", "from huggingface_hub.cli.hf import main; main()"]
LFS = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_USER_AGENT_ORIGIN": "adapter-hub/peer"}
# A command, run with everything that it imports there already; then its peak over that.
MEASURED = """
import sys
import adapter_hub.cli.main, adapter_hub.cli.push, adapter_hub.cli.pull
import adapter_hub.hub.push, adapter_hub.hub.pull, adapter_hub.plugins
from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, constants
import huggingface_hub.lfs, huggingface_hub.repocard_data, yaml

def memory(kind):
    with open("/proc/self/status") as status:
        return int(status.read().partition(kind + ":")[2].split()[0]) / 1024

before = memory("VmRSS")
try:
    adapter_hub.cli.main.main()
finally:
    print(f"MEMORY {memory('VmHWM') - before}", file=sys.stderr)
"""
ADAPTER = "big"
FILES = ("adapter_config.json", "adapter_model.safetensors")


class Bench:
    """A Hub, a registry with one large adapter, and processes that know no other Hub."""

    def __init__(self, folder: Path, box: HubBox, megabytes: int) -> None:
        self.box, self.folder = box, folder
        self._names = itertools.count()
        self.registry = self.new_registry()
        write_adapter(folder / "saved", megabytes)
        self.run([*OURS, "import", str(folder / "saved"), "--as", ADAPTER, "--base", "tiny"])
        self.version = self.registry / "adapters" / ADAPTER / "1"

    def run(
        self, arguments: list[str], folder: Path | None = None, **more: str
    ) -> tuple[float, subprocess.CompletedProcess[str]]:
        """The wall time of a process that succeeds, and what it said."""
        settings = {
            **os.environ,
            "HF_ENDPOINT": self.box.endpoint,
            "HF_TOKEN": self.box.token,
            "HF_HOME": str(self.folder / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
            **more,
        }
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder or self.registry,
            env=settings,
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(f"{' '.join(arguments[-4:])}: {done.stderr}")
        return seconds, done

    def new_registry(self) -> Path:
        folder = self.folder / f"registry{next(self._names)}"
        folder.mkdir()
        (folder / "registry.toml").write_text(
            'schema = 1\n\n[bases.tiny]\nsource = "plugin:tiny"\n', encoding="utf-8"
        )
        return folder

    def new_repo(self) -> str:
        return f"local/repo{next(self._names)}"

    def push(self, repo: str) -> float:
        return self.run([*OURS, "push", ADAPTER, repo])[0]

    def upload(self, repo: str, **more: str) -> float:
        return self.run([*HF, "upload", repo, str(self.version), "."], **more)[0]

    def pull(self, repo: str) -> float:
        folder = self.new_registry()
        seconds, _ = self.run([*OURS, "pull", repo, "--as", ADAPTER], folder)
        shutil.rmtree(folder)
        return seconds

    def download(self, repo: str, **more: str) -> float:
        cache = self.folder / f"cache{next(self._names)}"
        seconds, _ = self.run([*HF, "download", repo], HF_HUB_CACHE=str(cache), **more)
        shutil.rmtree(cache)
        return seconds

    def forget(self) -> None:
        """Delete what was pushed, or a disk would fill."""
        for folder in (self.box.folder / "models" / "local").iterdir():
            shutil.rmtree(folder)

    def requests(self, since: int) -> list[str]:
        """Method and path of each request after the first ``since``."""
        lines = [line.split() for line in self.box.log().splitlines() if " ms " in line]
        return [f"{line[2]} {line[3]}" for line in lines][since:]


def write_adapter(folder: Path, megabytes: int) -> None:
    """A LoRA adapter that fits the embedded base, of random bytes, as large as asked by its rank."""
    from adapter_hub import bases

    base = json.loads((Path(bases.__file__).parent / "tiny" / "config.json").read_text())
    hidden, inner, layers = (
        base[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers")
    )
    sizes = {f"self_attn.{each}_proj": (hidden, hidden) for each in "qkvo"}
    sizes |= {f"mlp.{each}_proj": (hidden, inner) for each in ("gate", "up")}
    sizes["mlp.down_proj"] = (inner, hidden)
    rank = megabytes * 1_000_000 // (4 * layers * sum(map(sum, sizes.values())))
    random, tensors = np.random.default_rng(0), {}
    for layer, (module, (inputs, outputs)) in itertools.product(range(layers), sizes.items()):
        place = f"base_model.model.model.layers.{layer}.{module}"
        for part, shape in (("A", (rank, inputs)), ("B", (outputs, rank))):
            values = np.frombuffer(random.bytes(4 * shape[0] * shape[1]), np.float32)
            tensors[f"{place}.lora_{part}.weight"] = values.reshape(shape)
    folder.mkdir()
    save_file(tensors, folder / FILES[1], metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "plugin:tiny",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": [module.rpartition(".")[2] for module in sizes],
    }
    (folder / FILES[0]).write_text(json.dumps(config), encoding="utf-8")


def times(bench: Bench, rounds: int) -> None:
    """Print medians and ratios of push and pull, each in turns with its peers."""
    ways = ("adapter-hub", "hf", "hf by LFS")
    pushes: dict[str, list[float]] = {way: [] for way in ways}
    pulls: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        repo = bench.new_repo()
        took = [
            (bench.push(repo), bench.pull(repo)),
            (bench.upload(bench.new_repo()), bench.download(repo)),
            (bench.upload(bench.new_repo(), **LFS), bench.download(repo, **LFS)),
        ]
        bench.forget()
        if number:  # the first warms everything up
            for way, (push, pull) in zip(ways, took, strict=True):
                pushes[way].append(push)
                pulls[way].append(pull)
    for name, seconds in (("push", pushes), ("pull", pulls)):
        medians = {way: statistics.median(each) for way, each in seconds.items()}
        ours = medians["adapter-hub"]
        told = [f"{way} {each:.2f} s (ratio {ours / each:.2f})" for way, each in medians.items()]
        print(f"{name}: " + ", ".join(told))


def memory(bench: Bench) -> None:
    """Print the peak of each command over its imports."""
    repo, other = bench.new_repo(), bench.new_registry()
    for arguments, folder in ((["push", ADAPTER, repo], bench.registry), (["pull", repo], other)):
        _, done = bench.run(["-c", MEASURED, *arguments], folder)
        used = float(done.stderr.rpartition("MEMORY ")[2])
        print(f"{arguments[0]}: {used:.0f} MB over the imports")


def repeats(bench: Bench) -> None:
    """Print what a second push and a second pull ask for."""
    repo, other = bench.new_repo(), bench.new_registry()
    bench.push(repo)
    bench.run([*OURS, "pull", repo], other)
    before = len(bench.requests(0))
    _, done = bench.run([*OURS, "push", ADAPTER, repo, "--json"])
    asked = bench.requests(before)
    sent = [each for each in asked if not each.startswith(("GET ", "HEAD "))]
    print(
        f"repeated push: {json.loads(done.stdout)['bytes']} bytes,"
        f" {len(sent)} requests with a body of {len(asked)}"
    )
    before = len(bench.requests(0))
    bench.run([*OURS, "pull", repo], other)
    print(f"repeated pull: {len(bench.requests(before))} request")


def main() -> None:
    """Start the Hub, make the adapter, print a line for each thing measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (default: 5)")
    parser.add_argument("--megabytes", type=int, default=120, help="of the adapter (default: 120)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, HubBox(Path(name) / "box") as box:
        bench = Bench(Path(name), box, arguments.megabytes)
        size = (bench.version / FILES[1]).stat().st_size / 1e6
        print(f"{size:.0f} MB of weights, {arguments.rounds} rounds")
        times(bench, arguments.rounds)
        memory(bench)
        repeats(bench)


if __name__ == "__main__":
    main()
