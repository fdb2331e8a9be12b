"""``adapter-hub push REF [OWNER/REPO]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table

if TYPE_CHECKING:
    from adapter_hub.hub.push import PushResult


@click.command("push", epilog="Example: adapter-hub push gpt-lora me/gpt-lora --private")
@click.argument("reference", metavar="REF")
@click.argument("repo", metavar="[OWNER/REPO]", required=False)
@click.option("--remote", help="A Hub of the registry: [remotes.NAME] endpoint = …")
@click.option("--private", is_flag=True, help="If the repository is made, make it private.")
@click.option("--message", help="The commit's message.")
@click.option("--tag", help="A tag for the commit, besides vN of version N.")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead.")
@click.option(
    "--base-repo",
    metavar="OWNER/NAME[@COMMIT]",
    help="Where others find the base, when it is a folder here.",
)
@click.option("--license", "license_name", help="The adapter's licence, for its card: apache-2.0 …")
@click.option("--dry-run", is_flag=True, help="Say what would travel; write nothing anywhere.")
@json_option("the result")
@pass_context
def command(
    context: Context,
    reference: str,
    repo: str | None,
    remote: str | None,
    private: bool,
    message: str | None,
    tag: str | None,
    create_pr: bool,
    base_repo: str | None,
    license_name: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Push a version to a repository of the Hub, as one commit. Without OWNER/REPO: where it was."""
    from adapter_hub.hub.push import PushOptions, push

    registry = context.open_registry()
    context.prepare_client()
    options = PushOptions(
        private=private,
        message=message,
        tag=tag,
        create_pr=create_pr,
        base_repo=base_repo,
        license=license_name,
        dry_run=dry_run,
    )
    result = push(
        reference, repo, registry=registry, remote=remote, options=options, say=context.say
    )
    if as_json:
        print_json(result.as_json())
    else:
        _print(result, dry_run)


def _print(result: PushResult, dry_run: bool) -> None:
    print_table(
        ("file", "state", "bytes"),
        [(each.path, each.state, f"{each.bytes:,}") for each in result.files],
    )
    what = f"{result.name}@{result.version}"
    if dry_run:
        click.echo(f"would send {result.bytes:,} bytes to {result.repo}")
    elif result.pull_request:
        click.echo(f"{what}: {result.bytes:,} bytes in a pull request: {result.pull_request}")
    elif result.committed:
        click.echo(f"{what} is {result.repo} at {result.revision}: {result.bytes:,} bytes sent")
    else:
        click.echo(f"{what} is {result.repo} at {result.revision} already; nothing was sent")
