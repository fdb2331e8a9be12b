"""A catalog with methods of PEFT's beside the built-in one, as a plugin offers them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

METHODS = {
    "ia3": "IA3Config",
    "prompt_tuning": "PromptTuningConfig",
    "prefix_tuning": "PrefixTuningConfig",
    "adaption_prompt": "AdaptionPromptConfig",
}


def catalog() -> Any:
    from adapter_hub.hookspecs import hookimpl
    from adapter_hub.plugins import load_catalog

    def register_methods(register: Any) -> None:
        for name, config in METHODS.items():
            register(name, f"peft:{config}", peft_type=name.upper())

    module = ModuleType("methods")
    module.register_methods = hookimpl(register_methods)  # type: ignore[attr-defined]
    loaded = load_catalog()
    loaded.add_plugin(module, "methods", "methods", "1")
    return loaded
