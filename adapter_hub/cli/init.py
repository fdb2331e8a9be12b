"""``adapter-hub init [DIR]``."""

from __future__ import annotations

from pathlib import Path

import click

from adapter_hub.cli.context import Context, pass_context

TEMPLATE = """\
#:schema ./registry.schema.json
# What adapter-hub knows: base models, and adapters on them.
# Edit by hand or with `adapter-hub base add` and `adapter-hub train`; keep it in git.
schema = 1

# A base model is pinned: hf:OWNER/REPO with its commit, path:DIR, or plugin:NAME.
[bases.tiny]
source = "plugin:tiny"
revision = "sha256:4b1604ebba6fff40570d45500a2610b49da5aed0e7e84eeecbbeb601c60e75db"

# An adapter is a recipe; what it is trained into is added below it as versions.
# `adapter-hub methods lora` lists the options, `adapter-hub datasets` the data.
[adapters.gpt-lora]
base = "tiny"
method = "lora"
options = { lora_alpha = 32, r = 16, target_modules = "all-linear" }
data = "shakespeare"
training = { learning_rate = 2e-3, steps = 150, max_length = 256 }
"""


@click.command("init", epilog="Example: adapter-hub init my-adapters")
@click.argument("directory", default=".", type=click.Path(path_type=Path))
@pass_context
def command(context: Context, directory: Path) -> None:
    """Write a commented registry.toml into DIRECTORY (default: here).

    registry.schema.json beside it is for editors, which complete and check by it.
    """
    from adapter_hub.registry.editors import put_schema
    from adapter_hub.registry.files import create_registry, ignore_in_git, merge_journal_in_git

    path = create_registry(directory, TEMPLATE)
    ignore_in_git(directory)
    merge_journal_in_git(directory)
    put_schema(directory)
    context.say(f"wrote {path}; next: adapter-hub train gpt-lora")
