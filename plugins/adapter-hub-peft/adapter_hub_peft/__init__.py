"""Every method of the installed peft as a method of adapter-hub."""

from __future__ import annotations

from adapter_hub.hookspecs import RegisterMethod, hookimpl
from adapter_hub_peft.found import find_methods
from adapter_hub_peft.special import CANNOT, HOOKS, SUMMARIES


@hookimpl
def register_methods(register: RegisterMethod) -> None:
    for found in find_methods():
        if found.name == "lora":
            continue  # it is built in
        summary = SUMMARIES.get(found.name, f"{found.config} of the installed peft")
        if found.name in CANNOT:
            summary += f" (cannot be trained here: {CANNOT[found.name]})"
        register(
            found.name,
            f"adapter_hub_peft.configs:{found.name}",
            summary=summary,
            peft_type=found.name.upper(),
            hooks=HOOKS.get(found.name),
        )
