"""``adapter-hub base add|list|show|remove``."""

from __future__ import annotations

import click

from adapter_hub.cli.context import (
    Context,
    json_option,
    pass_context,
    print_fields,
    print_json,
    print_table,
)


@click.group("base")
def command() -> None:
    """Add, list, show and remove base models."""


@command.command("add", epilog="Example: adapter-hub base add gpt2 hf:openai-community/gpt2")
@click.argument("name")
@click.argument("source")
@click.option(
    "--revision", help="Branch, tag or commit of an hf: source; its commit is written down."
)
@click.option("--remote", help="The Hub of an hf: source: [remotes.NAME] endpoint = …")
@click.option(
    "--trust-remote-code",
    is_flag=True,
    help="Let the Python code that comes with this base run, pinned as it is now. Read it first.",
)
@pass_context
def add(
    context: Context,
    name: str,
    source: str,
    revision: str | None,
    remote: str | None,
    trust_remote_code: bool,
) -> None:
    """Pin base model SOURCE (hf:OWNER/REPO, path:DIR or plugin:NAME) as NAME."""
    from adapter_hub.errors import ConflictError, UsageError
    from adapter_hub.model import Base, Source, check_name, parse_source

    registry = context.open_registry()
    check_name(name, "a base")
    parsed = parse_source(source)
    if revision and parsed.kind != "hf":
        raise UsageError(f"--revision goes with hf: sources; {source} is pinned by its content.")
    if remote and parsed.kind != "hf":
        raise UsageError(f"--remote goes with hf: sources; {source} is on no Hub.")
    if parsed.kind == "path":
        parsed = Source("path", registry.written_path(parsed.location))
    where = registry.remote(remote) if remote else None
    registry.refuse_twin(name, "base")
    if name in registry.base_names():
        raise ConflictError(
            f"there is already base {name!r}; nothing was changed.",
            hint=f"adapter-hub base show {name}",
        )
    from adapter_hub.loading.bases import pin
    from adapter_hub.plugins import load_catalog

    new = Base(name, parsed, revision, where, trust_remote_code)
    base = pin(new, load_catalog(), registry.folder)
    registry.put_base(base)
    context.say(f"added {name}: {base.source} at {base.revision}")
    if trust_remote_code:
        context.say("train and run will execute the Python code that comes with it")


@command.command("list", epilog="Example: adapter-hub base list --json")
@json_option("an array")
@pass_context
def list_bases(context: Context, as_json: bool) -> None:
    """List the base models and how many adapters sit on each."""
    registry = context.open_registry()
    bases = [registry.base(name) for name in registry.base_names()]
    if as_json:
        print_json(
            [
                {
                    "name": base.name,
                    "source": str(base.source),
                    "revision": base.revision,
                    "remote": base.remote.name if base.remote else None,
                    "adapters": len(registry.users(base.name)),
                }
                for base in bases
            ]
        )
        return
    print_table(
        ("name", "source", "revision", "adapters"),
        [
            (
                base.name,
                f"{base.source} at {base.remote.name}" if base.remote else base.source,
                (base.revision or "")[:19],
                len(registry.users(base.name)),
            )
            for base in bases
        ],
    )


@command.command("show", epilog="Example: adapter-hub base show tiny")
@click.argument("name")
@json_option("an object")
@pass_context
def show(context: Context, name: str, as_json: bool) -> None:
    """Show base NAME: where it comes from, and who uses it."""
    registry = context.open_registry()
    base = registry.base(name)
    fields = {
        "name": base.name,
        "source": str(base.source),
        "revision": base.revision,
        "remote": base.remote.name if base.remote else None,
        "trust_remote_code": base.trust_remote_code,
        "code": base.code,
        "adapters": registry.users(name),
    }
    if as_json:
        print_json(fields)
    else:
        print_fields(fields.items())


@command.command("remove", epilog="Example: adapter-hub base remove gpt2")
@click.argument("name")
@pass_context
def remove(context: Context, name: str) -> None:
    """Remove base NAME from the registry; refused while an adapter uses it."""
    context.open_registry().remove_base(name)
    context.say(f"removed {name}; its files are untouched")
