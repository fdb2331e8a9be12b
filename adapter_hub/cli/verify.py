"""``adapter-hub verify [REF…]``."""

from __future__ import annotations

from dataclasses import asdict

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_json

_LISTED = 15
"""The most versions that get a line each though nothing is wrong with them."""


@click.command("verify", epilog="Example: adapter-hub verify gpt-lora --all")
@click.argument("references", metavar="[REF]...", nargs=-1)
@click.option(
    "--all", "every", is_flag=True, help="Every version of each REF, not the newest only."
)
@json_option("an array")
@pass_context
def command(context: Context, references: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Compare the files of versions with what was recorded; without REF of all versions."""
    from adapter_hub.errors import VerificationError
    from adapter_hub.registry.verify import verify

    found = verify(references, registry=context.open_registry(), every=every)
    bad = [each for each in found if each.problems]
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        for each in found if len(found) <= _LISTED else bad:
            what = f"{each.name}@{each.version}"
            for problem in each.problems or [f"{each.files} files, {each.bytes:,} bytes, whole"]:
                click.echo(f"{what}: {problem}")
        size = sum(each.bytes for each in found)
        whole = len(found) - len(bad)
        context.say(f"{whole} of {len(found)} versions are whole; {size:,} bytes were read")
    if bad:
        raise VerificationError(
            f"{', '.join(f'{each.name}@{each.version}' for each in bad[:5])}"
            f"{' and others are' if len(bad) > 5 else ' is' if len(bad) == 1 else ' are'}"
            " not what was recorded.",
            hint="bring the files back, pull the version again, or train it again",
        )
