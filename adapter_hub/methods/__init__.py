"""The built-in methods, registered exactly like a third party's."""

from __future__ import annotations

from adapter_hub.hookspecs import RegisterMethod, hookimpl


@hookimpl
def register_methods(register: RegisterMethod) -> None:
    register(
        "lora",
        "adapter_hub.methods.lora:lora",
        summary="low-rank updates beside frozen weights; rsLoRA, DoRA and other variants too",
        peft_type="LORA",
        hooks="adapter_hub.methods.lora_start:LoraStart",
    )
