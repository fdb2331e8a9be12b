"""Whether an adapter fits its base, before it is written for a program that would not say."""

from __future__ import annotations

from adapter_hub.errors import IncompatibleError
from adapter_hub.loading.adapters import Opened
from adapter_hub.loading.fit import compare, described
from adapter_hub.loading.heads import AdapterHead, BaseHead


def require_fit(opened: Opened, adapter: AdapterHead, base: BaseHead) -> None:
    """By names and shapes. Raises IncompatibleError."""
    fit = compare(adapter, base)
    if fit.misfits:
        raise IncompatibleError(
            f"{opened.reference} does not fit base {opened.base.name!r}: {described(fit)}",
            hint=f"adapter-hub check {opened.reference}",
        )
