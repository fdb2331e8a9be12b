"""``adapter-hub reproduce NAME[@N]``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapter_hub.cli.context import Context, json_option, pass_context, print_fields, print_json

if TYPE_CHECKING:
    from adapter_hub.training.reproduce import Reproduction


@click.command("reproduce", epilog="Example: adapter-hub reproduce gpt-lora@1")
@click.argument("reference", metavar="NAME[@N]")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep what was trained in this new folder.",
)
@json_option("the comparison")
@pass_context
def command(context: Context, reference: str, keep: Path | None, as_json: bool) -> None:
    """Train a version again from its record, in a scratch folder, and compare the weights.

    Where data, base, libraries and kind of machine are the same, the weights are, bit for bit. It
    exits with 3 when they are not though all of that is the same, with 0 when it differs and is
    named, and with 1 when the data is gone. The registry is never changed.
    """
    from adapter_hub.model import parse_reference
    from adapter_hub.plugins import load_catalog

    parsed = parse_reference(reference)
    registry = context.open_registry()
    if parsed.kind == "name":
        registry.resolve(parsed)
    context.prepare_libraries()
    from adapter_hub.cli.progress import ProgressLine
    from adapter_hub.training.reproduce import reproduce

    with ProgressLine(context.quiet) as on_step:
        found = reproduce(
            parsed,
            registry=registry,
            catalog=load_catalog(),
            keep=keep,
            say=context.say,
            on_step=on_step,
        )
    print_json(found.as_json()) if as_json else _print(found)
    _end(found)


def _print(found: Reproduction) -> None:
    print_fields(
        [
            ("version", f"{found.name}@{found.version}"),
            ("verdict", found.verdict),
            ("weights", _weights(found.weights)),
            ("held-out loss", _losses(found.recorded_eval_loss, found.eval_loss)),
            *(
                ("input", f"{each.name}: {_short(each.recorded)} → {_short(each.now)}")
                for each in found.inputs
            ),
            ("not recorded", [] if found.verdict == "identical" else found.unknown),
            ("kept", found.kept),
        ]
    )


def _weights(weights: dict[str, Any] | None) -> str | None:
    if weights is None:
        return None
    if weights["identical"]:
        return "the same, bit for bit"
    if weights["different_shapes"] or weights["only_in_a"] or weights["only_in_b"]:
        return "of other names or shapes"
    total = weights["total"]["delta"] or weights["total"]["tensor"]
    if total is None or total["relative"] is None:
        return "apart, and not in finite numbers"
    most = weights["modules"][0]["name"]
    return f"{100 * total['relative']:.3g} % of their norm apart, most in {most}"


def _losses(then: float | None, now: float | None) -> str | None:
    if then is None or now is None:
        return None
    return (
        f"{now:.4f}, as recorded" if now == then else f"{then:.4f} → {now:.4f} ({now - then:+.2g})"
    )


def _short(value: object) -> object:
    digest = isinstance(value, str) and value.startswith("sha256:")
    return str(value)[:19] + "…" if digest else value


def _end(found: Reproduction) -> None:
    from adapter_hub.errors import DataError, VerificationError

    what = f"{found.name}@{found.version}"
    if found.verdict == "different":
        raise VerificationError(
            f"{what} came out differently, though every recorded input is the same.",
            hint="a method or a plugin that draws without the seed, or damaged memory, may be why",
        )
    if found.verdict == "impossible":
        raise DataError(
            f"{what} cannot be trained again: {', '.join(each.name for each in found.inputs)} is gone.",
            hint="bring it back to where the recipe names it",
        )
