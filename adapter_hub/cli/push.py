"""``adapter-hub push REF [OWNER/REPO]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json, print_table

if TYPE_CHECKING:
    from adapter_hub.hub.push import PushResult
    from adapter_hub.hub.standing import Standing


@click.command("push", epilog="Example: adapter-hub push gpt-lora me/gpt-lora --private")
@click.argument("reference", metavar="REF", required=False)
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
@click.option(
    "--status",
    is_flag=True,
    help="Say how REF, or all that was pushed or pulled, stands to the Hub; write nothing.",
)
@json_option("the result")
@pass_context
def command(
    context: Context,
    reference: str | None,
    repo: str | None,
    remote: str | None,
    private: bool,
    message: str | None,
    tag: str | None,
    create_pr: bool,
    base_repo: str | None,
    license_name: str | None,
    dry_run: bool,
    status: bool,
    as_json: bool,
) -> None:
    """Push a version to a repository of the Hub, as one commit. Without OWNER/REPO: where it was."""
    from adapter_hub.errors import UsageError

    if status:
        others = repo or private or message or tag or create_pr or base_repo or license_name
        if others or dry_run:
            raise UsageError(
                "--status goes with REF, --remote and --json alone: it pushes nothing."
            )
        _status(context, reference, remote, as_json)
        return
    if reference is None:
        raise UsageError("say what to push: adapter-hub push REF [OWNER/REPO].")
    from adapter_hub.hub.push import PushOptions, push

    if tag and create_pr:
        raise UsageError("--tag goes with a commit on the branch, --create-pr makes none there.")
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


def _status(context: Context, reference: str | None, remote: str | None, as_json: bool) -> None:
    from adapter_hub.errors import HubError, UsageError
    from adapter_hub.hub.standing import standings
    from adapter_hub.model import parse_reference

    name = None
    if reference is not None:
        parsed = parse_reference(reference)
        if parsed.kind != "name" or parsed.selector:
            raise UsageError(f"--status is of an adapter as a whole, by its name, not {reference}.")
        name = parsed.target
    registry = context.open_registry()
    context.prepare_client()
    found = standings(registry, name, remote)
    if as_json:
        print_json([each.as_json() for each in found])
    elif found:
        print_table(
            ("name", "version", "repository", "state", "why"),
            [
                (each.name, each.version or "-", each.repo or "-", _state(each), each.why)
                for each in found
            ],
        )
    else:
        context.say("nothing was pushed or pulled yet; next: adapter-hub push REF OWNER/REPO")
    if any(each.state == "unknown" for each in found):
        raise HubError("not every Hub could be asked.", hint="check the network, then ask again")


def _state(standing: Standing) -> str:
    if standing.state != "ahead":
        return standing.state
    return f"ahead by {standing.ahead} version{'s' * (standing.ahead != 1)}"


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
    if result.tags:
        click.echo(f"tag{'s' * (len(result.tags) > 1)}: {', '.join(result.tags)}")
