"""adapter-hub: one file that tracks base models and adapters, one command line that works them.

What the command line does is here as calls, imported when they are first used::

    from adapter_hub import Registry, train, generate
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapter_hub.bases.cache import built_once as built_once
    from adapter_hub.errors import AdapterHubError as AdapterHubError
    from adapter_hub.exporting.export import export as export
    from adapter_hub.generation.generate import generate as generate
    from adapter_hub.hookspecs import TrainHooks as TrainHooks
    from adapter_hub.hookspecs import hookimpl as hookimpl
    from adapter_hub.hub.pull import pull as pull
    from adapter_hub.hub.push import push as push
    from adapter_hub.hub.search import search as search
    from adapter_hub.hub.sync import sync as sync
    from adapter_hub.loading.bulk_import import import_folders as import_folders
    from adapter_hub.loading.bundle import create_bundle as create_bundle
    from adapter_hub.loading.diff import diff as diff
    from adapter_hub.loading.unbundle import apply_bundle as apply_bundle
    from adapter_hub.merging.merge import merge as merge
    from adapter_hub.methods.peft_types import register_with_peft as register_with_peft
    from adapter_hub.registry.aliases import move_alias as move_alias
    from adapter_hub.registry.duplicates import find_duplicates as find_duplicates
    from adapter_hub.registry.find import find_adapters as find_adapters
    from adapter_hub.registry.history import history as history
    from adapter_hub.registry.lineage import lineage as lineage
    from adapter_hub.registry.store import Registry as Registry
    from adapter_hub.registry.verify import verify as verify
    from adapter_hub.training.elsewhere import make_run as make_run
    from adapter_hub.training.evaluate import evaluate as evaluate
    from adapter_hub.training.plan import Changes as Changes
    from adapter_hub.training.reproduce import reproduce as reproduce
    from adapter_hub.training.run_options import RunOptions as RunOptions
    from adapter_hub.training.status import all_status as all_status
    from adapter_hub.training.sweep import sweep as sweep
    from adapter_hub.training.train import train as train

_EXPORTS = {
    "AdapterHubError": "adapter_hub.errors",
    "Changes": "adapter_hub.training.plan",
    "Registry": "adapter_hub.registry.store",
    "RunOptions": "adapter_hub.training.run_options",
    "TrainHooks": "adapter_hub.hookspecs",
    "apply_bundle": "adapter_hub.loading.unbundle",
    "all_status": "adapter_hub.training.status",
    "built_once": "adapter_hub.bases.cache",
    "create_bundle": "adapter_hub.loading.bundle",
    "diff": "adapter_hub.loading.diff",
    "evaluate": "adapter_hub.training.evaluate",
    "export": "adapter_hub.exporting.export",
    "find_adapters": "adapter_hub.registry.find",
    "find_duplicates": "adapter_hub.registry.duplicates",
    "generate": "adapter_hub.generation.generate",
    "history": "adapter_hub.registry.history",
    "hookimpl": "adapter_hub.hookspecs",
    "import_folders": "adapter_hub.loading.bulk_import",
    "lineage": "adapter_hub.registry.lineage",
    "make_run": "adapter_hub.training.elsewhere",
    "merge": "adapter_hub.merging.merge",
    "move_alias": "adapter_hub.registry.aliases",
    "pull": "adapter_hub.hub.pull",
    "push": "adapter_hub.hub.push",
    "register_with_peft": "adapter_hub.methods.peft_types",
    "reproduce": "adapter_hub.training.reproduce",
    "search": "adapter_hub.hub.search",
    "sweep": "adapter_hub.training.sweep",
    "sync": "adapter_hub.hub.sync",
    "train": "adapter_hub.training.train",
    "verify": "adapter_hub.registry.verify",
}
__all__ = [
    "AdapterHubError",
    "Changes",
    "Registry",
    "RunOptions",
    "TrainHooks",
    "all_status",
    "apply_bundle",
    "built_once",
    "create_bundle",
    "diff",
    "evaluate",
    "export",
    "find_adapters",
    "find_duplicates",
    "generate",
    "history",
    "hookimpl",
    "import_folders",
    "lineage",
    "move_alias",
    "pull",
    "push",
    "register_with_peft",
    "reproduce",
    "search",
    "sync",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'adapter_hub' has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)
