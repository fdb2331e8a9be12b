"""A method that PEFT does not know, made known to it.

``peft.utils.register_peft_method`` takes only names of its own enumeration. The three mappings it
fills (``peft.mapping``) are public, and PEFT looks a method up in them by the string in
``adapter_config.json``, so a new string is a new method.
"""

from __future__ import annotations


def register_with_peft(peft_type: str, config: type, tuner: type) -> None:
    """Let PEFT build and load adapters of ``peft_type`` with a ``PeftConfig`` and a ``BaseTuner``.

    Doing it again changes nothing. Raises ValueError for what PEFT could not work with: a name or
    a prefix of parameters that another method has, or classes of another kind.
    """
    from peft import PeftConfig
    from peft.mapping import (
        PEFT_TYPE_TO_CONFIG_MAPPING,
        PEFT_TYPE_TO_PREFIX_MAPPING,
        PEFT_TYPE_TO_TUNER_MAPPING,
    )
    from peft.tuners.tuners_utils import BaseTuner

    known = PEFT_TYPE_TO_CONFIG_MAPPING.get(peft_type)
    if known is config and PEFT_TYPE_TO_TUNER_MAPPING.get(peft_type) is tuner:
        return
    if known is not None:
        raise ValueError(
            f"PEFT's type {peft_type!r} is {known.__module__}.{known.__name__} already"
        )
    if not (isinstance(config, type) and issubclass(config, PeftConfig)):
        raise ValueError(f"the configuration of {peft_type!r} is not a class of peft.PeftConfig")
    if not (isinstance(tuner, type) and issubclass(tuner, BaseTuner)):
        raise ValueError(f"the tuner of {peft_type!r} is not a class of PEFT's BaseTuner")
    prefix = getattr(tuner, "prefix", None)
    if not (isinstance(prefix, str) and prefix.endswith("_")):
        raise ValueError(f"{tuner.__name__}.prefix must end in '_': PEFT finds its weights by it")
    owner = next((key for key, each in PEFT_TYPE_TO_PREFIX_MAPPING.items() if each == prefix), None)
    if owner is not None:
        raise ValueError(
            f"the prefix {prefix!r} is that of {getattr(owner, 'value', owner)} already"
        )
    PEFT_TYPE_TO_CONFIG_MAPPING[peft_type] = config
    PEFT_TYPE_TO_TUNER_MAPPING[peft_type] = tuner
    PEFT_TYPE_TO_PREFIX_MAPPING[peft_type] = prefix
