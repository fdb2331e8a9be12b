"""``adapter-hub doctor``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json

if TYPE_CHECKING:
    from adapter_hub.doctor.findings import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command("doctor", epilog="Example: adapter-hub doctor --offline > report.txt")
@click.option("--offline", is_flag=True, help="Ask no Hub.")
@json_option("the findings")
@pass_context
def command(context: Context, offline: bool, as_json: bool) -> None:
    """Look at all that a bug report needs, and say what is wrong and what to do about it.

    Versions, registry, locks, leftovers, caches, disk, plugins, Hubs and settings. Home folder,
    user name and tokens are left out. It exits with 1 when there is a problem.
    """
    from adapter_hub.doctor.examine import doctor

    findings = doctor(context.registry_path, offline=offline)
    print_json([asdict(each) for each in findings]) if as_json else _print(findings)
    problems, warnings = (
        sum(each.state == state for each in findings) for state in ("problem", "warning")
    )
    context.say(
        f"{problems} problem{'s' * (problems != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    )
    if problems:
        raise click.exceptions.Exit(1)


def _print(findings: list[Finding]) -> None:
    width = max(len(each.check) for each in findings)
    for each in findings:
        state = click.style(each.state.ljust(7), fg=_COLOURS[each.state])
        click.echo(f"{state}  {each.check.ljust(width)}  {each.text}")
        if each.next and each.state != "ok":
            click.echo(f"{' ' * (width + 11)}→ {each.next}")
