"""The adapter's configuration checked on a model without weights, and the adapter on the base."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import AdapterHubError, IncompatibleError, OptionError
from adapter_hub.plugins import Offer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peft import PeftConfig
    from transformers import PretrainedConfig


def build_config(method: Offer, options: Mapping[str, Any]) -> PeftConfig:
    """The method's ``PeftConfig`` for a causal language model. Raises OptionError."""
    factory = method.resolve()
    try:
        config: PeftConfig = factory(**options)
    except AdapterHubError:
        raise
    except Exception as error:
        raise refused(method, error) from error
    config.task_type = "CAUSAL_LM"
    return config


def count_parameters(
    method: Offer,
    peft_config: PeftConfig,
    model_config: PretrainedConfig,
    trust_remote_code: bool = False,
) -> tuple[int, int] | None:
    """(trainable, all) parameters, from injecting into a model without weights.

    None for a method that needs the weights for it. Raises OptionError for a configuration
    that PEFT refuses, before anything is loaded.
    """
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(model_config, trust_remote_code=trust_remote_code)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                peft_model = get_peft_model(model, copy.deepcopy(peft_config))
            _require_tokens(peft_config, model)
        except Exception as error:
            if "meta" in str(error).lower() or isinstance(error, NotImplementedError):
                return None
            raise refused(method, error) from error
    trainable, total = peft_model.get_nb_trainable_parameters()
    require_trainable(method, trainable)
    return trainable, total


def _require_tokens(peft_config: PeftConfig, model: Any) -> None:
    """Raises ValueError for a token that the base does not have: weights not loaded cannot tell."""
    rows = model.get_input_embeddings().weight.shape[0]
    for name in ("trainable_token_indices", "token_indices"):
        chosen = getattr(peft_config, name, None) or []
        lists = chosen.values() if isinstance(chosen, dict) else [chosen]
        wrong = [each for tokens in lists for each in tokens if not -rows <= each < rows]
        if wrong:
            raise ValueError(f"{name} holds {wrong[0]}, and the base has {rows} tokens")


def attach(method: Offer, model: Any, peft_config: PeftConfig) -> Any:
    """The ``PeftModel`` that trains. Raises OptionError."""
    from peft import get_peft_model

    try:
        with warnings.catch_warnings():
            # PEFT sets it for Conv1D (GPT-2) by itself, and warns that it did.
            warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
            peft_model = get_peft_model(model, peft_config)
    except Exception as error:
        raise refused(method, error) from error
    require_trainable(method, peft_model.get_nb_trainable_parameters()[0])
    return peft_model


def checkpoint_activations(model: Any) -> None:
    """Keep of each layer its input alone, and compute the rest anew in the backward pass.

    Random draws are the same the second time (Chen et al. 2016, arXiv:1604.06174). Raises
    IncompatibleError for a base that cannot.
    """
    base = model.get_base_model()
    try:
        # The younger name, where transformers has it, does not warn of the older one.
        enable = getattr(
            base, "activation_checkpointing_enable", base.gradient_checkpointing_enable
        )
        enable({"use_reentrant": False})
    except (AttributeError, NotImplementedError, ValueError) as error:
        raise IncompatibleError(
            f"activations of this base cannot be checkpointed: {error}",
            hint="train with --no-checkpoint-activations and a smaller --batch-size",
        ) from error


@contextlib.contextmanager
def without_adapter(model: Any) -> Iterator[bool]:
    """The bare base, and whether it is: a method that cannot be switched off stays as it is."""
    with contextlib.ExitStack() as stack:
        switched_off = False
        with contextlib.suppress(AttributeError, NotImplementedError):
            stack.enter_context(model.disable_adapter())
            switched_off = True
        yield switched_off


def trainable_line(trainable: int, total: int) -> str:
    """The line that PEFT's ``print_trainable_parameters`` prints."""
    return f"trainable params: {trainable:,d} || all params: {total:,d} || trainable%: {100 * trainable / total:.4f}"


def require_trainable(method: Offer, trainable: int) -> None:
    """Raises OptionError when there is nothing to train."""
    if not trainable:
        raise OptionError(
            f"method {method.name!r} with these options trains no parameter of this base.",
            hint=f"adapter-hub methods {method.name}",
        )


def refused(method: Offer, error: Exception) -> OptionError:
    """What PEFT says about a configuration, in one sentence."""
    said = str(error).partition("Exception raised from")[0]  # torch adds a page of C++
    text = " ".join(said.split()).rstrip(".") or type(error).__name__
    # PEFT knows the modules of the architectures that it has heard of.
    unknown = "specify `target_modules`" in text
    return OptionError(
        f"PEFT refuses these options of method {method.name!r}: {text}.",
        hint="for every linear layer: -o target_modules=all-linear"
        if unknown
        else f"adapter-hub methods {method.name}",
    )
