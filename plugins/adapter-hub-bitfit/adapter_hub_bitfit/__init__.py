"""BitFit as a method of adapter-hub: an example of a method that PEFT itself does not have.

A script that loads such an adapter with plain PEFT imports ``adapter_hub_bitfit.tuner`` first.
"""

from __future__ import annotations

from adapter_hub.hookspecs import RegisterMethod, hookimpl


@hookimpl
def register_methods(register: RegisterMethod) -> None:
    register(
        "bitfit",
        "adapter_hub_bitfit.tuner:BitFitConfig",
        summary="trains the biases of linear layers alone, and gives one to those that have none",
        tuner="adapter_hub_bitfit.tuner:BitFitModel",
    )
